"""Labels of any kind to classes 0..C-1, which keep their names."""

import numpy as np

FEW = 20  # classes that nobody wonders about
SHARE = 1 / 4  # of the samples: with more classes the labels are measurements


def classes_of(labels, target):
    """Return the classes of the labels of all training environments.

    Parameters
    ----------
    labels : list of array
        Of str.
    target : str
        What messages call them.

    Returns
    -------
    dict
        Each class's number by its name: in the order of the numbers if all are numbers (1 and 1.0
        are one class), or else of the alphabet.

    Raises
    ------
    ValueError
        If there is one class only, or if the labels are no classes.
    """
    found = sorted({str(label) for some in labels for label in np.unique(some)})
    if all(_number(label) is not None for label in found):
        found = [name_of(value) for value in sorted({_number(label) for label in found})]
    n = sum(map(len, labels))
    if len(found) == 1:
        raise ValueError(
            f"all {n} samples of the training environments have the {target} {found[0]!r}; give "
            "environments with two classes or more"
        )
    if len(found) > max(FEW, SHARE * n):
        raise ValueError(
            f"{target} has {len(found)} different values in {n} samples; give class labels, not "
            "measurements"
        )
    return {name: number for number, name in enumerate(found)}


def numbered(labels, classes):
    """Return labels as numbers of classes, (n,) of int, and how many there are of those unseen."""
    found, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    numeric = all(_number(name) is not None for name in classes)
    numbers, unseen = np.zeros(len(found), int), {}
    for place, label in enumerate(map(str, found)):
        value = _number(label) if numeric else None
        name = label if value is None else name_of(value)
        if name in classes:
            numbers[place] = classes[name]
        else:
            unseen[label] = int(counts[place])
    return numbers[inverse], unseen


def name_of(value):
    """Return the name of a class that is a number."""
    return str(int(value)) if value == int(value) else str(value)


def _number(label):
    """Return a label as a finite number, or None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
