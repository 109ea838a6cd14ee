"""What may stand in an experiment's file: every key, with the check of its value."""

import inspect
import re
from dataclasses import MISSING, fields
from functools import partial

from metairm_np import _checks, environments, spec
from metairm_np.training.holding import HoldRule
from metairm_np.training.settings import Settings
from metairm_np.training.stopping import StoppingRule

GENERATORS = {
    "colored_mnist": environments.colored_mnist,
    "files": environments.from_files,
    "punctuated_sst2": environments.punctuated_sst2,
    "synthetic_digits": environments.synthetic_digits,
    "two_features": environments.two_features,
}
FILES = "files"  # the generator whose test environments have names instead of a p_e
TRAIN = "train"  # in test.table: the column of the training accuracy, mean over the environments
SETTINGS_KEYS = tuple(field.name for field in fields(Settings) if field.name != "hyper")
RULES = {"early_stopping": StoppingRule, "inner_lr_hold": HoldRule}  # settings that are tables
RULE_KEYS = {name: [field.name for field in fields(rule)] for name, rule in RULES.items()}
RULE_NEEDS = {
    name: [field.name for field in fields(rule) if field.default is MISSING]
    for name, rule in RULES.items()
}


def environment_keys(config):
    """Return the keys of [environment] for the generator that it names."""
    generator = config.get("environment", {}).get("generator", "colored_mnist")
    text("environment.generator", generator)
    _checks.choice("environment.generator", generator, GENERATORS)
    return ["generator", *generator_defaults(generator)]


def generator_defaults(generator):
    """Return the keywords of a generator but seed and dtype, a dict of their defaults."""
    options = inspect.signature(GENERATORS[generator]).parameters
    if "options" in options:  # the rest of a small generator's keywords
        options = {**inspect.signature(environments.colored_mnist).parameters, **options}
    no_options = ("seed", "dtype", "options")
    return {key: option.default for key, option in options.items() if key not in no_options}


def algorithm_keys(table):
    """Return the keys of an algorithm's table: label, paper, settings, its objective's keywords."""
    text("objective", table.get("objective", ""))
    _checks.choice("objective", table.get("objective", ""), spec.KEYWORDS)
    hyper = spec.KEYWORDS[table["objective"]]
    given = ("gradient_noise", "pairs", "inner_l2")  # by training, from Settings
    return ["label", "paper", *SETTINGS_KEYS, *(key for key in hyper if key not in given)]


# ---- checks: functions of what is checked and its value ------------------------------------------


def text(what, value):
    """Raise TypeError unless `value` is a string without control characters."""
    if not isinstance(value, str) or re.search(r"[\x00-\x1f\x7f-\x9f]", value):
        raise TypeError(f"{what} is {value!r}; give one line of text, in quotes")


def identifier(what, value):
    """Raise ValueError unless `value` can be part of a file's name."""
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w-]*", value):
        raise ValueError(
            f"{what} is {value!r}, which goes into file names; give letters, digits, '_' and '-'"
        )


def probability(what, value):
    """Raise unless `value` is a number from 0 to 1."""
    _checks.number(what, value, 0, 1)


def column(what, value):
    """Raise unless `value` may be a column of a table: a text or a probability."""
    (text if isinstance(value, str) else probability)(what, value)


def list_of(check, at_least=1):
    """Return the check of a list of values that `check` takes."""

    def checked(what, values):
        if not isinstance(values, list) or len(values) < at_least:
            some = f" of {at_least} or more" * bool(at_least)
            raise TypeError(f"{what} is {values!r}; give a list{some}, in brackets")
        for value in values:
            check(what, value)

    return checked


def table_of(check, name=text):
    """Return the check of a table with keys that `name` takes and values that `check` takes."""

    def checked(what, table):
        if not isinstance(table, dict):
            raise TypeError(f"{what} is {table!r}; give a table, [{what}]")
        for key, value in table.items():
            name(f"a key of {what}", key)
            check(f"{what}.{key}", value)

    return checked


def anything(what, value):
    """Take any value; another place checks it."""


def table_with(what, table, checks, more=False):
    """Raise unless the values of `table` fit `checks`, a dict by key; `more` allows other keys."""
    table_of(anything)(what, table)
    if not more:
        _checks.keys(what or "the experiment", table, checks)
    for key, value in table.items():
        checks.get(key, anything)(f"{what}.{key}" if what else key, value)


def bound(what, value):
    """Raise unless `value` is a number, or a list with one for each column."""
    (list_of(_checks.number) if isinstance(value, list) else _checks.number)(what, value)


def column_name(what, value):
    """Raise ValueError unless `value` names a column as published numbers do."""
    try:
        known = value == TRAIN or f"{float(value):g}" == value
    except ValueError:
        known = False
    if not known:
        raise ValueError(f'{what} is {value!r}; give "{TRAIN}" or a p_e such as "0.1"')


def mean_and_spread(what, value):
    """Raise TypeError unless `value` is a list of two numbers."""
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(f"{what} is {value!r}; give the published [mean, spread]")
    bound(what, value)


def rule(what, value, keys, needed):
    """Raise unless `value` is a table with keys of a rule, or false for no rule."""
    if value is False:
        return
    if not isinstance(value, dict):
        raise TypeError(
            f"{what} is {value!r}; give a table with {' and '.join(needed)}, or false for no rule"
        )
    table_with(what, value, dict.fromkeys(keys, anything))


ENVIRONMENT = {
    "generator": text,
    "train_p": list_of(probability),
}  # the generator checks the others
ALGORITHM = {  # its settings check themselves
    "base": text,
    "label": text,
    "paper": table_of(mean_and_spread, column_name),
    **{name: partial(rule, keys=RULE_KEYS[name], needed=RULE_NEEDS[name]) for name in RULES},
}
RANGE = {
    "low": _checks.number,
    "high": _checks.number,
    "log": _checks.switch,
    "integer": _checks.switch,
    "choices": list_of(anything),
}
SEARCH = {
    "criterion": text,
    "max_risk_spread": partial(_checks.number, low=0),
    "ranges": table_of(partial(table_with, checks=RANGE)),
}
CHANGES = {  # what [quick] may change
    "rows": list_of(text),
    "environment": partial(table_with, checks=ENVIRONMENT, more=True),
    "test": partial(table_with, checks={"p_e": list_of(probability), "table": list_of(column)}),
    "bounds": table_of(bound),
    "algorithms": table_of(partial(table_with, checks=ALGORITHM, more=True), identifier),
    "search": table_of(partial(table_with, checks=SEARCH)),
}
CASE = {**CHANGES, "title": text}
FILE = {  # what a file may say
    **CASE,
    "name": identifier,
    "base": text,
    "reproduces": text,
    "artefacts": list_of(text, 0),
    "minutes": partial(_checks.number, low=0),
    "figures": list_of(text, 0),
    "keep_params": _checks.switch,
    "quick": partial(table_with, checks=CHANGES),
    "cases": table_of(partial(table_with, checks=CASE), identifier),
    "grid": partial(table_with, checks={"name": text, "title": text}, more=True),
}
CONFIG = {  # what is left once all that is inherited is in its place
    **{key: FILE[key] for key in FILE if key not in ("base", "rows", "quick", "cases", "grid")},
    "case": text,
    "case_title": text,
}
