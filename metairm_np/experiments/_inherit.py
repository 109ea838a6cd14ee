"""What stands where: `base`, `rows`, [cases], [grid], published numbers and searches, --set."""

import itertools
import sys
from functools import lru_cache
from pathlib import Path

from metairm_np import _checks
from metairm_np._storage import shipped
from metairm_np.experiments._schema import (
    RULE_KEYS,
    algorithm_keys,
    anything,
    environment_keys,
    identifier,
    list_of,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOR_ALL = ("published", "search")  # the files that are no experiment's, but have a part for each
TEMPLATE = "template"  # the file of an experiment that is still to be written


def read(path):
    """Read a TOML file; ValueError names the file and the line that is wrong."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}; fix that place") from None


def merge(below, above):
    """Return `above` over `below`: tables are merged key by key, all else is replaced."""
    both = {
        key: merge(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}


def inherit(table, named, what, seen=()):
    """Return `table` over the one of `named` which is its `base`, and that over its own base."""
    if "base" not in table:
        return table
    own = dict(table)
    base = own.pop("base")
    _checks.choice(f"{what} in base", base, named)
    if base in seen:
        raise ValueError(f"{what} {base!r} is a base of itself; name another one in base")
    return merge(inherit(named[base], named, what, (*seen, base)), own)


@lru_cache
def parts(file):
    """Return one of the files FOR_ALL, the experiments' parts by name."""
    tables = read(shipped("experiments") / f"{file}.toml")
    return {name: inherit(part, tables, f"part of {file}.toml") for name, part in tables.items()}


def part(file, name, case):
    """Return what one of the files FOR_ALL has for a case, or else for an experiment."""
    return parts(file).get(f"{name}-{case}", parts(file).get(name, {}))


def complete(config, case):
    """Return a case's config with its published numbers and searches, base and rows applied."""
    config, name = dict(config), config.get("name")
    paper = dict(part("published", name, case))
    columns = paper.pop("columns", None)
    algorithms = {}
    for algorithm, table in config.get("algorithms", {}).items():
        numbers = paper.get(algorithm, {})
        shown = {key: numbers[key] for key in numbers if columns is None or key in columns}
        algorithms[algorithm] = merge({"paper": shown}, table)
    rows = config.pop("rows", algorithms)
    for row in rows:
        _checks.choice("algorithm in rows", row, algorithms)
    config["algorithms"] = {row: inherit(algorithms[row], algorithms, "algorithm") for row in rows}
    searches = part("search", name, case)
    search = {row: inherit(searches[row], searches, "search") for row in rows if row in searches}
    if search:
        config["search"] = merge(search, config.get("search", {}))
    return config


def cases(config):
    """Take [cases] or [grid] out of a config; return each case's name, title, changes and --set."""
    changes, grid = config.pop("cases", {}), config.pop("grid", {})
    if changes and grid:
        raise ValueError("the experiment has [cases] and [grid]; give one of them")
    if grid:
        return list(combinations(grid))
    found = []
    for case, own in changes.items():
        own = dict(own)
        found.append((case, own.pop("title", case), own, {}))
    return found or [("", "", {}, {})]


def combinations(grid):
    """Yield a case for each combination of the values in a [grid], the last key's changing fastest.

    Its name and title are those of the grid with the values in the places of {}; a name takes them
    without their dots.
    """
    axes = {key: values for key, values in grid.items() if key not in ("name", "title")}
    name = grid.get("name", "-".join("{}" for _ in axes))
    title = grid.get("title", ", ".join(f"{key} {{}}" for key in axes))
    seen = set()
    for key, values in axes.items():
        list_of(anything)(f"grid.{key}", values)
    for values in itertools.product(*axes.values()):
        try:
            case = name.format(*(str(value).replace(".", "") for value in values))
            heading = title.format(*values)
        except (LookupError, ValueError, AttributeError):
            raise ValueError(
                f"the name {name!r} or the title {title!r} of [grid] is no text with {{}} for each "
                f"of {', '.join(axes)}; write it so"
            ) from None
        identifier("a case's name, from grid.name,", case)
        if case in seen:
            raise ValueError(f"two cases of [grid] are called {case!r}; give a name with more {{}}")
        seen.add(case)
        yield case, heading, {}, dict(zip(axes, values))


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
    assign(config, key.strip(), value, "--set")


def assign(config, key, value, where):
    """Write `value` to the places in `config` that `key` means, see `override`."""
    for full in places(config, key, where):
        *tables, last = full.split(".")
        place = config
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value


def places(config, key, where):
    """Return the full keys of the places in `config` that `key` means."""
    known = settable_keys(config)
    targets = [full for full in known if f".{full}".endswith(f".{key}")]
    if not targets:
        ends = {
            full.removeprefix("algorithms.") if "." in key else full.rsplit(".", 1)[-1]
            for full in known
        }
        raise ValueError(f"{where} knows no key {key!r}; {_checks.nearest(key, ends)}")
    return [target for target in targets if target.startswith("environment.")] or targets


def settable_keys(config):
    """Return the full keys that `override` may set in `config`."""
    keys = [f"environment.{key}" for key in environment_keys(config)] + ["test.p_e", "test.table"]
    for name, table in config["algorithms"].items():
        keys += [f"algorithms.{name}.{key}" for key in algorithm_keys(table)]
        for rule, own in RULE_KEYS.items():
            if isinstance(table.get(rule), dict):
                keys += [f"algorithms.{name}.{rule}.{key}" for key in own]
    return keys
