"""The training loop: any objective, either engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from metairm_np import _checks, fast
from metairm_np._autodiff import tree_map
from metairm_np._seeds import AUDIT, INIT, NOISE, child
from metairm_np.mlp import init_mlp
from metairm_np.training.audit import Audit
from metairm_np.training.checkpoint import Checkpoint, identity
from metairm_np.training.clock import Clock
from metairm_np.training.engines import risks, value_grad_and_risks
from metairm_np.training.history import observe, on_validation
from metairm_np.training.holding import HoldState
from metairm_np.training.result import Result, Status, message_of
from metairm_np.training.settings import Settings, hyper_at, optimizer_of, random_hyper
from metairm_np.training.state import TrainState, generator, stream
from metairm_np.training.stopping import StoppingState, watched


class Step(NamedTuple):
    """One step of training, as those who watch it see it.

    Parameters
    ----------
    state : TrainState
        Before the step: a run can go on from it.
    stopping : StoppingState
        After the risks of this step.
    hyper : dict
        The objective's keywords, with what was drawn for this step.
    risk : list of float
        Of the training environments.
    validation, objective : dict
        What the history gets of it; no objective where training ends by itself, and nothing on
        validation data where neither a rule nor the log wants it.
    status : Status, optional
        Why training ends with this step; None if it goes on.
    """

    state: TrainState
    stopping: StoppingState
    hyper: dict
    risk: list
    validation: dict
    objective: dict
    status: Status | None


def first_state(settings, envs, seed, n_classes):
    """Return the state before the first step."""
    sizes = (envs[0].shape[1], *settings.hidden, 1 if n_classes == 2 else n_classes)
    params = init_mlp(sizes, child(seed, INIT), dtype=envs[0].dtype, scheme=settings.init)
    optimizer = optimizer_of(settings).init(params)
    noise = stream(child(seed, NOISE))
    return TrainState(0, params, optimizer, StoppingState(), HoldState(), noise)


def trajectory(settings, engine, envs, validation, state, clock=None, log_every=1):
    """Yield each `Step` from `state` on, until the rule stops it, it is complete or diverges."""
    optimizer, rule = optimizer_of(settings), settings.early_stopping
    status, clock = None, clock or Clock()
    while status is None:
        t, params, moments, stopping, hold, noise = state
        rng, complete = generator(noise), t == settings.steps
        hyper, weight = hyper_at(settings, t, len(envs))
        seen, risk = {}, None
        with clock.on("watching"):
            if rule or complete or t % log_every == 0:
                seen = on_validation(engine, params, validation)
            if settings.inner_lr_hold or complete:
                risk = risks(engine, params, envs)
        if settings.inner_lr_hold:
            hold = settings.inner_lr_hold.update(hold, t, risk, hyper["inner_lr"])
            hyper["inner_lr"] = hold.inner_lr
        with clock.on("gradients"):
            hyper.update(random_hyper(settings, rng, params, len(envs)))
            if not complete:  # before it is known whether to stop here, for it has the risks
                value, gradient, risk = value_grad_and_risks(
                    engine, settings.objective, params, envs, l2=settings.l2, **hyper
                )
        if rule:
            losses = watched(rule, {**seen, "risk": risk}, envs, validation)
            stopping = rule.update(stopping, t, losses, params)

        objective = {}
        if rule and rule.stops(stopping, t):
            status = Status.STOPPED_EARLY
        elif complete:
            status = Status.COMPLETED
        else:
            if settings.rescale and weight > 1:
                value, gradient = value / weight, tree_map(lambda g, w=weight: g / w, gradient)
            objective = {"objective": value, "weight": weight}
            if not (isfinite(value) and all_finite(gradient)):
                status = Status.DIVERGED
        yield Step(state, stopping, hyper, risk, seen, objective, status)

        if status is None:
            params, moments = optimizer.update(gradient, moments, params)
            state = TrainState(t + 1, params, moments, stopping, hold, rng.bit_generator.state)


def all_finite(params):
    """Return whether no number of a list of (W, b) is NaN or infinite."""
    return all(np.isfinite(part).all() for pair in params for part in pair)


@dataclass(frozen=True)
class RunOptions:
    """How a training run is carried out and watched.

    Parameters
    ----------
    engine : {metairm_np.fast, metairm_np.spec}, default `metairm_np.fast`
        What computes risks and gradients.
    audit_every : int >= 1, default 50
        How often the engine's gradient is compared with autograd's on the spec, see `Audit`; the
        first and the last step always are. The run ends at the first comparison that fails.
    log_every : int >= 1, default 10
        How often the more expensive quantities enter the history; the last step always has them.
    on_step : callable, optional
        Called with each row of the history.
    observe : callable, optional
        Called with the parameters every `log_every` steps; returns a dict fit for JSON, for the
        row.
    checkpoint : Checkpoint, optional
        Where the state is saved every few steps. If it holds one, training goes on from there, and
        ends with the same bits.
    """

    engine: Any = fast
    audit_every: int = 50
    log_every: int = 10
    on_step: Callable | None = None
    observe: Callable | None = None
    checkpoint: Checkpoint | None = None

    def __post_init__(self):
        _checks.count("log_every", self.log_every, 1)
        _checks.count("audit_every", self.audit_every, 1)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite ends the run with a sentence
def train(
    settings: Settings,
    envs: list,
    validation: list,
    seed,
    *,
    n_classes: int = 2,
    test=(),
    run: RunOptions | None = None,
) -> Result:
    """Train one model on full batches.

    Parameters
    ----------
    settings : Settings
    envs, validation : list of Environment
        The training environments, and held-out samples of each in the same order; `validation` may
        be empty if `settings` has no early stopping.
    seed : int or numpy.random.SeedSequence
        The trial's seed: the first parameters and the noise are its children.
    n_classes : int, default 2
    test : list of Environment, optional
        Only observed: accuracies on them go into the history and nowhere else.
    run : RunOptions, optional
        The engine, and how often the run is audited, logged and saved.

    Returns
    -------
    Result
        Row t of its history describes the parameters after t updates: step, objective and weight
        (of the penalty) and inner_lr where that changes over the steps; every `log_every` steps
        also risk, accuracy, test_accuracy, the objective's own (penalty, or meta_loss and sigma)
        and what `run.observe` returns. With validation data there are validation_risk,
        validation_accuracy (one per environment) and validation_sigma, at every step if
        `settings` has early stopping and every `log_every` steps otherwise.

    Raises
    ------
    ValueError, TypeError
        If the settings ask for what the data cannot give, such as early stopping without validation
        data.
    """
    run = run or RunOptions()
    for what, given in (("envs", envs), ("validation", validation), ("test", test)):
        _checks.environments(what, given)
    _checks.count("n_classes", n_classes, 2)
    settings.check_for(len(envs), len(validation))
    state = first_state(settings, envs, seed, n_classes)
    audit, clock = Audit(stream(child(seed, AUDIT))), Clock()
    history: list = []
    if run.checkpoint:
        every = (run.audit_every, run.log_every)
        all_envs = [*envs, *validation, *test]
        whose = identity(settings, run.engine, all_envs, seed, n_classes, every)
        state, audit, history = run.checkpoint.load(whose) or (state, audit, history)
    first = state.step
    steps = trajectory(settings, run.engine, envs, validation, state, clock, run.log_every)
    for step in steps:
        t, params, status = step.state.step, step.state.params, step.status

        if run.checkpoint and t > first and run.checkpoint.due(t):
            run.checkpoint.save((step.state, audit, history), whose)

        row, finite = {"step": t, **step.validation}, True
        if settings.watches_all_risks:
            row["risk"] = step.risk
        if settings.inner_lr_varies:
            row["inner_lr"] = step.hyper["inner_lr"]
        if not step.objective or t % run.log_every == 0:
            with clock.on("watching"):
                about = (settings, step.hyper, run.engine, params, envs, test)
                row.update(observe(*about, step.risk))
                if run.observe:
                    row.update(run.observe(params))
            finite = np.isfinite(step.risk).all()
        if finite:
            row.update(step.objective)
        else:
            status = Status.DIVERGED
        history.append(row)

        if status is not Status.DIVERGED and (status or t % run.audit_every == 0):
            with clock.on("audits"):
                audit = audit.compare(
                    run.engine, settings.objective, params, envs, l2=settings.l2, **step.hyper
                )
            if not audit.passed:
                status = Status.DIVERGED if np.isnan(audit.largest) else Status.FAILED_AUDIT

        if run.on_step:
            run.on_step(row)
        if status:
            break

    kept = t
    if status.usable and step.stopping.best is not None:
        kept, params = step.stopping.best_step, step.stopping.best
    message = message_of(status, t, kept, settings.early_stopping, step.stopping.armed, audit)
    return Result(params, status, message, kept, t, history, audit.summary(), clock.rounded())
