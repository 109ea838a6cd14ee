"""The golden vectors: cases with their inputs and the spec's answers, as arrays (npz) and JSON."""

import io
import json
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from metairm_np import _storage
from metairm_np._version import __version__
from metairm_np.conformance import cases
from metairm_np.conformance.cases import Case
from metairm_np.conformance.stages import STAGES, answers, margin, scales, stages_of
from metairm_np.environments import Environment

SCHEMA = "metairm_np conformance golden vectors, version 1"
FOLDER = Path(__file__).resolve().parent / "golden" / "v1"
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


def build(name, note, **options):
    """Return the case of the first seed whose units keep away from their kinks, in float32, too."""
    drawn = (cases.build(name, note, seed=seed, **options) for seed in range(1000))
    return next(case for case in drawn if margin(case) > LEAST_MARGIN)


def random_cases(number, seed):
    """Return random cases; every tenth has trajectories, which are expensive."""
    rng = np.random.default_rng(seed)

    def integer(low, high):
        return int(rng.integers(low, high, endpoint=True))

    return [
        build(
            f"random_{k}",
            "random",
            optimizers=cases.BOTH if k % 10 == 9 else (),
            **cases.draw_options(integer),
        )
        for k in range(number)
    ]


# ---- writing -------------------------------------------------------------------------------------


def generate():
    """Compute all golden vectors.

    Returns
    -------
    manifest : dict
    arrays : dict of str to array
        "case/inputs/name" in float32, exactly, labels in int8; "case/stage/name" in float64.
    """
    manifest = {
        "schema": SCHEMA,
        "version": 1,
        "generator": {
            "metairm_np": __version__,
            "numpy": np.__version__,
            "autograd": version("autograd"),
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
    for name, note, options in cases.GOLDEN:
        solved = solve(build(name, note, **options))
        case = solved.case
        manifest["cases"][name] = {
            "note": note,
            **{key: getattr(case, key) for key in cases.NUMBERS},
            "meta": {key: value for key, value in case.meta.items() if key != "gradient_noise"},
            "optimizers": case.optimizers,
            "scales": solved.scales,
        }
        inputs = {key: part.astype(np.float32) for key, part in case.arrays().items()}
        inputs |= {f"y{e}": env.y.astype(np.int8) for e, env in enumerate(case.envs)}
        for group, parts in {"inputs": inputs, **solved.answers}.items():
            arrays |= {f"{name}/{group}/{key}": part for key, part in parts.items()}
    return manifest, arrays


def write(folder=FOLDER):
    """Compute the golden vectors and write them into `folder`."""
    manifest, arrays = generate()
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
    folder : path, default that of the package
        With manifest.json and arrays.npz.

    Returns
    -------
    dict of str to Solved
        By the cases' names, in order.
    """
    manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
    with np.load(Path(folder) / "arrays.npz") as packed:
        arrays = {key: packed[key] for key in packed.files}
    return {name: _solved(name, about, arrays) for name, about in manifest["cases"].items()}


def _solved(name, about, arrays):
    groups = {"inputs": {}, **{stage: {} for stage in about["scales"]}}
    for key, part in arrays.items():
        case, group, array = key.split("/")
        if case == name:
            groups[group][array] = part
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
        **{key: about[key] for key in cases.NUMBERS},
    )
    return Solved(
        case,
        *(
            {stage: found[stage] for stage in stages_of(case)}
            for found in (groups, about["scales"])
        ),
    )
