"""Experiments: TOML files that say everything about a table or figure, read, overridden and checked before anything runs."""

import copy
import hashlib
import inspect
import json
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from metairm_np import _checks, environments, spec
from metairm_np._storage import shipped
from metairm_np._version import __version__
from metairm_np.training.settings import Settings
from metairm_np.training.stopping import StoppingRule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GENERATORS = {
    "colored_mnist": environments.colored_mnist,
    "punctuated_sst2": environments.punctuated_sst2,
    "synthetic_digits": environments.synthetic_digits,
}
EXPERIMENT_KEYS = (
    "name",
    "title",
    "reproduces",
    "artefacts",
    "minutes",
    "figures",
    "keep_params",
    "environment",
    "test",
    "bounds",
    "algorithms",
    "search",
    "case",
    "case_title",
)
TRAIN = "train"  # in test.table: the column of the training accuracy, mean over the environments
SETTINGS_KEYS = tuple(field.name for field in fields(Settings) if field.name != "hyper")
STOPPING_KEYS = tuple(field.name for field in fields(StoppingRule))


@dataclass(frozen=True)
class Algorithm:
    """A row of a table: its label, the published (mean, spread) by column, such as "0.1" or "train", and how it is trained."""

    label: str
    paper: dict
    settings: Settings


@dataclass(frozen=True)
class Experiment:
    """An experiment whose every value has been checked; `config` is the dict it was made from.

    `case` is its name, and `case_title` its heading, among the cases of its study, both "" if there
    is only one.
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
        """Make the environments of the trial whose seed is `seed`."""
        return make_data(self.config["environment"], seed, dtype)

    def hash(self, seed, dtype, engine="fast", **more):
        """Return ten hexadecimal digits that name what decides the results: settings, seed, dtype, engine, version and `more`.

        Defaults count as if they were written out, and labels, titles and published figures do not
        count.
        """
        defaults = generator_defaults(self.generator)
        decisive = {
            "environment": {"generator": self.generator, **defaults, **self.environment},
            "test": [self.test_p, self.table_p],
            "algorithms": {
                name: asdict(algorithm.settings) for name, algorithm in self.algorithms.items()
            },
            "seed": seed,
            "dtype": dtype,
            "engine": engine,
            "version": __version__,
            **more,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Study:
    """What a TOML file says: one experiment, or several cases of one, for some of the paper's tables and figures.

    `artefacts` are the names of these, such as "table1", `figures` those of the functions that
    draw, see `metairm_np.figures.FIGURES`, `keep_params` says that they need the trials'
    parameters, and `cases` are the experiments by the names of the cases.
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
    def algorithms(self):
        """The names of the algorithms of any case, in order."""
        return list(dict.fromkeys(name for case in self.cases.values() for name in case.algorithms))

    def hash(self, *arguments, **more):
        """Return ten hexadecimal digits that name what decides the results, as `Experiment.hash`."""
        hashes = [case.hash(*arguments, **more) for case in self.cases.values()]
        return (
            hashes[0]
            if len(hashes) == 1
            else hashlib.sha256("".join(hashes).encode()).hexdigest()[:10]
        )


def row_of(algorithm, case=""):
    """Name a row of a study's tables: an algorithm, and before it the case if there are several."""
    return f"{case}-{algorithm}" if case else algorithm


def make_data(environment, seed, dtype):
    """Make the environments that an [environment] table describes."""
    options = {key: value for key, value in environment.items() if key != "generator"}
    return GENERATORS[environment["generator"]](seed, dtype=dtype, **options)


def available():
    """Return the configs of all shipped experiments, a dict by name."""
    configs = {}
    for path in sorted(shipped("experiments").glob("*.toml")):
        config = read(path)
        configs[config.get("name", path.stem)] = config
    return configs


