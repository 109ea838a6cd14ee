"""The training loop: any objective, either engine, early stopping, an audit and a history of what the figures need."""

from dataclasses import dataclass
from enum import Enum
from math import isfinite

import numpy as np

from metairm_np import _checks, fast, spec
from metairm_np._autodiff import tree_map
from metairm_np._seeds import AUDIT, INIT, NOISE, child
from metairm_np.mlp import init_mlp
from metairm_np.optimizers import SGD, Adam
from metairm_np.training.audit import Audit
from metairm_np.training.settings import hyper_at, random_hyper
from metairm_np.training.stopping import EarlyStopping

ENGINES = {"fast": fast, "spec": spec}


class Status(str, Enum):
    """What has become of a trial; the values are those in records."""

    COMPLETED = "completed"
    STOPPED_EARLY = "stopped early"
    DIVERGED = "diverged"
    FAILED_AUDIT = "failed audit"
    FAILED = "failed"  # an exception, or a worker that died

    @property
    def usable(self):
        """Whether the trial's numbers may enter a table."""
        return self in (Status.COMPLETED, Status.STOPPED_EARLY)


@dataclass
class Result:
    """What training gave: the parameters kept, why it stopped, and the history.

    `status` is a `Status`; `step` is the step whose
    parameters are kept, `last_step` the last one reached, `message` one sentence on both. `history`
    has one dict a step (see `train`), `audit` what `Audit.summary` gives.
    """

    params: list
    status: str
    message: str
    step: int
    last_step: int
    history: list
    audit: dict


