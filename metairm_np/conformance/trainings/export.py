"""One trial as an npz file: all that it draws, so that another framework trains the same one.

The arrays are those of `ARRAYS`; "about" has the settings, and says what each array is.
"""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from metairm_np import _checks, _storage, fast
from metairm_np._seeds import NOISE, child
from metairm_np._version import __version__
from metairm_np.environments.colored_mnist import N_TRAIN_IMAGES, ColoredDigits
from metairm_np.environments.mnist import SHA256
from metairm_np.experiments.files import Experiment, load_study, row_of
from metairm_np.training.loop import first_state, trajectory
from metairm_np.training.state import stream

STEPS = 20  # whose noise and answers are written unless more are asked for
SCHEDULED = ("inner_lr", "penalty_weight", "lambda_min")  # keywords that change over the steps
ARRAYS = {  # by name, with E environments, L layers and T steps: the shape, and what it is
    "about": ("(bytes,) uint8", "JSON: settings, environments, and what is said here"),
    "PART_rows": ("(n,) int32", "which images, as rows of train_images in mnist14.npz"),
    "PART_y": ("(n,) int64", "labels, their noise included"),
    "PART_z": ("(n,) int8", "colours: the channel that each image is in; none in greyscale"),
    "PART_patch": ("(n,) int8", "z' of each patch, where there are patches"),
    "PART_x": ("(n, d) dtype", "inputs, in the place of rows, z and patch: data but MNIST"),
    "Wl": ("(in, out) dtype", "first weights of layer l"),
    "bl": ("(out,) dtype", "first biases"),
    "noise_Wl": ("(T, E, inner steps, in, out) dtype", "DropGrad's multipliers of the gradient"),
    "noise_bl": ("(T, E, inner steps, out) dtype", "the same of the biases' gradient"),
    "pairs": ("(T, pairs, 2) int64", "the sampled (i, j), where they are sampled"),
    "inner_lr": ("(T,) float64", "alpha at each step, of meta-IRM"),
    "penalty_weight": ("(T,) float64", "at each step, of IRMv1 and V-REx"),
    "lambda_min": ("(T,) float64", "at each step, of MM-REx"),
    "divided_by": ("(T,) float64", "what value and gradient are divided by (rescale), or 1"),
    "answer_objective": ("(T,) float64", "the objective before each step, as divided"),
    "answer_risk": ("(T, E) float64", "the training risks before each step"),
    "answer_validation_risk": ("(T, E) float64", "the validation risks before each step"),
    "answer_Wl": ("(in, out) dtype", "weights after T steps"),
    "answer_bl": ("(out,) dtype", "biases after T steps"),
    "answer_test_accuracy": ("(tests,) float64", "on each test environment after T steps"),
}


def load(name: str, overrides=(), case: str | None = None, algorithm: str | None = None) -> tuple:
    """Return the experiment, one of its study's cases, and the name of an algorithm of it.

    Raises
    ------
    ValueError
        If the study, the case or the algorithm is unknown, or no case is named where there are
        several.
    """
    cases = load_study(name, overrides).cases
    if case is None and len(cases) > 1:
        raise ValueError(f"{name} has the cases {', '.join(cases)}; name one with --case")
    if case is not None:
        _checks.choice("case", case, cases)
    experiment = next(iter(cases.values())) if case is None else cases[case]
    _checks.choice("algorithm", algorithm, experiment.algorithms)
    return experiment, algorithm


def export_trial(
    path: str | Path,
    experiment: Experiment,
    algorithm: str,
    trial: int = 0,
    seed: int = 0,
    steps: int | None = None,
    dtype: str = "float64",
) -> str:
    """Write a trial as an npz file; return a sentence that says what is in it.

    Parameters
    ----------
    path : str or path
    experiment : Experiment
    algorithm : str
        One of the experiment's.
    trial : int, default 0
        Its number.
    seed : int, default 0
        The run's; the trial's own is its child number `trial`.
    steps : int, optional
        How many steps' noise and answers; by default 20, or as many as there are.
    dtype : {"float64", "float32"}, default "float64"

    Returns
    -------
    str

    Raises
    ------
    ValueError, TypeError, OSError
        If a number is out of its range, or the file cannot be written.
    """
    settings = experiment.algorithms[algorithm].settings
    _checks.count("--trial", trial, 0, 2**31)
    _checks.count("--seed", seed, 0)
    steps = min(STEPS, settings.steps) if steps is None else steps
    _checks.count("--steps", steps, 0, settings.steps)
    own = child(seed, trial)
    data = experiment.data(own, dtype)
    data = data.greyscale() if settings.greyscale else data
    tests = [data.test(name) for name in experiment.table_p]
    taken, arrays = _trained(settings, data, tests, own, steps)
    arrays = {**_drawn(data, experiment.table_p), **arrays}
    about = {
        "schema": "metairm_np exported trial, version 1",
        "metairm_np": __version__,
        "experiment": experiment.name,
        "case": experiment.case,
        "algorithm": algorithm,
        "trial": trial,
        "seed": seed,
        "dtype": dtype,
        "steps": taken,
        "settings": asdict(settings),
        "environment": experiment.config["environment"],
        "n_classes": data.n_classes,
        "train": [_about(env) for env in data.train],
        "validation": [_about(env) for env in data.validation],
        "test": [_about(env) for env in tests],
        "images": {"file": "mnist14.npz", "array": "train_images", "sha256": SHA256["train_images"]}
        if _of_mnist(data)
        else None,
        "noise_stream": stream(child(own, NOISE)),
        "arrays": {name: [list(part.shape), part.dtype.name] for name, part in arrays.items()},
        "meanings": ARRAYS,
    }
    content = np.frombuffer(json.dumps(about).encode(), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, about=content, **arrays)
    try:
        _storage.write(path, file.getvalue())
    except OSError as error:
        raise OSError(
            f"cannot write {path} ({error.strerror or error}); name another file with --out"
        ) from None
    ended = f", where training ends ({taken})" if taken < steps else ""
    return (
        f"{path}: {experiment.name}, {row_of(algorithm, experiment.case)}, trial {trial} of seed "
        f"{seed} in {dtype}, with {taken} steps{ended}, {len(file.getvalue()) / 1e6:.1f} MB"
    )