def read(path):
    """Read a TOML file; ValueError names the file and the line that is wrong."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}; mend that place") from None


def load_study(name, overrides=(), quick=False):
    """Load what a TOML file says.

    Parameters
    ----------
    name : str
        A study's name, that of a table or figure such as "table1", or the path of a TOML file.
    overrides : sequence of str
        "key=value" as for `--set`, see `override`; applied last, to every case.
    quick : bool, default False
        Merge the [quick] table: a smoke run on less data and fewer steps.

    Returns
    -------
    Study

    Raises
    ------
    ValueError, TypeError
        For an unknown name or key, or a value that is not allowed.
    FileNotFoundError
        If `name` ends in .toml and there is no such file.
    """
    if str(name).endswith(".toml"):
        if not Path(name).is_file():
            raise FileNotFoundError(
                f"there is no file {name}; give the path of an experiment's TOML file"
            )
        config = read(name)
    else:
        configs = available()
        by_artefact = {
            artefact: config
            for config in configs.values()
            for artefact in config.get("artefacts", [])
        }
        _checks.choice("experiment", name, {**by_artefact, **configs})
        config = {**by_artefact, **configs}[name]
    config = inherit(copy.deepcopy(config))
    shortcuts, cases, experiments = config.pop("quick", {}), config.pop("cases", {"": {}}), {}
    for case, changes in cases.items():
        variant, changes = copy.deepcopy(config), dict(changes)
        variant.update(case=case, case_title=changes.pop("title", case))
        merge(variant, changes)
        if quick:
            merge(variant, shortcuts)
        for algorithm, table in variant.get("algorithms", {}).items():
            variant["algorithms"][algorithm] = like(table, variant["algorithms"])
        for text in overrides:
            override(variant, text)
        experiments[case] = resolve(variant)
    title = next(iter(experiments.values())).title
    return Study(
        name=config["name"],
        title=title,
        reproduces=config["reproduces"],
        artefacts=config.get("artefacts", []),
        figures=config.get("figures", []),
        keep_params=config.get("keep_params", False),
        cases=experiments,
        quick=quick,
    )


def study_of(config):
    """Return the study of which a run folder's config.json is."""
    about = {field.name: config[field.name] for field in fields(Study) if field.name != "cases"}
    return Study(**about, cases={case: resolve(one) for case, one in config["cases"].items()})


def load(name, overrides=(), quick=False):
    """Load the only experiment, or the first case, of a study; the arguments are those of `load_study`."""
    return next(iter(load_study(name, overrides, quick).cases.values()))


def inherit(config):
    """Put a config on top of the shipped one that it `extends`, of whose algorithms it may `keep` some."""
    if "extends" not in config:
        return config
    configs, parent = available(), config.pop("extends")
    _checks.choice("experiment in extends", parent, configs)
    base = copy.deepcopy(configs[parent])
    for own in ("search", "artefacts"):
        base.pop(own, None)
    wanted = config.pop("keep", list(base["algorithms"]))
    for name in wanted:
        _checks.choice("algorithm in keep", name, base["algorithms"])
    base["algorithms"] = {name: {**base["algorithms"][name], "paper": {}} for name in wanted}
    base["quick"]["algorithms"] = {name: base["quick"]["algorithms"][name] for name in wanted}
    merge(base, config)
    return base


def like(table, algorithms):
    """Return an algorithm's table on top of that of the algorithm which it is `like`."""
    if "like" not in table:
        return table
    _checks.choice("algorithm in like", table["like"], algorithms)
    return {
        **algorithms[table["like"]],
        **{key: value for key, value in table.items() if key != "like"},
    }


def merge(config, changes):
    """Write the nested dict `changes` into the nested dict `config`."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            merge(config[key], value)
        else:
            config[key] = value


def override(config, text):
    """Apply one "key=value" to `config`; the value is TOML, or else a string.

    The key is a full one (environment.n_per_env, algorithms.meta_irm.inner_lr) or its end
    (n_per_env, meta_irm.inner_lr). An end that fits several algorithms (steps, lr) sets them all;
    one that fits the environment sets that alone.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text!r} has no '='; write key=value, for instance steps=100")
    try:
        value = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        value = value.strip()
    known = settable_keys(config)
    targets = [full for full in known if f".{full}".endswith(f".{key.strip()}")]
    if not targets:
        ends = {
            full.removeprefix("algorithms.") if "." in key else full.rsplit(".", 1)[-1]
            for full in known
        }
        raise ValueError(f"--set knows no key {key!r}; {_checks.nearest(key, ends)}")
    for full in [target for target in targets if target.startswith("environment.")] or targets:
        *tables, last = full.split(".")
        place = config
        for table in tables:
            place = place[table]
        place[last] = value


