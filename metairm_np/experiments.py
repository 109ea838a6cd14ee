"""Experiments: TOML files that say everything about a table or figure, read, overridden and checked before anything runs."""

import copy
import hashlib
import inspect
import json
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from metairm_np import checks, environments, spec
from metairm_np.resources import resource
from metairm_np.stopping import StoppingRule
from metairm_np.training import Settings
from metairm_np.version import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GENERATORS = {"colored_mnist": environments.colored_mnist, "synthetic_digits": environments.synthetic_digits}
EXPERIMENT_KEYS = ("name", "title", "reproduces", "minutes", "environment", "test", "bounds", "algorithms", "search", "quick")
SETTINGS_KEYS = tuple(field.name for field in fields(Settings) if field.name != "hyper")
STOPPING_KEYS = tuple(field.name for field in fields(StoppingRule))


@dataclass(frozen=True)
class Algorithm:
    """A row of a table: its label, the published (mean, spread) per column of the table, and how it is trained."""

    label: str
    paper: list
    settings: Settings


@dataclass(frozen=True)
class Experiment:
    """An experiment whose every value has been checked; `config` is the dict it was made from."""

    name: str
    title: str
    reproduces: str
    minutes: float
    generator: str
    environment: dict
    test_p: list
    table_p: list
    bounds: dict
    algorithms: dict
    quick: bool
    config: dict

    def data(self, seed, dtype="float64"):
        """Make the environments of the trial whose seed is `seed`."""
        return make_data(self.config["environment"], seed, dtype)

    def hash(self, seed, dtype, engine="fast", **more):
        """Give ten hexadecimal digits that name what decides the results: settings, seed, dtype, engine, version and `more`.

        Defaults count as if they were written out, and labels, titles and published figures do not count.
        """
        defaults = {key: value.default for key, value in generator_options(self.generator).items()}
        decisive = {
            "environment": {"generator": self.generator, **defaults, **self.environment},
            "test": [self.test_p, self.table_p],
            "algorithms": {name: asdict(algorithm.settings) for name, algorithm in self.algorithms.items()},
            "seed": seed,
            "dtype": dtype,
            "engine": engine,
            "version": __version__,
            **more,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]


def make_data(environment, seed, dtype):
    """Make the environments that an [environment] table describes."""
    options = {key: value for key, value in environment.items() if key != "generator"}
    return GENERATORS[environment["generator"]](seed, dtype=dtype, **options)


def available():
    """Give the configs of all shipped experiments, a dict by name."""
    configs = {}
    for path in sorted(resource("experiments").glob("*.toml")):
        config = read(path)
        configs[config.get("name", path.stem)] = config
    return configs


def read(path):
    """Read a TOML file; ValueError names the file and the line that is wrong."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}; mend that place") from None


def load(name, overrides=(), quick=False):
    """Load an experiment.

    Parameters
    ----------
    name : str
        An experiment's name, or the path of a TOML file.
    overrides : sequence of str
        "key=value" as for `--set`, see `override`; applied last.
    quick : bool, default False
        Merge the experiment's [quick] table: a smoke run on less data and fewer steps.

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError, TypeError
        For an unknown name or key, or a value that is not allowed.
    FileNotFoundError
        If `name` ends in .toml and there is no such file.
    """
    if str(name).endswith(".toml"):
        if not Path(name).is_file():
            raise FileNotFoundError(f"there is no file {name}; give the path of an experiment's TOML file")
        config = read(name)
    else:
        configs = available()
        checks.choice("experiment", name, configs)
        config = configs[name]
    config = copy.deepcopy(config)
    shortcuts = config.pop("quick", {})
    if quick:
        merge(config, shortcuts)
    for text in overrides:
        override(config, text)
    return resolve(config, quick)


def merge(config, changes):
    """Write the nested dict `changes` into the nested dict `config`."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            merge(config[key], value)
        else:
            config[key] = value


