"""Experiments: TOML files that say all about a table or figure, checked before anything runs.

One rule of inheritance: **a file that has `base = "NAME"`, a shipped experiment, says all that this
one says, with its own values written over them, table by table and key by key.**
An algorithm's `base` is another algorithm of the same experiment, by the same rule.
Nothing is left out unless the file says so:

    rows = ["erm", "meta_irm"]     which algorithms are in the table, in this order (default: all)
    [cases.NAME]                   a case: its `title`, and what it changes, by the same rule
    [grid]                         or a case for each combination of the values of keys of --set
    "meta_irm.inner_lr" = [1, 2]
    name = "a{}"                   what the cases are called (a number's dot is left out)
    title = "alpha {}"             and their headings
    [quick]                        what --quick changes, by the same rule, after the cases

Two files belong to all experiments, and have a part for each, [NAME], or for one of its cases,
[NAME-CASE]: published.toml has the published numbers of its algorithms, search.toml what a search
draws for them. As these go by the experiment's name, a file with a `name` of its own has its own.
A part's `base` is another part; `columns` are those of the published table if the base has more.
"""

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

from metairm_np import _checks
from metairm_np._storage import shipped
from metairm_np._version import __version__
from metairm_np.environments.files import pinned
from metairm_np.experiments import _inherit
from metairm_np.experiments._schema import (
    CONFIG,
    FILE,
    FILES,
    GENERATORS,
    RULE_NEEDS,
    RULES,
    SETTINGS_KEYS,
    algorithm_keys,
    environment_keys,
    generator_defaults,
    table_with,
)
from metairm_np.experiments.tested import columns_of
from metairm_np.training.settings import Settings

REQUIRED = ("name", "title", "environment.generator")
EXAMPLE = "experiments/table1_cmnist.toml"
REQUIRED_TESTS = ("test.p_e", "test.table")  # unless the data are from files


@dataclass(frozen=True)
class Algorithm:
    """A row of a table: its label, how it is trained, and what was published of it.

    Parameters
    ----------
    label : str
    paper : dict
        The published [mean, spread] by column, such as "0.1" or "train".
    settings : Settings
    """

    label: str
    paper: dict
    settings: Settings


@dataclass(frozen=True)
class Experiment:
    """An experiment whose every value has been checked, one case of a `Study`.

    Parameters
    ----------
    name, title : str
    case, case_title : str
        Its name and heading among the cases of its study, both "" if it is the only one.
    generator : str
        A name in `GENERATORS`.
    environment : dict
        The generator's keywords.
    test_p, table_p : list of float or of str
        The p_e of all test environments, or the names of those from files; and of those in the
        table.
    columns : list
        Those of the table: "train", or a test environment.
    bounds : dict
        By label the last rows of the table: a number, or one for each column.
    algorithms : dict of Algorithm
        By name, in the order of the table.
    config : dict
        What the experiment was made of.
    """

    name: str
    title: str
    case: str
    case_title: str
    generator: str
    environment: dict
    test_p: list
    table_p: list
    columns: list
    bounds: dict
    algorithms: dict
    config: dict

    def data(self, seed, dtype="float64"):
        """Return the environments of the trial whose seed is `seed`."""
        return make_data(self.config["environment"], seed, dtype)

    def hash(self, seed, dtype, engine="fast", **more) -> str:
        """Return ten hexadecimal digits that name what decides the results.

        That is settings, seed, dtype, engine, version and `more`. Defaults count as if they were
        written out; labels, titles and published numbers do not count.
        """
        defaults = generator_defaults(self.generator)
        environment = {"generator": self.generator, **defaults, **self.environment}
        environment.pop("folder", None)  # where files are does not matter: their SHA-256 do
        decisive = {
            "environment": environment,
            "test": [self.test_p, self.table_p],
            "algorithms": {name: asdict(one.settings) for name, one in self.algorithms.items()},
            "seed": seed,
            "dtype": dtype,
            "engine": engine,
            "version": __version__,
            **more,
        }
        return _digits(json.dumps(decisive, sort_keys=True))


