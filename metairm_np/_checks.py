"""Checks of what users pass in: a failure is one sentence, the value, the rule and the remedy."""

import difflib
import functools
import inspect
import itertools
import math
import numbers
from collections.abc import Callable
from typing import TypeVar

import numpy as np


def nearest(word, options):
    """Return which of `options` the user may have meant, and all unless they are very many."""
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
    """Raise unless `value` is a real number (TypeError), finite and in [low, high] (ValueError)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} is {value!r}; give a number{_range(low, high)}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond float64
        finite = False
    if not finite or not low <= value <= high:
        raise ValueError(f"{what} is {value!r}; give a finite number{_range(low, high)}")


def count(what, value, low, high=math.inf):
    """Raise unless `value` is an integer (TypeError) in [low, high] (ValueError)."""
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


def environment(what, env):
    """Raise TypeError unless `env` has labels, as an Environment has."""
    if not hasattr(env, "y"):
        raise TypeError(
            f"{what} is of type {type(env).__name__}; make an Environment of it, Environment(x, y)"
        )


def environments(what, envs):
    """Raise TypeError unless `envs` is a sequence of Environments."""
    if hasattr(envs, "y"):
        raise TypeError(f"{what} is a single {type(envs).__name__}; give a list, [env]")
    for place, env in enumerate(envs):
        environment(f"{what}[{place}]", env)


def model(params, width):
    """Raise unless `params` is a list of (W, b) that fit each other and inputs so wide."""
    if len(params) == 0:
        raise ValueError(
            "params is empty; give at least one (W, b) pair, such as from init_mlp(sizes, seed)"
        )
    for layer, pair in enumerate(params):
        shapes = [tuple(getattr(part, "shape", ())) for part in pair]
        if len(shapes) != 2 or len(shapes[0]) != 2 or shapes[1] != shapes[0][1:]:
            raise ValueError(
                f"layer {layer} of params is not a pair W (in, out) and b (out,); see "
                "init_mlp(sizes, seed)"
            )
        if any(part.dtype.kind != "f" for part in pair):
            raise TypeError(
                f"layer {layer} of params is not of floating-point numbers; convert it, "
                "W.astype(float)"
            )
        if pair[0].shape[0] != width:
            source = "x has" if layer == 0 else f"layer {layer - 1} gives"
            raise ValueError(
                f"{source} {width} columns but W of layer {layer} takes {pair[0].shape[0]}; make "
                "them equal"
            )
        width = pair[0].shape[1]


def labels(y, n_outputs):
    """Raise ValueError unless all labels are classes of a model with `n_outputs` (1: binary)."""
    n_classes = max(n_outputs, 2)
    if y.max() >= n_classes:
        raise ValueError(
            f"y holds the label {y.max()}, but {n_outputs} output{'s' * (n_outputs > 1)} allow "
            f"0..{n_classes - 1}; relabel, or widen the last layer"
        )


def keywords(name, given, allowed):
    """Raise unless `name` is an objective that takes the keywords `given`: allowed[name] does."""
    choice("objective", name, allowed)
    for key in given:
        if key not in allowed[name]:
            raise TypeError(f"{name} takes no keyword {key!r}; {nearest(key, allowed[name])}")


def pairs(value, given):
    """Raise ValueError unless `value` holds one or more (i, j) of environments that are there."""
    same_env, n_envs = given.get("same_env", False), len(given["envs"])
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) == 0 or same_env:
        raise ValueError(
            f"pairs is {value} with same_env={same_env}; give one or more pairs, and only without "
            "same_env"
        )
    for pair in value:
        entries = tuple(pair) if np.ndim(pair) == 1 else ()
        known = [isinstance(e, numbers.Integral) and 0 <= e < n_envs for e in entries]
        if known != [True, True]:
            raise ValueError(f"pairs holds {pair}; give (i, j) with i and j from 0 to {n_envs - 1}")


def gradient_noise(value, given):
    """Raise ValueError unless gradient_noise[i][t], or [t] for one environment, is like params."""
    steps = range(given.get("inner_steps", 1))
    envs = range(len(given["envs"])) if "envs" in given else [None]
    want = _shapes(given["params"])
    for i, t in itertools.product(envs, steps):
        place = f"[{t}]" if i is None else f"[{i}][{t}]"
        try:
            got = _shapes(value[t] if i is None else value[i][t])
        except (IndexError, KeyError, AttributeError, TypeError):
            got = None
        if got != want:
            raise ValueError(
                f"gradient_noise{place} has the shapes {got}; give {want}, for each environment "
                f"and each of {len(steps)} inner steps"
            )


def _shapes(params):
    return [tuple(tuple(part.shape) for part in pair) for pair in params]


def _at_least_0(what):
    return lambda value, given: number(what, value, low=0)


def _switch(what):
    return lambda value, given: switch(what, value)


RULES = {  # an argument's name: what checks its value, knowing the other arguments
    "envs": lambda envs, given: environments("envs", envs),
    "env": lambda env, given: environment("env", env),
    "x": lambda x, given: model(given["params"], x.shape[1]),
    "y": lambda y, given: labels(y, given["f"].shape[1]),
    "l2": _at_least_0("l2"),
    "inner_lr": _at_least_0("inner_lr"),
    "inner_l2": _at_least_0("inner_l2"),
    "outer_lr": _at_least_0("outer_lr"),
    "std_weight": _at_least_0("std_weight"),
    "penalty_weight": _at_least_0("penalty_weight"),
    "lambda_min": lambda value, given: number("lambda_min", value, high=1 / len(given["envs"])),
    "inner_steps": lambda value, given: count("inner_steps", value, 1),
    "first_order": _switch("first_order"),
    "same_env": _switch("same_env"),
    "pairs": lambda value, given: value is None or pairs(value, given),
    "gradient_noise": lambda value, given: value is None or gradient_noise(value, given),
}
Function = TypeVar("Function", bound=Callable)


def checked(at_least: int = 0) -> Callable[[Function], Function]:
    """Return the decorator that applies `RULES`, and wants `at_least` so many environments.

    What it makes of a function has `check`, which takes the same arguments and only checks them.
    """

    def decorate(function):
        name, arguments = function.__name__, arguments_of(function)

        def check(*args, **keywords):
            given = arguments(args, keywords)
            if at_least and len(given["envs"]) < at_least:
                raise ValueError(
                    f"{name} needs {at_least} or more environments, got {len(given['envs'])}; "
                    "pass a longer list"
                )
            for key in [key for key in RULES if key in given]:
                RULES[key](given[key], given)

        @functools.wraps(function)
        def call(*args, **keywords):
            check(*args, **keywords)
            return function(*args, **keywords)

        call.check = check
        return call

    return decorate


def arguments_of(function):
    """Return what finds the named arguments of a call, or raises TypeError if they do not fit."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    placed = [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = {p.name for p in named if p.default is p.empty}
    known, some = {p.name for p in named}, len(named) == len(signature.parameters)

    def find(args, keywords):
        given = {**dict(zip(placed, args)), **keywords}
        once = len(given) == len(args) + len(keywords)
        if not (once and needed <= given.keys() and (given.keys() <= known or not some)):
            try:  # slower, but it has the sentences
                signature.bind(*args, **keywords)
            except TypeError as error:
                names = ", ".join(signature.parameters)
                raise TypeError(f"{function.__name__}: {error}; it takes {names}") from None
        return given if some else {key: given[key] for key in known & given.keys()}

    return find