@np.errstate(
    over="ignore", invalid="ignore"
)  # what is not finite is caught and reported in a sentence
def train(
    settings,
    envs,
    validation,
    seed,
    *,
    n_classes=2,
    test=(),
    engine=fast,
    audit_every=50,
    log_every=10,
    on_step=None,
    checkpoint=None,
):
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
    engine : {metairm_np.fast, metairm_np.spec}, default `metairm_np.fast`
        What computes risks and gradients.
    audit_every : int, default 50
        How often the engine's gradient is compared with autograd's on the spec, see `Audit`; the
        first and the last step always are. The trial ends at the first comparison that fails.
    log_every : int, default 10
        How often the dearer quantities enter the history; the last step always has them.
    on_step : callable, optional
        Called with each row of the history.
    checkpoint : metairm_np.checkpoint.Checkpoint, optional
        Where the state is saved every few steps. If it holds one, training goes on from there, and
        ends with the same bits.

    Returns
    -------
    Result
        Row t of its history describes the parameters after t updates: step, objective and weight
        (of the penalty), and, with validation data, validation_risk (one per environment) and
        validation_sigma; every `log_every` steps also risk, accuracy, validation_accuracy,
        test_accuracy, and the objective's own: penalty, or meta_loss and sigma.

    Raises
    ------
    ValueError, TypeError
        If the settings ask for what the data cannot give, such as early stopping without validation
        data.
    """
    settings.check_for(len(envs), len(validation))
    _checks.count("log_every", log_every, 1)
    _checks.count("audit_every", audit_every, 1)
    sizes = (envs[0].shape[1], *settings.hidden, 1 if n_classes == 2 else n_classes)
    params = init_mlp(sizes, child(seed, INIT), dtype=envs[0].dtype, scheme=settings.init)
    rng, audit = np.random.default_rng(child(seed, NOISE)), Audit(engine, child(seed, AUDIT))
    optimizer = (
        Adam(settings.lr) if settings.optimizer == "adam" else SGD(settings.lr, settings.momentum)
    )
    stopping = settings.early_stopping and EarlyStopping(settings.early_stopping)
    history, status, first = [], Status.COMPLETED, 0
    saved = checkpoint and checkpoint.load()
    if saved:
        first, params, history = saved["step"], saved["params"], saved["history"]
        restore(saved, optimizer, stopping, audit, rng)
    for step in range(first, settings.steps + 1):
        if checkpoint and checkpoint.due(step) and step > first:
            checkpoint.save(
                {
                    "step": step,
                    "params": params,
                    "history": history,
                    **state(optimizer, stopping, audit, rng),
                }
            )
        row = {"step": step, **validation_risks(engine, params, validation)}
        history.append(row)
        if stopping and settings.early_stopping.samples == "all":
            row["risk"] = risks(engine, params, envs)
        if stopping and stopping.update(
            step, watched_risks(settings.early_stopping, row, envs, validation), params
        ):
            status = Status.STOPPED_EARLY
        last = status != Status.COMPLETED or step == settings.steps
        if last or step % log_every == 0:
            known = row.get("risk") or risks(engine, params, envs)
            row.update(observe(settings, engine, params, envs, validation, test, known))
            if not np.isfinite(row["risk"]).all():
                status, last = Status.DIVERGED, True
        hyper, weight = hyper_at(settings, step, len(envs))
        hyper.update(random_hyper(settings, rng, params, len(envs)))
        audited = last or step % audit_every == 0
        if not last:
            value, gradient = engine.value_and_grad(
                settings.objective, params, envs, l2=settings.l2, **hyper
            )
            if settings.rescale and weight > 1:
                value, gradient = value / weight, tree_map(lambda g, w=weight: g / w, gradient)
            row.update(objective=value, weight=weight)
            if not (
                isfinite(value)
                and all(np.isfinite(part).all() for pair in gradient for part in pair)
            ):
                status, last = Status.DIVERGED, True
        if (
            audited
            and status != Status.DIVERGED
            and not audit.passes(settings.objective, params, envs, l2=settings.l2, **hyper)
        ):
            status, last = Status.DIVERGED if np.isnan(audit.largest) else Status.FAILED_AUDIT, True
        if on_step:
            on_step(row)
        if last:
            break
        params = optimizer.step(params, gradient)
    kept = step
    if stopping and stopping.best is not None and status.usable:
        kept, params = stopping.best_step, stopping.best
    message = _message(status, step, kept, settings, audit)
    return Result(params, status, message, kept, step, history, audit.summary())


def _message(status, step, kept, settings, audit):
    if status == Status.FAILED_AUDIT:
        return (
            f"FAILED ITS AUDIT at step {step}: the gradient in use differs from autograd's by {audit.largest:.1e} of its "
            f"largest entry, allowed are {audit.limit:.0e}; its numbers must not be used, please report this"
        )
    if status == Status.DIVERGED:
        return f"diverged: a risk, the objective or its gradient is not finite at step {step}; a smaller lr or inner_lr may help"
    if status == Status.STOPPED_EARLY:
        nearest = settings.early_stopping.target_risk is not None
        best = (
            "the risk was nearest to its target"
            if nearest
            else "the environments' risks agreed best"
        )
        return f"stopped early at step {step}, keeping step {kept}, where {best}"
    if settings.early_stopping:
        return f"completed {step} steps without meeting the stopping threshold, keeping step {kept}"
    return f"completed {step} steps"


def state(optimizer, stopping, audit, rng):
    """Return what changes from step to step in the objects of a training run."""
    return {
        "optimizer": vars(optimizer),
        "stopping": stopping
        and {key: value for key, value in vars(stopping).items() if key != "rule"},
        "audit": {**audit.summary(), "rng": audit.rng.bit_generator.state},
        "rng": rng.bit_generator.state,
    }


def restore(saved, optimizer, stopping, audit, rng):
    """Put the objects of a training run into the state that `state` gave."""
    vars(optimizer).update(saved["optimizer"])
    if stopping:
        vars(stopping).update(saved["stopping"])
    facts = dict(saved["audit"])
    audit.rng.bit_generator.state = facts.pop("rng")
    vars(audit).update(facts)
    rng.bit_generator.state = saved["rng"]


def validation_risks(engine, params, validation):
    """Return the risk on each validation set and their population standard deviation."""
    if not validation:
        return {}
    risk = risks(engine, params, validation)
    return {"validation_risk": risk, "validation_sigma": float(np.std(risk))}


def watched_risks(rule, row, envs, validation):
    """Return the risk of each training environment on the samples that the stopping rule is about."""
    if rule.samples == "validation":
        return row["validation_risk"]
    shares = [len(held) / (len(env) + len(held)) for env, held in zip(envs, validation)]
    return [
        (1 - s) * risk + s * held
        for s, risk, held in zip(shares, row["risk"], row["validation_risk"])
    ]


def risks(engine, params, envs):
    """Return the risk on each environment, a list of float."""
    return [float(r) for r in engine.risks(params, envs)]


def observe(settings, engine, params, envs, validation, test, risk):
    """Return the quantities that cost a pass over the data: accuracies and the objective's own terms, beside the known risks."""
    row = {
        "risk": risk,
        "accuracy": [engine.accuracy(params, env) for env in envs],
        "validation_accuracy": [engine.accuracy(params, env) for env in validation],
        "test_accuracy": [engine.accuracy(params, env) for env in test],
    }
    if settings.objective == "irmv1":
        row["penalty"] = [float(engine.irmv1_penalty(params, env)) for env in envs]
    elif settings.objective == "v_rex":
        row["penalty"] = float(spec.variance(np.array(risk)))
    elif settings.objective == "meta_irm":
        hyper = spec.with_inner_l2(settings.hyper, settings.l2)
        hyper = {key: value for key, value in hyper.items() if key != "std_weight"}
        meta_losses = engine.meta_losses(params, envs, **hyper)  # without noise, over all pairs
        row.update(
            meta_loss=[float(loss) for loss in meta_losses], sigma=float(spec.sigma(meta_losses))
        )
    return row
