"""Whether the objectives of a model of one's own are the paper's, given its risk and gradient."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metairm_np import _checks
from metairm_np.conformance import equations, replies
from metairm_np.conformance.equations import COARSE, Model, extrapolated
from metairm_np.conformance.mistakes import MISTAKES
from metairm_np.conformance.offer import OnlyValueAndGrad, declined, full_name
from metairm_np.conformance.report import WIDTH
from metairm_np.conformance.stages import REQUIRED
from metairm_np.conformance.suite import told
from metairm_np.conformance.trees import Layout

UNITS = 64  # of rounding, as the suite's meta_irm
ROOM = 10  # times the measured error of the differences
SHARPEST = 1e-4  # of the scale; where more would have to be allowed nothing is decided
NUDGES = 2
ALIKE = 4  # times what is allowed, between an answer and a mistake's
DIRECTIONS = 4  # along which the gradient is held against the risk
LOOK_ALIKE = {  # mistakes that are looked for in a wrong meta-IRM, as options of the equations
    "first-order leak": {"first_order": True},
    "same environment in both loops": {"same_env": True},
    "sample standard deviation": {"ddof": 1},
}


@dataclass
class Row:
    """What came of one question.

    Attributes
    ----------
    name : str
    differences, allowed : dict of str to float
        Of the value and each leaf of theta, in units of its scale.
    scales : dict of str to float
    problem : str
        Why it could not be compared.
    left_out : bool
    mistake : str
        The known mistake that gives the same answer.
    """

    name: str
    differences: dict = field(default_factory=dict)
    allowed: dict = field(default_factory=dict)
    scales: dict = field(default_factory=dict)
    problem: str = ""
    left_out: bool = False
    mistake: str = ""

    @property
    def worst(self):
        """The array that is farthest from what is allowed."""
        return max(self.differences, key=lambda key: self.differences[key] / self.allowed[key])

    @property
    def ok(self):
        """Whether the answer is right."""
        return not self.problem and all(
            size <= self.allowed[key] for key, size in self.differences.items()
        )

    def line(self):
        """Return the row as a line of text."""
        if self.problem:
            return f"{self.name:<24}{'left out' if self.left_out else 'wrong':<10}{self.problem}"
        size, most = self.differences[self.worst], self.allowed[self.worst]
        shown = f"{size:.1e}" if np.isfinite(size) else "NaN"
        return (
            f"{self.name:<24}{'OK' if self.ok else 'differs':<10}{shown:>18}{most:>10.1e}"
            f"   {self.worst}"
        )


@dataclass
class ObjectiveReport:
    """What `check_objective` found.

    Attributes
    ----------
    objective : str
        What was checked.
    rows : list of Row
        The gradient of the risk, and then each objective.
    required : list of str
        What may not be left out.
    """

    objective: str
    rows: list[Row]
    required: list[str]

    @property
    def wrong(self) -> list[Row]:
        """The rows that differ."""
        return [row for row in self.rows if not row.ok and not row.left_out]

    @property
    def unasked(self) -> list[str]:
        """What is required and was left out."""
        asked = {row.name for row in self.rows if not row.left_out}
        return [name for name in self.required if name not in asked]

    @property
    def passed(self) -> bool:
        """Whether what is required was answered, and everything that was answered is right."""
        return not self.wrong and not self.unasked

    @property
    def diagnosis(self) -> list[str]:
        """The names of the mistakes found."""
        return list(dict.fromkeys(row.mistake for row in self.rows if row.mistake))

    def text(self) -> str:
        """Return the report as text: a line for each question, and the diagnosis."""
        lines = [
            f"{self.objective} against the equations on its own risk",
            "",
            f"{'question':<24}{'':<10}{'largest difference':>18}{'allowed':>10}   where",
            *(row.line() for row in self.rows),
            "",
            "Derivatives of gradients are central differences, extrapolated; `allowed` has ten "
            "times their",
            "measured error in it, besides rounding. Both numbers are shares of the array's scale.",
            "",
            self.verdict(),
        ]
        for name in self.diagnosis:
            lines += ["", f"Diagnosis: {name}"]
            for what in ("cause", "remedy"):
                text = f"{what}: {getattr(MISTAKES[name], what)}"
                lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return in a sentence whether it passes, or else what is wrong first."""
        if self.passed:
            return "Passed: every answer is what the equations give."
        if self.rows[0] in self.wrong:
            return (
                "Not passed: grad is not the gradient of risk in float64; nothing else was asked."
            )
        if self.wrong:
            names = ", ".join(row.name for row in self.wrong)
            return f"Not passed: wrong in {names}."
        return f"Not passed: {' and '.join(self.unasked)} left out, though required."


