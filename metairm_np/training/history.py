"""What the rows of a training history hold, beside the objective."""

import numpy as np

from metairm_np import spec
from metairm_np.training.engines import risks_and_accuracies


def on_validation(engine, params, validation):
    """Return each validation set's risk and accuracy, and the standard deviation of the risks."""
    if not validation:
        return {}
    risk, accuracy = risks_and_accuracies(engine, params, validation)
    sigma = float(np.std(risk))
    return {"validation_risk": risk, "validation_accuracy": accuracy, "validation_sigma": sigma}


def observe(settings, hyper, engine, params, envs, test, risk):
    """Return what is expensive: accuracies and the objective's own terms, beside the risks.

    `hyper` are the objective's keywords at this step.
    """
    row = {
        "risk": risk,
        "accuracy": [engine.accuracy(params, env) for env in envs],
        "test_accuracy": [engine.accuracy(params, env) for env in test],
    }
    if settings.objective == "irmv1":
        row["penalty"] = [float(engine.irmv1_penalty(params, env)) for env in envs]
    elif settings.objective == "v_rex":
        row["penalty"] = float(spec.variance(np.array(risk)))
    elif settings.objective == "meta_irm":
        drawn = ("gradient_noise", "pairs")  # of the losses without noise, over all pairs
        hyper = {key: hyper[key] for key in hyper if key not in ("std_weight", *drawn)}
        losses = engine.meta_losses(params, envs, **hyper)
        row.update(meta_loss=[float(loss) for loss in losses], sigma=float(spec.sigma(losses)))
    return row