def override(config, text):
    """Apply one "key=value" to `config`; the value is TOML, or else a string.

    The key is a full one (environment.n_per_env, algorithms.meta_irm.inner_lr) or its end (n_per_env, meta_irm.inner_lr). An
    end that fits several algorithms (steps, lr) sets them all; one that fits the environment sets that alone.
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
        ends = {full.removeprefix("algorithms.") if "." in key else full.rsplit(".", 1)[-1] for full in known}
        raise ValueError(f"--set knows no key {key!r}; {checks.nearest(key, ends)}")
    for full in [target for target in targets if target.startswith("environment.")] or targets:
        *tables, last = full.split(".")
        place = config
        for table in tables:
            place = place[table]
        place[last] = value


def settable_keys(config):
    """Give the full keys that `override` may set in `config`."""
    keys = [f"environment.{key}" for key in environment_keys(config)] + ["test.p_e", "test.table"]
    for name, table in config["algorithms"].items():
        keys += [f"algorithms.{name}.{key}" for key in algorithm_keys(table)]
        keys += [f"algorithms.{name}.early_stopping.{key}" for key in STOPPING_KEYS if "early_stopping" in table]
    return keys


def environment_keys(config):
    """Give the keys of [environment] for the generator that it names."""
    generator = config.get("environment", {}).get("generator", "colored_mnist")
    checks.choice("environment.generator", generator, GENERATORS)
    return ["generator", *generator_options(generator)]


def generator_options(generator):
    """Give the keywords of a generator but seed and dtype, a dict of `inspect.Parameter` by name."""
    options = inspect.signature(GENERATORS[generator]).parameters
    if "options" in options:  # the rest of a small generator's keywords
        options = {**inspect.signature(environments.colored_mnist).parameters, **options}
    return {key: option for key, option in options.items() if key not in ("seed", "dtype", "options")}


def algorithm_keys(algorithm):
    """Give the keys of an algorithm's table: its label, its published figures, its settings and its objective's keywords."""
    hyper = spec.objective_keywords(algorithm.get("objective", ""))
    return ["label", "paper", *SETTINGS_KEYS, *(key for key in hyper if key not in ("gradient_noise", "pairs"))]


def resolve(config, quick=False):
    """Check a config and make the Experiment of it."""
    checks.keys("the experiment", config, EXPERIMENT_KEYS)
    for path in ("name", "title", "reproduces", "environment.generator", "test.p_e", "test.table", "algorithms"):
        table, _, key = path.rpartition(".")
        if key not in (config.get(table, {}) if table else config):
            raise ValueError(f"the experiment has no {path}; add it, experiments/table1_cmnist.toml shows how")
    checks.keys("[environment]", config["environment"], environment_keys(config))
    checks.keys("[test]", config["test"], ("p_e", "table"))
    environment = {key: value for key, value in config["environment"].items() if key != "generator"}
    test_p, table_p = config["test"]["p_e"], config["test"]["table"]
    for what, values in (("test.p_e", test_p), ("test.table", table_p)):
        if not isinstance(values, list) or not values:
            raise TypeError(f"{what} is {values!r}; give a list of one or more probabilities")
        for p_e in values:
            checks.number(what, p_e, 0, 1)
    test_p = sorted({*test_p, *table_p})
    algorithms = {}
    for name, table in config["algorithms"].items():
        try:
            algorithms[name] = _algorithm(name, table)
        except (ValueError, TypeError) as error:
            raise type(error)(f"algorithm {name!r}: {error}") from None
    return Experiment(
        name=config["name"], title=config["title"], reproduces=config["reproduces"], minutes=config.get("minutes", 0),
        generator=config["environment"]["generator"], environment=environment, test_p=test_p, table_p=table_p,
        bounds=config.get("bounds", {}), algorithms=algorithms, quick=quick, config=config,
    )  # fmt: skip


def _algorithm(name, table):
    checks.keys("its table", table, algorithm_keys(table))
    settings = {key: value for key, value in table.items() if key in SETTINGS_KEYS}
    hyper = {key: value for key, value in table.items() if key not in (*SETTINGS_KEYS, "label", "paper")}
    if "early_stopping" in settings:
        checks.keys("early_stopping", settings["early_stopping"], STOPPING_KEYS)
        for key in ("threshold", "arm"):
            if key not in settings["early_stopping"]:
                raise ValueError(f"early_stopping has no {key}; give one")
        settings["early_stopping"] = StoppingRule(**settings["early_stopping"])
    return Algorithm(table.get("label", name), table.get("paper", []), Settings(hyper=hyper, **settings))
