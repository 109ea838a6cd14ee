"""What is taken as a backend, what it offers, and what it declines."""

import functools
import inspect
import re
import traceback

from metairm_np import spec
from metairm_np.conformance.stages import STAGES

FUNCTIONS = tuple(dict.fromkeys(["risk", *(stage.needs for stage in STAGES.values())]))
KEYWORDS = {"l2"}.union(*spec.KEYWORDS.values())  # that a backend may be given
UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


class NotOffered(NotImplementedError):  # noqa: N818  it is no error
    """Raised by a backend that does not have what it is asked for: the check is left out."""


class OnlyValueAndGrad:
    """A function as a backend that offers nothing else."""

    def __init__(self, function):
        self.name, self.value_and_grad = full_name(function), function


def full_name(function):
    """Return the name of a function, of what a partial calls, or of an object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{function.__module__}.{function.__qualname__}"


def as_backend(given, where=None):
    """Return the backend that an object is, that a class makes, or that a function gives.

    `where` is what a class is called in the error.
    """
    if isinstance(given, type):
        given = made(given, where or full_name(given))
    if callable(getattr(given, "value_and_grad", None)):
        return given
    if callable(given):
        return OnlyValueAndGrad(given)
    raise TypeError(
        f"{given!r} is no backend; give the function value_and_grad(name, params, envs, "
        "**hyper) or an object that has it, see docs/conformance.md"
    )


def made(kind, where):
    """Return what a class makes without arguments."""
    try:
        return kind()
    except Exception as error:
        raise TypeError(
            f"{where}() failed: {type(error).__name__}: {' '.join(str(error).split())}; it has to "
            "work without arguments"
        ) from error


def name_of(backend):
    """Return a backend's own name, or that of its module or class."""
    names = (getattr(backend, "name", None), getattr(backend, "__name__", None))
    return str(names[0] or names[1] or type(backend).__name__)


def offered(backend):
    """Return the stages that a backend has the functions for."""
    return [name for name, stage in STAGES.items() if callable(getattr(backend, stage.needs, None))]


# ---- what is declined ----------------------------------------------------------------------------


def declined(error, backend):
    """Return why a backend does not offer what made it raise an error, or "" if it does.

    It says so by `NotOffered`, by a NotImplementedError of its own, or by not taking a keyword. A
    NotImplementedError from deeper inside, such as a framework's, is an error as any other.
    """
    if isinstance(error, NotOffered):
        return str(error) or "not offered"
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    raised_in = innermost.f_globals.get("__name__")
    if isinstance(error, NotImplementedError) and raised_in in modules(backend):
        return str(error) or "not implemented"
    keyword = UNEXPECTED.search(str(error)) if isinstance(error, TypeError) else None
    asked_here = str(raised_in).startswith(f"{__package__}.")
    if keyword and keyword[1] in KEYWORDS and (asked_here or raised_in in modules(backend)):
        return f"keyword {keyword[1]!r} not offered"
    return ""


def modules(backend):
    """Return the names of the modules in which a backend's functions are written."""
    found = {getattr(backend, "__name__", None), type(backend).__module__}
    for name in FUNCTIONS:
        function = getattr(backend, name, None)
        while isinstance(function, functools.partial):
            function = function.func
        function = inspect.unwrap(function) if callable(function) else function
        found.add(getattr(function, "__module__", None))
    return found - {None, "builtins", __name__}
