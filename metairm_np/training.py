"""The training loop: any objective, either engine, early stopping, an audit and a history of what the figures need."""

from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from metairm_np import checks, fast, spec
from metairm_np.audit import Audit
from metairm_np.environments import Environment
from metairm_np.mlp import init_mlp, zip_map
from metairm_np.optimizers import SGD, Adam
from metairm_np.seeds import AUDIT, INIT, NOISE, child
from metairm_np.stopping import EarlyStopping, StoppingRule

ENGINES = {"fast": fast, "spec": spec}


@dataclass(frozen=True)
class Settings:
    """How one algorithm is trained. Unless said otherwise every number is >= 0.

    Parameters
    ----------
    objective : {"erm", "irmv1", "v_rex", "mm_rex", "meta_irm"}
    hyper : dict, default {}
        The objective's keywords, such as inner_lr and std_weight; see `metairm_np.spec`.
    hidden : sequence of int, default (256,)
        Widths of the hidden layers.
    init : {"glorot", "fan_in"}, default "glorot"
        How the first parameters are drawn, see `init_mlp`.
    greyscale : bool, default False
        Train and test on the trial's greyscale twin.
    optimizer : {"adam", "sgd"}, default "adam"
    lr : float, default 0.001
    momentum : float in [0, 1], default 0
        Of "sgd".
    steps : int, default 500
        The largest number of updates, each on all samples.
    l2 : float, default 0
        Weight of ||theta||^2 in the objective.
    anneal_steps : int, default 0
        For so many steps the penalty has its initial weight: penalty_weight = 1, or lambda_min = 0 for "mm_rex".
    rescale : bool, default False
        Divide the whole objective by the penalty's weight (1 - E lambda_min for "mm_rex") once that exceeds 1.
    dropgrad : float in [0, 1), default 0
        p of Gaussian DropGrad: inner gradients are multiplied by N(1, p / (1 - p)) (Tseng et al., 2020).
    sample_pairs : bool, default False
        Evaluate each adapted theta'_i on one sampled environment j != i a step instead of all (Algorithm 1).
    early_stopping : StoppingRule, optional
    """

    objective: str
    hyper: dict = field(default_factory=dict)
    hidden: tuple = (256,)
    init: str = "glorot"
    greyscale: bool = False
    optimizer: str = "adam"
    lr: float = 0.001
    momentum: float = 0.0
    steps: int = 500
    l2: float = 0.0
    anneal_steps: int = 0
    rescale: bool = False
    dropgrad: float = 0.0
    sample_pairs: bool = False
    early_stopping: StoppingRule | None = None

    def __post_init__(self):
        checks.choice("objective", self.objective, spec.OBJECTIVES)
        checks.choice("init", self.init, ("glorot", "fan_in"))
        checks.choice("optimizer", self.optimizer, ("adam", "sgd"))
        if not isinstance(self.hidden, (list, tuple)):
            raise TypeError(f"hidden is {self.hidden!r}; give a list of widths such as [256], or [] for no hidden layer")
        for width in self.hidden:
            checks.count("a width in hidden", width, 1)
        for name in ("greyscale", "rescale", "sample_pairs"):
            checks.switch(name, getattr(self, name))
        checks.number("lr", self.lr, low=0)
        checks.number("momentum", self.momentum, 0, 1)
        checks.count("steps", self.steps, 0)
        checks.count("anneal_steps", self.anneal_steps, 0)
        checks.number("dropgrad", self.dropgrad, 0, 0.999)
        self.check_for(n_envs=2)
        if self.objective != "meta_irm" and (self.dropgrad or self.sample_pairs):
            raise ValueError(f"dropgrad and sample_pairs are for meta_irm, the objective is {self.objective!r}; leave them out")
        if self.sample_pairs and self.hyper.get("same_env"):
            raise ValueError("sample_pairs samples other environments, same_env uses none; leave one of them out")
        if self.objective in ("erm", "meta_irm") and (self.anneal_steps or self.rescale):
            raise ValueError(f"anneal_steps and rescale act on a penalty's weight, {self.objective!r} has none; leave them out")

    def check_for(self, n_envs, n_validation=2):
        """Raise ValueError or TypeError unless one can train so on `n_envs` environments with `n_validation` held-out sets."""
        # the objective itself checks its keywords, on the smallest problem there is
        tiny = Environment(np.zeros((1, 1)), np.zeros(1, int))
        spec.value_and_grad(self.objective, init_mlp((1, 1), 0), [tiny] * n_envs, l2=self.l2, **self.hyper)
        if self.early_stopping and n_validation < 2:
            raise ValueError(
                f"early stopping compares 2 or more validation sets, got {n_validation}; hold some data out (validation > 0)"
            )