@dataclass(frozen=True)
class Study:
    """What a TOML file says: one experiment, or several cases of one.

    Parameters
    ----------
    name, title, reproduces : str
    artefacts : list of str
        The paper's tables and figures that it makes, such as "table1".
    figures : list of str
        The functions that draw, see `metairm_np.reports.figures.FIGURES`.
    keep_params : bool
        Whether these need the trials' parameters.
    cases : dict of Experiment
        By the names of the cases; the only one's is "".
    quick : bool
        Whether it is a smoke run.
    """

    name: str
    title: str
    reproduces: str
    artefacts: list
    figures: list
    keep_params: bool
    cases: dict
    quick: bool

    @property
    def algorithms(self) -> list:
        """The names of the algorithms of any case, in order."""
        return list(dict.fromkeys(name for case in self.cases.values() for name in case.algorithms))

    def hash(self, *arguments, **more) -> str:
        """Return ten hexadecimal digits that name what decides the results of all cases."""
        hashes = [case.hash(*arguments, **more) for case in self.cases.values()]
        return hashes[0] if len(hashes) == 1 else _digits("".join(hashes))


def _digits(text):
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def row_of(algorithm, case=""):
    """Return the name of a row of a study's tables: an algorithm, and before it the case if any."""
    return f"{case}-{algorithm}" if case else algorithm


def make_data(environment, seed, dtype):
    """Return the environments that an [environment] table describes."""
    options = {key: value for key, value in environment.items() if key != "generator"}
    return GENERATORS[environment["generator"]](seed, dtype=dtype, **options)


def available() -> dict:
    """Return what the files of all shipped experiments say, with what they inherit.

    Returns
    -------
    dict of dict
        By name, in the order of the files.
    """
    paths = sorted(shipped("experiments").glob("*.toml"))
    no_experiments = (*_inherit.FOR_ALL, _inherit.TEMPLATE)
    configs = [_read(path) for path in paths if path.stem not in no_experiments]
    named = {config["name"]: config for config in configs}
    return {name: _inherit.inherit(named[name], named, "experiment") for name in named}


def _read(path):
    """Read an experiment's file, and check the types of all that is in it."""
    config = _inherit.read(path)
    table_with("", config, FILE)
    return config


def load_study(name, overrides=(), quick=False) -> Study:
    """Load what a TOML file says.

    What it inherits comes first; then, each written over what was before, key by key, come the
    changes of a case, with `quick` those of [quick], what algorithms have from their `base`, the
    values of [grid], and `overrides`.

    Parameters
    ----------
    name : str
        A study's name, that of a table or figure such as "table1", or the path of a TOML file.
    overrides : sequence of str
        "key=value" as for `--set`; applied to every case.
    quick : bool, default False
        Make it a smoke run on less data and with fewer steps.

    Returns
    -------
    Study

    Raises
    ------
    ValueError, TypeError
        For an unknown name or key, or a value that is not allowed.
    FileNotFoundError
        If `name` ends in .toml, in whatever case, and there is no such file.
    """
    config = dict(_config_of(name))
    changes_of_quick = config.pop("quick", {})
    experiments = {}
    for case, title, changes, values in _inherit.cases(config):
        variant = _inherit.merge(config, changes)
        if quick:
            variant = _inherit.merge(variant, changes_of_quick)
        variant = copy.deepcopy(_inherit.complete(variant, case))
        variant.update(case=case, case_title=title)
        for key, value in values.items():
            _inherit.assign(variant, key, value, "[grid]")
        for text in overrides:
            _inherit.override(variant, text)
        experiments[case] = resolve(variant, Path(name).absolute().parent)
    check_rows(row_of(name, case) for case, one in experiments.items() for name in one.algorithms)
    return Study(
        name=config["name"],
        title=next(iter(experiments.values())).title,
        reproduces=config.get("reproduces", ""),
        artefacts=config.get("artefacts", []),
        figures=config.get("figures", []),
        keep_params=config.get("keep_params", False),
        cases=experiments,
        quick=quick,
    )


def check_rows(rows):
    """Raise ValueError if the files of two rows would have the same name."""
    seen = set()
    for row in rows:
        if row.casefold() in seen:
            raise ValueError(f"two rows are called {row!r}; name a case or an algorithm otherwise")
        seen.add(row.casefold())


