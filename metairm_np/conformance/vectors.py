"""The golden vectors: cases with their inputs and the spec's answers, as arrays (npz) and JSON."""

import io
import json
import platform
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np

from metairm_np import _storage
from metairm_np._version import __version__
from metairm_np.conformance import cases
from metairm_np.conformance.cases import Case
from metairm_np.conformance.golden_cases import GOLDEN
from metairm_np.conformance.stages import STAGES, answers, margin, scales, stages_of
from metairm_np.environments import Environment

FOLDERS = {version: Path(__file__).resolve().parent / "golden" / version for version in GOLDEN}
LATEST = "v2"
FOLDER = FOLDERS[LATEST]
LEAST_MARGIN = 2.0**-14


@dataclass(frozen=True, eq=False)
class Solved:
    """A case with the spec's answers {stage: {name: array}} and scales {stage: {name: float}}."""

    case: Case
    answers: dict
    scales: dict


def solve(case, stages=None):
    """Return a case with the spec's answers to some stages, or to all."""
    right = answers(case, stages=stages)
    return Solved(case, right, scales(case, right))


def build(name, note, first_seed=0, **options):
    """Return the case of the first seed whose units keep away from their kinks, in float32, too."""
    drawn = (cases.build(name, note, seed=first_seed + k, **options) for k in range(1000))
    return next(case for case in drawn if margin(case) > LEAST_MARGIN)


# ---- writing -------------------------------------------------------------------------------------


def generate(version=LATEST):
    """Compute all golden vectors of a version.

    Returns
    -------
    manifest : dict
    arrays : dict of str to array
        "case/inputs/name" in float32 where that is exact, labels in int8; "case/stage/name" in
        float64.
    """
    manifest = {
        "schema": f"metairm_np conformance golden vectors, version {version[1:]}",
        "version": int(version[1:]),
        "generator": {
            "metairm_np": __version__,
            "numpy": np.__version__,
            "autograd": version_of("autograd"),
            "python": platform.python_version(),
        },
        "provenance": "Computed in float64 by automatic differentiation of metairm_np/spec.py. "
        "Inputs are pseudo-random, and real images of MNIST (LeCun, Cortes and Burges; "
        "CC BY-SA 3.0, see data/README.md) where a note says so.",
        "layout": "arrays.npz holds case/inputs/W0, b0, ... (layers), x0, y0, ... (environments), "
        "vector_W0, ... and noise<i>_<t>_W0, ... (environment i, inner step t), and "
        "case/stage/name with the answers; the stages are explained in docs/conformance.md.",
        "tolerances": {
            name: {"units": stage.units, "reason": stage.reason} for name, stage in STAGES.items()
        },
        "tolerance rule": "an array may be off by units * eps(dtype) * its scale, eps = 2^-52 or "
        "2^-23",
        "cases": {},
    }
    arrays = {}
    for name, note, options in GOLDEN[version]:
        solved = solve(build(name, note, **options))
        case = solved.case
        manifest["cases"][name] = {
            "note": note,
            **{key: getattr(case, key) for key in cases.NUMBERS},
            "meta": {key: value for key, value in case.meta.items() if key != "gradient_noise"},
            "optimizers": case.optimizers,
            **{key: options[key] for key in ("objective", "steps") if key in options},
            "scales": solved.scales,
        }
        inputs = {key: smallest(part) for key, part in case.arrays().items()}
        inputs |= {f"y{e}": env.y.astype(np.int8) for e, env in enumerate(case.envs)}
        for group, parts in {"inputs": inputs, **solved.answers}.items():
            arrays |= {f"{name}/{group}/{key}": part for key, part in parts.items()}
    return manifest, arrays


def smallest(a):
    """Return an array in float32 if that is exact, or else as it is."""
    single = a.astype(np.float32)
    return single if np.array_equal(single, a) else a


def write(folder=None, version=LATEST):
    """Compute the golden vectors of a version and write them into `folder`, or the package's."""
    folder = FOLDERS[version] if folder is None else folder
    manifest, arrays = generate(version)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    _storage.write(Path(folder) / "arrays.npz", packed.getvalue())
    _storage.write(Path(folder) / "manifest.json", json.dumps(manifest, indent=1) + "\n")


# ---- reading -------------------------------------------------------------------------------------


@cache
def load(folder=FOLDER):
    """Read golden vectors.

    Parameters
    ----------
    folder : path, default that of the package's latest version
        With manifest.json and arrays.npz.

    Returns
    -------
    dict of str to Solved
        By the cases' names, in order.
    """
    manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
    parts: dict = {name: {} for name in manifest["cases"]}
    for key, part in read_arrays(Path(folder) / "arrays.npz"):
        case, group, array = key.split("/")
        parts[case].setdefault(group, {})[array] = part
    return {name: _solved(name, about, parts[name]) for name, about in manifest["cases"].items()}


def read_arrays(path):
    """Yield the names and arrays of an npz file, many small ones three times as fast as `np.load`.

    Most of them have one of a few headers, and each of these is parsed once.
    """
    headers: dict = {}
    with zipfile.ZipFile(path) as packed:
        for member in packed.namelist():
            content = packed.read(member)
            start = 10 + int.from_bytes(content[8:10], "little")  # of the data, in format 1.0
            if content[:start] not in headers:
                headers[content[:start]] = np.lib.format.read_array(io.BytesIO(content))
            like = headers[content[:start]]
            data = np.frombuffer(content, like.dtype, like.size, start)
            yield member.removesuffix(".npy"), data.reshape(like.shape)


def _solved(name, about, groups):
    inputs = {key: part.astype(np.float64) for key, part in groups.pop("inputs").items()}

    def layers(before=""):
        count = sum(key.startswith(f"{before}W") for key in inputs)
        return [(inputs[f"{before}W{l}"], inputs[f"{before}b{l}"]) for l in range(count)]

    n_envs = sum(key.startswith("x") for key in inputs)
    envs = [Environment(inputs[f"x{e}"], inputs[f"y{e}"].astype(np.int64)) for e in range(n_envs)]
    meta = dict(about["meta"])
    if "pairs" in meta:
        meta["pairs"] = [tuple(pair) for pair in meta["pairs"]]
    if "noise0_0_W0" in inputs:
        meta["gradient_noise"] = [
            [layers(f"noise{i}_{t}_") for t in range(meta.get("inner_steps", 1))]
            for i in range(n_envs)
        ]
    case = Case(
        name,
        about["note"],
        layers(),
        envs,
        layers("vector_"),
        meta,
        optimizers=about["optimizers"],
        **{key: about[key] for key in (*cases.NUMBERS, "objective", "steps") if key in about},
    )
    return Solved(
        case,
        *(
            {stage: found[stage] for stage in stages_of(case)}
            for found in (groups, about["scales"])
        ),
    )
