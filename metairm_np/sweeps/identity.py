"""What decides a trial's results, and whether a record is the one of a trial."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from metairm_np.experiments.files import make_data, resolved

# of a record: which trial it is, and what its numbers follow from
WHICH = ("name", "case", "algorithm", "setting", "trial", "seed", "dtype", "engine")
KEYS = (*WHICH, "settings_hash", "data_checksum")
EARLIER = "is of an earlier release, whose records do not say whose they are"


@lru_cache(maxsize=4096)
def settings_hash(config: str, algorithm: str, seed: int, dtype: str, engine: str) -> str:
    """Return what decides a trial's results but its number: data, tests, settings, seed, engine."""
    experiment = resolved(config)
    nameless = {"": experiment.algorithms[algorithm]}  # whatever its name in the table
    return replace(experiment, algorithms=nameless).hash(seed, dtype, engine)


@lru_cache(maxsize=64)
def data_checksum(environment: str) -> str:
    """Return the checksum of the files that an [environment], as JSON, reads; "" for none."""
    return make_data(json.loads(environment), 0, "float32").checksum


def mismatch(record: dict, identity: dict) -> str | None:
    """Return why a record is not that of `identity`, as a predicate, or None if it is."""
    if any(key not in record for key in KEYS):
        return EARLIER
    for key in KEYS:
        if record[key] != identity[key] or type(record[key]) is not type(identity[key]):
            return (
                f"is foreign: its {key.replace('_', ' ')} is {record[key]!r}, "
                f"of this trial it is {identity[key]!r}"
            )
    return None