def settable_keys(config):
    """Return the full keys that `override` may set in `config`."""
    keys = [f"environment.{key}" for key in environment_keys(config)] + ["test.p_e", "test.table"]
    for name, table in config["algorithms"].items():
        keys += [f"algorithms.{name}.{key}" for key in algorithm_keys(table)]
        keys += [
            f"algorithms.{name}.early_stopping.{key}"
            for key in STOPPING_KEYS
            if table.get("early_stopping")
        ]
    return keys


def environment_keys(config):
    """Return the keys of [environment] for the generator that it names."""
    generator = config.get("environment", {}).get("generator", "colored_mnist")
    _checks.choice("environment.generator", generator, GENERATORS)
    return ["generator", *generator_options(generator)]


def generator_options(generator):
    """Return the keywords of a generator but seed and dtype, a dict of `inspect.Parameter` by name."""
    options = inspect.signature(GENERATORS[generator]).parameters
    if "options" in options:  # the rest of a small generator's keywords
        options = {**inspect.signature(environments.colored_mnist).parameters, **options}
    return {
        key: option for key, option in options.items() if key not in ("seed", "dtype", "options")
    }


def generator_defaults(generator):
    """Return the defaults of a generator's keywords, a dict."""
    return {key: option.default for key, option in generator_options(generator).items()}


def algorithm_keys(algorithm):
    """Return the keys of an algorithm's table: its label, its published figures, its settings and its objective's keywords."""
    _checks.choice("objective", algorithm.get("objective", ""), spec.KEYWORDS)
    hyper = spec.KEYWORDS[algorithm["objective"]]
    return [
        "label",
        "paper",
        *SETTINGS_KEYS,
        *(key for key in hyper if key not in ("gradient_noise", "pairs", "inner_l2")),
    ]


def resolve(config):
    """Check a config and make the Experiment of it."""
    _checks.keys("the experiment", config, EXPERIMENT_KEYS)
    for path in (
        "name",
        "title",
        "reproduces",
        "environment.generator",
        "test.p_e",
        "test.table",
        "algorithms",
    ):
        table, _, key = path.rpartition(".")
        if key not in (config.get(table, {}) if table else config):
            raise ValueError(
                f"the experiment has no {path}; add it, experiments/table1_cmnist.toml shows how"
            )
    _checks.keys("[environment]", config["environment"], environment_keys(config))
    _checks.keys("[test]", config["test"], ("p_e", "table"))
    environment = {key: value for key, value in config["environment"].items() if key != "generator"}
    columns = config["test"]["table"]
    for what, values in (("test.p_e", config["test"]["p_e"]), ("test.table", columns)):
        if not isinstance(values, list) or not values:
            raise TypeError(f"{what} is {values!r}; give a list of one or more probabilities")
        for p_e in values:
            if not (what == "test.table" and p_e == TRAIN):
                _checks.number(what, p_e, 0, 1)
    table_p = [p_e for p_e in columns if p_e != TRAIN]
    test_p = sorted({*config["test"]["p_e"], *table_p})
    algorithms = {}
    for name, table in config["algorithms"].items():
        try:
            algorithms[name] = _algorithm(name, table)
        except (ValueError, TypeError) as error:
            raise type(error)(f"algorithm {name!r}: {error}") from None
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
    """Return a config's title, in which {n_classes}, say, is replaced by the value of this option of the generator."""
    title = config["title"]
    for key, value in {
        **generator_defaults(config["environment"]["generator"]),
        **config["environment"],
    }.items():
        title = title.replace(f"{{{key}}}", str(value))
    return title


def _algorithm(name, table):
    _checks.keys("its table", table, algorithm_keys(table))
    settings = {key: value for key, value in table.items() if key in SETTINGS_KEYS}
    hyper = {
        key: value for key, value in table.items() if key not in (*SETTINGS_KEYS, "label", "paper")
    }
    if (
        settings.get("early_stopping") is False
    ):  # how to leave out a rule that the config has from another one
        del settings["early_stopping"]
    if "early_stopping" in settings:
        _checks.keys("early_stopping", settings["early_stopping"], STOPPING_KEYS)
        for key in ("threshold", "arm"):
            if key not in settings["early_stopping"]:
                raise ValueError(f"early_stopping has no {key}; give one")
        settings["early_stopping"] = StoppingRule(**settings["early_stopping"])
    return Algorithm(
        table.get("label", name), table.get("paper", {}), Settings(hyper=hyper, **settings)
    )
