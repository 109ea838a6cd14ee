"""Checks of what users pass in: each failure is one sentence with the value, what is allowed and the remedy."""

import difflib
import math
import numbers

import numpy as np


def nearest(word, options):
    """Say which of `options` the user may have meant, and list them all unless they are very many."""
    options = sorted(options)
    close = difflib.get_close_matches(str(word), options, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{hint}Known: {', '.join(options)}" if len(options) <= 40 or not hint else hint.strip()


def choice(what, value, options):
    """Raise ValueError unless `value` is one of `options`."""
    if value not in options:
        raise ValueError(f"unknown {what} {value!r}; {nearest(value, options)}")


def keys(where, table, options):
    """Raise ValueError unless every key of `table` is one of `options`."""
    for key in table:
        if key not in options:
            raise ValueError(f"{where} has no key {key!r}; {nearest(key, options)}")


def number(what, value, low=-math.inf, high=math.inf):
    """Raise TypeError unless `value` is a real number, ValueError unless it is finite and in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} is {value!r}; give a number{_range(low, high)}")
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{what} is {value!r}; give a finite number{_range(low, high)}")


def count(what, value, low, high=math.inf):
    """Raise TypeError unless `value` is an integer, ValueError unless it lies in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{what} is {value!r}; give a whole number{_range(low, high)}")
    if not low <= value <= high:
        raise ValueError(f"{what} is {value!r}; give a whole number{_range(low, high)}")


def switch(what, value):
    """Raise TypeError unless `value` is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} is {value!r}; give True or False")


def dtype(value):
    """Raise ValueError unless `value` names float32 or float64."""
    if value not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(f"dtype is {value!r}; give float32 or float64")


def _range(low, high):
    if low == -math.inf:
        return "" if high == math.inf else f" <= {high}"
    return f" >= {low}" if high == math.inf else f" from {low} to {high}"


def model(params, width):
    """Raise unless `params` is a list of (W, b) whose layers fit each other and inputs of `width` columns."""
    if len(params) == 0:
        raise ValueError(
            "params is empty; give at least one (W, b) pair, for instance from init_mlp(sizes, seed)"
        )
    for layer, pair in enumerate(params):
        shapes = [tuple(getattr(part, "shape", ())) for part in pair]
        if len(shapes) != 2 or len(shapes[0]) != 2 or shapes[1] != shapes[0][1:]:
            raise ValueError(
                f"layer {layer} of params is not a pair W (in, out) and b (out,); see init_mlp(sizes, seed)"
            )
        if any(part.dtype.kind != "f" for part in pair):
            raise TypeError(
                f"layer {layer} of params is not of floating-point numbers; convert it, W.astype(float)"
            )
        if pair[0].shape[0] != width:
            source = "x has" if layer == 0 else f"layer {layer - 1} gives"
            raise ValueError(
                f"{source} {width} columns but W of layer {layer} takes {pair[0].shape[0]}; make them equal"
            )
        width = pair[0].shape[1]


def labels(y, n_outputs):
    """Raise ValueError unless every label is a class of a model with `n_outputs` outputs (1 means binary)."""
    n_classes = max(n_outputs, 2)
    if y.max() >= n_classes:
        raise ValueError(
            f"y holds the label {y.max()}, but {n_outputs} output{'s' * (n_outputs > 1)} allow 0..{n_classes - 1}; "
            "relabel, or widen the last layer"
        )


def environments(envs, at_least, what):
    """Raise ValueError unless there are `at_least` environments."""
    if len(envs) < at_least:
        raise ValueError(
            f"{what} needs {at_least} or more environments, got {len(envs)}; pass a longer list"
        )


def keywords(name, given, allowed):
    """Raise TypeError for the first keyword of `given` that objective `name` does not take."""
    for key in given:
        if key not in allowed:
            raise TypeError(f"{name} takes no keyword {key!r}; {nearest(key, allowed)}")


def pairs(given, n_envs, same_env):
    """Return `given` as a list of (i, j), or raise ValueError for one that is empty or names an environment that is not there."""
    given = [tuple(pair) for pair in given]
    if not given or same_env:
        raise ValueError(
            f"pairs is {given} with same_env={same_env}; give one or more pairs, and only without same_env"
        )
    for pair in given:
        if len(pair) != 2 or not all(
            isinstance(e, numbers.Integral) and 0 <= e < n_envs for e in pair
        ):
            raise ValueError(f"pairs holds {pair}; give (i, j) with i and j from 0 to {n_envs - 1}")
    return given


def gradient_noise(noise, params, n_envs, inner_steps):
    """Raise ValueError unless noise[i][t][layer] is a pair of arrays shaped as the layer's (W, b), or noise is None."""
    if noise is None:
        return
    want = [tuple(tuple(part.shape) for part in pair) for pair in params]
    for i in range(n_envs):
        for t in range(inner_steps):
            try:
                got = [tuple(tuple(part.shape) for part in pair) for pair in noise[i][t]]
            except (IndexError, KeyError, AttributeError, TypeError):
                got = None
            if got != want:
                raise ValueError(
                    f"gradient_noise[{i}][{t}] has the shapes {got}; give {want}, for each of {n_envs} environments "
                    f"and {inner_steps} inner steps"
                )


def hyper(name, given, params, envs):
    """Raise unless objective `name` takes these keywords for `params` and `envs`: the rules of `metairm_np.spec` at once."""
    environments(envs, 1 if name in ("erm", "irmv1") else 2, name)
    for key in ("penalty_weight", "std_weight", "inner_lr", "inner_l2"):
        if key in given:
            number(key, given[key], low=0)
    if "lambda_min" in given:
        number("lambda_min", given["lambda_min"], high=1 / len(envs))
    for key in ("same_env", "first_order"):
        switch(key, given.get(key, False))
    count("inner_steps", given.get("inner_steps", 1), 1)
    if given.get("pairs") is not None:
        pairs(given["pairs"], len(envs), given.get("same_env", False))
    gradient_noise(given.get("gradient_noise"), params, len(envs), given.get("inner_steps", 1))
