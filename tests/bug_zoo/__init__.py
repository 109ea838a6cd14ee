"""Backends that are wrong, each by one bug as practice has it, to test whether a check can name the bug from the numbers.

The attribute `bug` of each class is the bug's name. `Correct` has none.
"""

from bug_zoo import baseline_bugs, meta_bugs, network_bugs, optimizer_bugs, precision_bugs


def bugs_of(*modules):
    """Return the classes that carry a bug, in the order in which they are defined."""
    return [
        thing
        for module in modules
        for thing in vars(module).values()
        if "bug" in getattr(thing, "__dict__", ())
    ]


ZOO = bugs_of(network_bugs, baseline_bugs, meta_bugs, optimizer_bugs, precision_bugs)


def torch_zoo():
    """Return the bugs as they arise in PyTorch."""
    from bug_zoo import pytorch_bugs  # only here, since PyTorch may not be installed

    return bugs_of(pytorch_bugs)
