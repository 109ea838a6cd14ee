"""What both adapters share: objective functions of one's own by the names that the suite has."""

import functools

from metairm_np import _checks, spec
from metairm_np.conformance.offer import NotOffered, full_name


class Objectives:
    """A backend of objectives of one's own; subclasses ask(objective, params, envs, hyper)."""

    def __init__(self, objectives):
        self.objectives, self.name = checked(objectives), named(objectives)

    @property
    def value_and_grad(self):
        """The question, which counts as a function of the module that the objectives are in."""

        def ask(name, params, envs, **hyper):
            return self.ask(chosen(self.objectives, name), params, envs, hyper)

        ask.__module__ = module_of(self.objectives)
        return ask


def checked(objectives):
    """Return the objectives if their names are the suite's and they can be called."""
    if not objectives:
        raise ValueError(
            "no objective is given; name at least one, such as meta_irm=my_loss. Known: "
            + ", ".join(spec.OBJECTIVES)
        )
    for name, objective in objectives.items():
        _checks.choice("objective", name, spec.OBJECTIVES)
        if not callable(objective):
            raise TypeError(f"{name} is {objective!r}; give a function of (model, envs, ...)")
    return objectives


def named(objectives):
    """Return what a report calls the backend."""
    return " and ".join(dict.fromkeys(map(full_name, objectives.values())))


def module_of(objectives):
    """Return the name of the module that the first objective is written in."""
    function = next(iter(objectives.values()))
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__


def chosen(objectives, name):
    """Return the objective of that name, or decline."""
    if name not in objectives:
        raise NotOffered(f"no {name}")
    return objectives[name]
