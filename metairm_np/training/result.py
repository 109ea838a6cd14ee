"""What comes of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(str, Enum):
    """What has become of a trial; the values are those in records."""

    COMPLETED = "completed"
    STOPPED_EARLY = "stopped early"
    DIVERGED = "diverged"
    FAILED_AUDIT = "failed audit"
    FAILED = "failed"  # an exception, or a worker that died

    @property
    def usable(self) -> bool:
        """Whether the trial's numbers may enter a table."""
        return self in (Status.COMPLETED, Status.STOPPED_EARLY)


@dataclass(frozen=True)
class Result:
    """What training returns: the parameters kept, why it ended, and the history.

    Parameters
    ----------
    params : list of (W, b)
    status : Status
    message : str
        One sentence on why it ended and which parameters are kept.
    step, last_step : int
        The step whose parameters are kept, and the last one reached.
    history : list of dict
        One row a step, see `train`.
    audit : dict
        See `Audit.summary`.
    seconds : dict
        Where the time went: gradients, watching (risks, accuracies) and audits.
    """

    params: list
    status: Status
    message: str
    step: int
    last_step: int
    history: list
    audit: dict
    seconds: dict


def message_of(status, step, kept, rule, armed, audit):
    """Return one sentence on a run that ended at `step` with `status`, keeping those of `kept`."""
    if status is Status.FAILED_AUDIT:
        return (
            f"FAILED ITS AUDIT at step {step}: the gradient in use differs from autograd's by "
            f"{audit.largest:.1e} of its largest entry, allowed are {audit.limit:.0e}; "
            "its numbers must not be used, please report this"
        )
    if status is Status.DIVERGED:
        return (
            "diverged: a risk, the objective or its gradient is not finite at "
            f"step {step}; a smaller lr or inner_lr may help"
        )
    if status is Status.STOPPED_EARLY:
        best = (
            f"the environments' {rule.watch}s agreed best"
            if rule.target_risk is None
            else "the risk was nearest to its target"
        )
        return f"stopped early at step {step}, keeping step {kept}, where {best}"
    if not rule:
        return f"completed {step} steps"
    what = f"environments' {rule.watch}s" if rule.target_risk is None else "risk and its target"
    why = "" if armed else f": the {what} never differed by {rule.arm:g}, which arms the rule"
    return (
        f"completed {step} steps without meeting the stopping threshold, keeping step {kept}{why}"
    )