def check_objective(
    value_and_grad: Callable,
    risk: Callable,
    theta: Any,
    envs: Sequence,
    *,
    grad: Callable,
    inner_lr: float = 0.1,
    std_weight: float = 1.0,
    penalty_weight: float = 1.0,
    l2: float = 0.01,
    require: Sequence[str] = REQUIRED,
) -> ObjectiveReport:
    """Compare objectives of any differentiable model with the paper's equations on its own risk.

    Only the risk and its gradient are taken from the user, both in float64; second derivatives are
    differences of the gradient, and so is the objective's gradient put together from these.

    Parameters
    ----------
    value_and_grad : function
        value_and_grad(name, theta, envs, **hyper), what is checked: a number, and the gradient in
        the structure of theta or as one vector. It declines as a backend does.
    risk : function
        risk(theta, env), R^e, a number; IRMv1 is asked if there is risk(theta, env, scale), with
        the outputs times scale.
    theta : dict, list or tuple of arrays, nested
        The point at which all is compared; not one where a unit's input is exactly 0.
    envs : sequence, two or more
        Of whatever `risk` takes.
    grad : function
        grad(theta, env), the gradient of `risk` in the structure of theta; with `scale` as risk.
    inner_lr, std_weight, penalty_weight, l2 : float > 0
        With which the objectives are asked.
    require : sequence of str, default ("meta_irm_without_sigma", "meta_irm")
        The questions that may not be left out.

    Returns
    -------
    ObjectiveReport

    Raises
    ------
    TypeError, ValueError
        If theta has no arrays, there are fewer than two environments, or a number is out of range.
    """
    for what, f in {"value_and_grad": value_and_grad, "risk": risk, "grad": grad}.items():
        if not callable(f):
            raise TypeError(f"{what} is {f!r}; give a function")
    given = {"inner_lr": inner_lr, "std_weight": std_weight, "penalty_weight": penalty_weight}
    for what, value in (given | {"l2": l2}).items():
        _checks.number(what, value, low=np.finfo(float).tiny)
    if len(envs) < 2:
        raise ValueError(f"there are {len(envs)} environments; give two or more")
    model = Model(Layout(theta), risk, grad, list(envs))
    meta = {"inner_lr": inner_lr, "std_weight": std_weight}
    questions: dict = {
        "erm": ("erm", {}),
        "irmv1": ("irmv1", {"penalty_weight": penalty_weight}),
        "v_rex": ("v_rex", {"penalty_weight": penalty_weight}),
        "meta_irm_without_sigma": ("meta_irm", meta | {"std_weight": 0.0}),
        "meta_irm": ("meta_irm", meta),
        "meta_irm_two_steps": ("meta_irm", meta | {"inner_steps": 2}),
        "meta_irm_l2": ("meta_irm", meta | {"l2": l2}),
    }
    for name in require:
        _checks.choice("question", name, questions)
    if not all("scale" in inspect.signature(f).parameters for f in (risk, grad)):
        del questions["irmv1"]
    rows = [gradient_row(model)]
    for name, (objective, hyper) in questions.items() if rows[0].ok else ():
        known = any(row.mistake for row in rows)
        rows.append(ask(value_and_grad, model, name, objective, hyper, diagnose=not known))
    return ObjectiveReport(full_name(value_and_grad), rows, list(require))


