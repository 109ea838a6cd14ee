"""How one algorithm is trained, and what follows from that for each step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metairm_np import _checks, spec
from metairm_np._autodiff import tree_map
from metairm_np.environments import Environment
from metairm_np.mlp import init_mlp
from metairm_np.optimizers import SGD, Adam
from metairm_np.training.holding import HoldRule
from metairm_np.training.stopping import StoppingRule


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
    inner_l2 : bool, default False
        Whether meta-IRM's inner steps descend the norm, too, with the same weight.
    anneal_steps : int, default 0
        For so many steps the penalty has its initial weight: penalty_weight = 1, or lambda_min = 0
        for "mm_rex".
    rescale : bool, default False
        Divide the whole objective by the penalty's weight (1 - E lambda_min for "mm_rex") once that
        exceeds 1.
    inner_lr_warmup : int, default 0
        Over so many steps meta-IRM's alpha grows from almost 0 to inner_lr: at step t it is
        inner_lr * min(1, (t + 1) / inner_lr_warmup). It starts as ERM, as the annealed penalties
        do.
    inner_lr_hold : HoldRule, optional
        Lets alpha follow the gap of the training environments' risks, from 0 on; inner_lr is then
        the most that it may be.
    dropgrad : float in [0, 1), default 0
        p of Gaussian DropGrad: inner gradients are multiplied by N(1, p / (1 - p)) (Tseng et al.,
        2020).
    sample_pairs : bool, default False
        Evaluate each adapted theta'_i on one sampled environment j != i a step instead of all
        (Algorithm 1).
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
    inner_l2: bool = False
    anneal_steps: int = 0
    rescale: bool = False
    inner_lr_warmup: int = 0
    inner_lr_hold: HoldRule | None = None
    dropgrad: float = 0.0
    sample_pairs: bool = False
    early_stopping: StoppingRule | None = None

    def __post_init__(self):
        _checks.choice("objective", self.objective, spec.OBJECTIVES)
        _checks.choice("init", self.init, ("glorot", "fan_in"))
        _checks.choice("optimizer", self.optimizer, ("adam", "sgd"))
        if not isinstance(self.hidden, (list, tuple)):
            raise TypeError(
                f"hidden is {self.hidden!r}; "
                "give a list of widths such as [256], or [] for no hidden layer"
            )
        for width in self.hidden:
            _checks.count("a width in hidden", width, 1)
        for name in ("greyscale", "inner_l2", "rescale", "sample_pairs"):
            _checks.switch(name, getattr(self, name))
        _checks.number("lr", self.lr, low=0)
        _checks.number("momentum", self.momentum, 0, 1)
        _checks.count("steps", self.steps, 0)
        _checks.count("anneal_steps", self.anneal_steps, 0)
        _checks.count("inner_lr_warmup", self.inner_lr_warmup, 0)
        _checks.number("dropgrad", self.dropgrad, 0, 0.999)
        own = ("inner_lr_warmup", "inner_lr_hold", "dropgrad", "sample_pairs", "inner_l2")
        if self.objective != "meta_irm" and any(getattr(self, name) for name in own):
            raise ValueError(
                f"{', '.join(own[:-1])} and {own[-1]} are for meta_irm, "
                f"the objective is {self.objective!r}; leave them out"
            )
        for name, kind in (("early_stopping", StoppingRule), ("inner_lr_hold", HoldRule)):
            rule = getattr(self, name)
            if rule is not None and not isinstance(rule, kind):
                raise TypeError(f"{name} is {rule!r}; give a {kind.__name__}, or None for no rule")
        self.check_for(n_envs=2)
        if self.sample_pairs and self.hyper.get("same_env"):
            raise ValueError(
                "sample_pairs samples other environments, same_env uses none; leave one of them out"
            )
        if self.objective in ("erm", "meta_irm") and (self.anneal_steps or self.rescale):
            raise ValueError(
                "anneal_steps and rescale act on a penalty's weight, "
                f"{self.objective!r} has none; leave them out"
            )

    @property
    def keywords(self) -> dict:
        """The objective's keywords: `hyper`, and the weight `inner_l2` if that is on."""
        return {**self.hyper, "inner_l2": self.l2} if self.inner_l2 else dict(self.hyper)

    @property
    def inner_lr_varies(self) -> bool:
        """Whether meta-IRM's alpha is another one from step to step."""
        return bool(self.inner_lr_warmup or self.inner_lr_hold)

    @property
    def watches_all_risks(self) -> bool:
        """Whether the risks on all training samples decide something at every step."""
        rule = self.early_stopping
        return bool(self.inner_lr_hold or (rule and rule.samples == "all"))

    def check_for(self, n_envs: int, n_validation: int = 2) -> None:
        """Raise unless one can train so on as many environments.

        Parameters
        ----------
        n_envs, n_validation : int
            The number of training environments and of held-out sets.

        Raises
        ------
        ValueError, TypeError
        """
        # the objective itself checks its keywords, on the smallest problem there is
        tiny = Environment(np.zeros((1, 1)), np.zeros(1, int))
        spec.value_and_grad(
            self.objective, init_mlp((1, 1), 0), [tiny] * n_envs, l2=self.l2, **self.keywords
        )
        if self.early_stopping and n_validation < 2:
            raise ValueError(
                f"early stopping compares 2 or more validation sets, got {n_validation}; "
                "hold some data out (validation > 0)"
            )


def optimizer_of(settings):
    """Return the optimizer that `settings` name."""
    if settings.optimizer == "adam":
        return Adam(settings.lr)
    return SGD(settings.lr, settings.momentum)


def hyper_at(settings, step, n_envs):
    """Return the objective's keywords at `step` and the weight of its penalty."""
    hyper = settings.keywords
    annealed = step < settings.anneal_steps
    if settings.objective in ("irmv1", "v_rex"):
        if annealed:
            hyper["penalty_weight"] = 1.0
        return hyper, hyper["penalty_weight"]
    if settings.objective == "mm_rex":
        if annealed:
            hyper["lambda_min"] = 0.0
        return hyper, 1 - n_envs * hyper["lambda_min"]  # the weight of the largest risk
    if step < settings.inner_lr_warmup - 1:
        hyper["inner_lr"] *= (step + 1) / settings.inner_lr_warmup
    return hyper, 1.0


def random_hyper(settings, rng, params, n_envs):
    """Draw what a step of meta-IRM takes at random: DropGrad's multipliers and sampled pairs."""
    drawn = {}
    if settings.dropgrad:
        std = (settings.dropgrad / (1 - settings.dropgrad)) ** 0.5

        def multiplier(part):
            return (1 + std * rng.standard_normal(part.shape)).astype(part.dtype)

        inner_steps = settings.hyper.get("inner_steps", 1)
        drawn["gradient_noise"] = [
            [tree_map(multiplier, params) for _ in range(inner_steps)] for _ in range(n_envs)
        ]
    if settings.sample_pairs:
        others = [(i + rng.integers(1, n_envs)) % n_envs for i in range(n_envs)]
        drawn["pairs"] = list(enumerate(others))
    return drawn