def _config_of(name):
    """Return what the file of this name or path says, with what it inherits."""
    configs = available()
    if not str(name).casefold().endswith(".toml"):
        makers = {
            made: config for config in configs.values() for made in config.get("artefacts", [])
        }
        _checks.choice("experiment", name, {**makers, **configs})
        return {**makers, **configs}[name]
    if not Path(name).is_file():
        raise FileNotFoundError(
            f"there is no file {name}; give the path of an experiment's TOML file"
        )
    return _inherit.inherit(_read(name), configs, "experiment")


def study_of(config) -> Study:
    """Return the study of which a run folder's config.json is."""
    about = {field.name: config[field.name] for field in fields(Study) if field.name != "cases"}
    cases = {case: resolved(json.dumps(one)) for case, one in config["cases"].items()}
    return Study(**about, cases=cases)


@lru_cache(maxsize=1024)
def resolved(config: str) -> Experiment:
    """Return the Experiment of a config as JSON, the same object for the same text."""
    return resolve(json.loads(config))


def load(name, overrides=(), quick=False) -> Experiment:
    """Return the only experiment, or the first case, of a study; see `load_study`."""
    return next(iter(load_study(name, overrides, quick).cases.values()))


def resolve(config, folder=".") -> Experiment:
    """Check the config of one case, and return the Experiment of it.

    Files that its data come from are relative to `folder`, unless it says where they are.
    """
    table_with("", config, CONFIG)
    own = config.get("environment", {}).get("generator") == FILES
    for path in REQUIRED if own else REQUIRED + REQUIRED_TESTS:
        table, _, key = path.rpartition(".")
        if key not in (config.get(table, {}) if table else config):
            raise ValueError(
                f"the experiment has no {path}; add it, as in {'a template' if own else EXAMPLE}"
            )
    _checks.keys("[environment]", config["environment"], environment_keys(config))
    if own:
        config = {**config, "environment": pinned(config["environment"], folder)}
    environment = {key: value for key, value in config["environment"].items() if key != "generator"}
    test_p, table_p, columns = columns_of(config)
    for label, values in config.get("bounds", {}).items():
        if isinstance(values, list) and len(values) != len(columns):
            raise ValueError(
                f"the bound {label!r} has {len(values)} numbers for the columns {columns}; give "
                "one for each, or one for all"
            )
    algorithms = {}
    for name, table in config.get("algorithms", {}).items():
        try:
            algorithms[name] = _algorithm(name, table)
        except (ValueError, TypeError) as error:
            raise type(error)(f"algorithm {name!r}: {error}") from None
    if not algorithms:
        raise ValueError("the experiment has no algorithms; add one, [algorithms.NAME]")
    return Experiment(
        name=config["name"],
        title=title_of(config),
        case=config.get("case", ""),
        case_title=config.get("case_title", ""),
        generator=config["environment"]["generator"],
        environment=environment,
        test_p=test_p,
        table_p=table_p,
        columns=columns,
        bounds=config.get("bounds", {}),
        algorithms=algorithms,
        config=config,
    )


def title_of(config):
    """Return a config's title, in which {n_classes}, say, is the generator's keyword."""
    title, environment = config["title"], config["environment"]
    for key, value in {**generator_defaults(environment["generator"]), **environment}.items():
        title = title.replace(f"{{{key}}}", str(value))
    return title


def _algorithm(name, table):
    """Return the Algorithm that a table describes."""
    _checks.keys("its table", table, algorithm_keys(table))
    settings = {key: value for key, value in table.items() if key in SETTINGS_KEYS}
    about = ("label", "paper", *SETTINGS_KEYS)
    hyper = {key: value for key, value in table.items() if key not in about}
    for key, rule in RULES.items():
        given = settings.pop(key, False)  # false leaves out the rule of a base
        if given is not False:
            for needed in RULE_NEEDS[key]:
                if needed not in given:
                    raise ValueError(f"{key} has no {needed}; give one")
            settings[key] = rule(**given)
    label, paper = table.get("label", name), table.get("paper", {})
    return Algorithm(label, paper, Settings(hyper=hyper, **settings))