def _about(env):
    """Return what is known of an environment."""
    known = {key: getattr(env, key) for key in ("name", "p_e", "patch_p", "label_noise")}
    return {**known, "n": len(env)}


def _of_mnist(data):
    """Return whether the images are rows of the shipped MNIST."""
    return isinstance(data, ColoredDigits) and data.sources == SHA256


# ---- the data ------------------------------------------------------------------------------------


def _drawn(data, names):
    """Return the arrays of all environments; `names` are those of the test environments."""
    of_mnist, arrays = _of_mnist(data), {}
    made = data.draws() if of_mnist else data
    for kind, envs in (
        ("train", made.train),
        ("validation", made.validation),
        ("test", [made.test(name) for name in names]),
    ):
        for e, env in enumerate(envs):
            found = _of_draw(env, kind, data.in_colour) if of_mnist else {"x": env.x, "y": env.y}
            arrays |= {f"{kind}{e}_{key}": part for key, part in found.items()}
    return arrays


def _of_draw(draw, kind, in_colour):
    """Return the arrays of a `Draw`; the pool of the test environments begins after the other."""
    found = {"rows": (draw.rows + N_TRAIN_IMAGES * (kind == "test")).astype(np.int32), "y": draw.y}
    if in_colour:
        found["z"] = draw.z.astype(np.int8)
    if draw.patch is not None:
        found["patch"] = draw.patch.astype(np.int8)
    return found


# ---- the training --------------------------------------------------------------------------------


def _trained(settings, data, tests, seed, steps):
    """Return how many of the first steps there are, and the arrays of what they take and give."""
    settings.check_for(len(data.train), len(data.validation))
    state = first_state(settings, data.train, seed, data.n_classes)
    found = trajectory(settings, fast, data.train, data.validation, state)
    *taken, last = itertools.islice(found, steps + 1)
    params = last.state.params
    arrays = {
        **_named("", state.params),
        **_random([step.hyper for step in taken]),
        **{
            key: np.array([step.hyper[key] for step in taken])
            for key in SCHEDULED
            if key in last.hyper
        },
        "divided_by": np.array([_divisor(settings, step) for step in taken]),
        "answer_objective": np.array([step.objective["objective"] for step in taken]),
        "answer_risk": np.array([step.risk for step in taken]),
        **_named("answer_", params),
        "answer_test_accuracy": np.array([fast.accuracy(params, env) for env in tests]),
    }
    if data.validation:
        risks = [step.validation["validation_risk"] for step in taken]
        arrays["answer_validation_risk"] = np.array(risks)
    return len(taken), arrays


def _divisor(settings, step):
    """Return what training divides the value and the gradient of a step by."""
    return max(step.objective["weight"], 1.0) if settings.rescale else 1.0


def _random(hypers):
    """Return the arrays of what the steps drew at random."""
    arrays = {}
    if hypers and "gradient_noise" in hypers[0]:
        noise = [hyper["gradient_noise"] for hyper in hypers]  # [step][environment][inner step]
        for l, pair in enumerate(noise[0][0][0]):
            for part in range(len(pair)):
                arrays[f"noise_{'Wb'[part]}{l}"] = np.array(
                    [[[inner[l][part] for inner in env] for env in envs] for envs in noise]
                )
    if hypers and "pairs" in hypers[0]:
        arrays["pairs"] = np.array([hyper["pairs"] for hyper in hypers])
    return arrays


def _named(before, params):
    """Return parameters as W0, b0, W1, ..., with something before the names."""
    return {
        f"{before}{letter}{l}": part
        for l, pair in enumerate(params)
        for letter, part in zip("Wb", pair)
    }