def ask(value_and_grad, model, name, objective, hyper, diagnose):
    """Return the row of one question."""
    layout, theta = model.layout, model.layout.theta
    try:
        answer = value_and_grad(objective, layout.tree(theta), list(model.envs), **hyper)
        value, gradient = replies.two(answer, "value_and_grad")
        value = replies.number(value)
        if value.shape:
            raise replies.UnusableError(f"value is {replies.kind(value)}; it has to be one number")
        answer = np.r_[float(value), layout.vector(gradient)]
    except Exception as error:
        why = declined(error, OnlyValueAndGrad(value_and_grad))
        return Row(name, problem=why or told(error), left_out=bool(why))
    slices = {"value": slice(0, 1)}
    slices |= {key: slice(s.start + 1, s.stop + 1) for key, s in layout}
    row = compared(name, answer, getattr(equations, objective), model, theta, hyper, slices)
    if diagnose and objective == "meta_irm" and not row.ok and not row.problem:
        for mistake, option in LOOK_ALIKE.items():
            wrong, *_ = extrapolated(equations.meta_irm(model, theta, **hyper | option))
            away = sizes(answer - wrong, slices, row.scales)
            if all(size <= ALIKE * row.allowed[key] for key, size in away.items()):
                row.mistake = mistake
    return row


def gradient_row(model):
    """Return whether `grad` is the gradient of `risk`, along some random directions."""
    theta, n = model.layout.theta, len(model.envs)
    directions = np.random.default_rng(0).normal(size=(DIRECTIONS, len(theta)))
    name, slices = "grad of risk", {f"env {e}": slice(e, None, n) for e in range(n)}
    try:
        G = np.array([model.grad(theta, e) for e in range(n)])
        answer, hyper = (directions @ G.T).reshape(-1), {"directions": directions}
        return compared(name, answer, equations.slopes, model, theta, hyper, slices)
    except Exception as error:
        return Row(name, problem=told(error))


def compared(name, answer, equation, model, theta, hyper, slices):
    """Return the row of an answer, value and gradient in one vector, beside an equation's.

    The scale of an array is its largest entry plus how far it moves, per unit of coarseness, when
    theta, every risk and every gradient are rounded coarsely.
    """
    right, error, k = extrapolated(equation(model, theta, **hyper))
    moved = 0.0
    for seed in range(NUDGES):
        coarse = replace(model, rng=np.random.default_rng(seed))
        other = equation(coarse, coarse.rounded(theta), **hyper)
        moved = np.maximum(moved, np.abs(limit(other, k) - right))
    row = Row(name)
    for key, part in slices.items():
        scale = (np.abs(right[part]).max() + moved[part].max() / COARSE) or 1.0
        row.scales[key] = float(scale)
        row.allowed[key] = float(UNITS * np.finfo(float).eps + ROOM * error / scale)
    row.differences = sizes(answer - right, slices, row.scales)
    largest = max(row.scales.values())
    if not ROOM * error <= SHARPEST * largest:
        row.problem = (
            f"cannot be decided: differences are off by {error / largest:.0e} of the answer's "
            "size. Float32 inside, dropout or other noise, or a unit whose input is 0?"
        )
    return row


def sizes(difference, slices, scales):
    """Return the largest entry of each array in units of its scale, infinite where it is NaN."""
    found = {key: np.abs(difference[part]).max() / scales[key] for key, part in slices.items()}
    return {key: float(size) if np.isfinite(size) else np.inf for key, size in found.items()}


def limit(at, k):
    """Return the limit of at(h) from the pair of steps that `extrapolated` took."""
    coarse, fine = (at(h) for h in equations.STEPS[k + 1 : k + 3])
    return (16 * fine - coarse) / 15
