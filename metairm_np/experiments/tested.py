"""What test environments are called: by their p_e, or where the data are from files, by names."""

from __future__ import annotations

from collections.abc import Sequence

from metairm_np import _checks
from metairm_np.environments.files import named
from metairm_np.experiments._schema import FILES, TRAIN, probability, text

Name = float | str


def key(name: Name) -> str:
    """Return what records call a test environment."""
    return name if isinstance(name, str) else f"{name:g}"


def heading(name: Name) -> str:
    """Return what tables call a column: a test environment, or "train"."""
    return name if isinstance(name, str) else f"p_e = {name:g}"


def where(name: Name) -> str:
    """Return what a sentence calls the place of a test environment."""
    return f"in {name}" if isinstance(name, str) else f"at p_e={name:g}"


def kind(names: Sequence[Name]) -> str:
    """Return what the names of test environments are: "p_e" or "environment"."""
    return "environment" if any(isinstance(name, str) for name in names) else "p_e"


def train_names(environment: dict) -> list[Name]:
    """Return the names of the training environments of an [environment]."""
    if environment.get("train"):
        return list(named("train", environment["train"]))
    return environment["train_p"]


def columns_of(config: dict) -> tuple[list, list, list]:
    """Return the names of all test environments, of those in the table, and the table's columns.

    Parameters
    ----------
    config : dict
        Of one case of an experiment.

    Returns
    -------
    tests, watched, columns : list
        The columns are `watched` and perhaps "train", in the order of the table. Without [test]
        the table of data from files has "train" and all test environments.

    Raises
    ------
    ValueError, TypeError
        If a column is none, or there is no test environment among them.
    """
    environment, test = config["environment"], config.get("test", {})
    if environment["generator"] == FILES:
        tests = list(named("test", environment.get("test", ())))
        columns = test.get("table", [TRAIN, *tests])
        for name in (*tests, *train_names(environment)):
            text("the name of an environment", name)
        if TRAIN in tests:
            raise ValueError(f"a test environment is called {TRAIN!r}; name it otherwise")
        if "p_e" in test:
            raise ValueError(
                f"test.p_e is {test['p_e']}, but test environments from files have names; leave "
                "it out"
            )
        for column in columns:
            _checks.choice("column in test.table", column, [TRAIN, *tests])
    else:
        columns = test["table"]
        for column in columns:
            if column != TRAIN:
                probability("test.table", column)
        tests = sorted({*test["p_e"], *columns} - {TRAIN})
    watched = [column for column in columns if column != TRAIN]
    if not watched:
        what = {"p_e": "p_e", "environment": "test environments"}[kind(tests)]
        raise ValueError(f"test.table is {columns}; add one or more {what}")
    return tests, watched, columns