@dataclass
class Result:
    """What training gave: the parameters kept, why it stopped, and the history.

    `status` is "completed", "stopped early", "diverged" or "failed audit"; `step` is the step whose parameters are kept,
    `last_step` the last one reached, `message` one sentence on both. `history` has one dict a step (see `train`), `audit` what
    `Audit.summary` gives.
    """

    params: list
    status: str
    message: str
    step: int
    last_step: int
    history: list
    audit: dict


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is caught and reported in a sentence
def train(
    settings, envs, validation, seed, *, n_classes=2, test=(), engine=fast, audit_every=50, log_every=10, on_step=None,
    checkpoint=None,
):  # fmt: skip
    """Train one model on full batches.

    Parameters
    ----------
    settings : Settings
    envs, validation : list of Environment
        The training environments, and held-out samples of each in the same order; `validation` may be empty if
        `settings` has no early stopping.
    seed : int or numpy.random.SeedSequence
        The trial's seed: the first parameters and the noise are its children.
    n_classes : int, default 2
    test : list of Environment, optional
        Only observed: accuracies on them go into the history and nowhere else.
    engine : {metairm_np.fast, metairm_np.spec}, default `metairm_np.fast`
        What computes risks and gradients.
    audit_every : int, default 50
        How often the engine's gradient is compared with autograd's on the spec, see `Audit`; the first and the last step always
        are. The trial ends at the first comparison that fails.
    log_every : int, default 10
        How often the dearer quantities enter the history; the last step always has them.
    on_step : callable, optional
        Called with each row of the history.
    checkpoint : metairm_np.checkpoint.Checkpoint, optional
        Where the state is saved every few steps. If it holds one, training goes on from there, and ends with the same bits.

    Returns
    -------
    Result
        Row t of its history describes the parameters after t updates: step, objective and weight (of the penalty), and, with
        validation data, validation_risk (one per environment) and validation_sigma; every `log_every` steps also risk,
        accuracy, validation_accuracy, test_accuracy, and the objective's own: penalty, or meta_loss and sigma.

    Raises
    ------
    ValueError, TypeError
        If the settings ask for what the data cannot give, such as early stopping without validation data.
    """
    settings.check_for(len(envs), len(validation))
    checks.count("log_every", log_every, 1)
    checks.count("audit_every", audit_every, 1)
    sizes = (envs[0].shape[1], *settings.hidden, 1 if n_classes == 2 else n_classes)
    params = init_mlp(sizes, child(seed, INIT), dtype=envs[0].dtype, scheme=settings.init)
    rng, audit = np.random.default_rng(child(seed, NOISE)), Audit(engine, child(seed, AUDIT))
    optimizer = Adam(settings.lr) if settings.optimizer == "adam" else SGD(settings.lr, settings.momentum)
    stopping = settings.early_stopping and EarlyStopping(settings.early_stopping)
    history, status, first = [], "completed", 0
    saved = checkpoint and checkpoint.load()
    if saved:
        first, params, history = saved["step"], saved["params"], saved["history"]
        restore(saved, optimizer, stopping, audit, rng)
    for step in range(first, settings.steps + 1):
        if checkpoint and checkpoint.due(step) and step > first:
            checkpoint.save({"step": step, "params": params, "history": history, **state(optimizer, stopping, audit, rng)})
        row = {"step": step, **validation_risks(engine, params, validation)}
        history.append(row)
        if stopping and settings.early_stopping.samples == "all":
            row["risk"] = risks(engine, params, envs)
        if stopping and stopping.update(step, watched_risks(settings.early_stopping, row, envs, validation), params):
            status = "stopped early"
        last = status != "completed" or step == settings.steps
        if last or step % log_every == 0:
            known = row.get("risk") or risks(engine, params, envs)
            row.update(observe(settings, engine, params, envs, validation, test, known))
            if not np.isfinite(row["risk"]).all():
                status, last = "diverged", True
        hyper, weight = hyper_at(settings, step, len(envs))
        hyper.update(random_hyper(settings, rng, params, len(envs)))
        audited = last or step % audit_every == 0
        if not last:
            value, gradient = engine.value_and_grad(settings.objective, params, envs, l2=settings.l2, **hyper)
            if settings.rescale and weight > 1:
                value, gradient = value / weight, zip_map(lambda g, w=weight: g / w, gradient)
            row.update(objective=value, weight=weight)
            if not (isfinite(value) and all(np.isfinite(part).all() for pair in gradient for part in pair)):
                status, last = "diverged", True
        if audited and status != "diverged" and not audit.passes(settings.objective, params, envs, l2=settings.l2, **hyper):
            status, last = "diverged" if np.isnan(audit.largest) else "failed audit", True
        if on_step:
            on_step(row)
        if last:
            break
        params = optimizer.step(params, gradient)
    kept = step
    if stopping and stopping.best is not None and status in ("completed", "stopped early"):
        kept, params = stopping.best_step, stopping.best
    message = _message(status, step, kept, settings, audit)
    return Result(params, status, message, kept, step, history, audit.summary())


def _message(status, step, kept, settings, audit):
    if status == "failed audit":
        return (
            f"FAILED ITS AUDIT at step {step}: the gradient in use differs from autograd's by {audit.largest:.1e} of its "
            f"largest entry, allowed are {audit.limit:.0e}; its numbers must not be used, please report this"
        )
    if status == "diverged":
        return (
            f"diverged: a risk, the objective or its gradient is not finite at step {step}; a smaller lr or inner_lr may help"
        )
    if status == "stopped early":
        nearest = settings.early_stopping.target_risk is not None
        best = "the risk was nearest to its target" if nearest else "the environments' risks agreed best"
        return f"stopped early at step {step}, keeping step {kept}, where {best}"
    if settings.early_stopping:
        return f"completed {step} steps without meeting the stopping threshold, keeping step {kept}"
    return f"completed {step} steps"


def state(optimizer, stopping, audit, rng):
    """Give what changes from step to step in the objects of a training run."""
    return {
        "optimizer": vars(optimizer),
        "stopping": stopping and {key: value for key, value in vars(stopping).items() if key != "rule"},
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


def hyper_at(settings, step, n_envs):
    """Give the objective's keywords at `step` and the weight of its penalty, after annealing."""
    hyper = dict(settings.hyper)
    annealed = step < settings.anneal_steps
    if settings.objective in ("irmv1", "v_rex"):
        if annealed:
            hyper["penalty_weight"] = 1.0
        return hyper, hyper["penalty_weight"]
    if settings.objective == "mm_rex":
        if annealed:
            hyper["lambda_min"] = 0.0
        return hyper, 1 - n_envs * hyper["lambda_min"]  # the weight of the largest risk
    return hyper, 1.0


def random_hyper(settings, rng, params, n_envs):
    """Draw what one step of meta-IRM takes at random: the DropGrad multipliers and the sampled pairs."""
    drawn = {}
    if settings.dropgrad:
        std = (settings.dropgrad / (1 - settings.dropgrad)) ** 0.5

        def multiplier(part):
            return (1 + std * rng.standard_normal(part.shape)).astype(part.dtype)

        inner_steps = settings.hyper.get("inner_steps", 1)
        drawn["gradient_noise"] = [[zip_map(multiplier, params) for _ in range(inner_steps)] for _ in range(n_envs)]
    if settings.sample_pairs:
        others = [(i + rng.integers(1, n_envs)) % n_envs for i in range(n_envs)]
        drawn["pairs"] = list(enumerate(others))
    return drawn


def validation_risks(engine, params, validation):
    """Give the risk on each validation set and their population standard deviation."""
    if not validation:
        return {}
    risk = risks(engine, params, validation)
    return {"validation_risk": risk, "validation_sigma": float(np.std(risk))}


def watched_risks(rule, row, envs, validation):
    """Give the risk of each training environment on the samples that the stopping rule is about."""
    if rule.samples == "validation":
        return row["validation_risk"]
    shares = [len(held) / (len(env) + len(held)) for env, held in zip(envs, validation)]
    return [(1 - s) * risk + s * held for s, risk, held in zip(shares, row["risk"], row["validation_risk"])]


def risks(engine, params, envs):
    """Give the risk on each environment, a list of float."""
    return [float(r) for r in engine.risks(params, envs)]


def observe(settings, engine, params, envs, validation, test, risk):
    """Give the quantities that cost a pass over the data: accuracies and the objective's own terms, beside the known risks."""
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
        row.update(meta_loss=[float(loss) for loss in meta_losses], sigma=float(spec.sigma(meta_losses)))
    return row
