"""What training asks of an engine."""

from metairm_np import fast, spec

ENGINES = {"fast": fast, "spec": spec}


def risks(engine, params, envs):
    """Return the risk on each environment, a list of float."""
    return [float(r) for r in engine.risks(params, envs)]


def risks_and_accuracies(engine, params, envs):
    """Return the risk and the accuracy on each environment, two lists; `fast` takes one pass."""
    if engine is fast:
        found, shares = fast.risks_and_accuracies(params, envs)
        return found.tolist(), shares.tolist()
    return risks(engine, params, envs), [engine.accuracy(params, env) for env in envs]


def value_grad_and_risks(engine, name, params, envs, **hyper):
    """Return an objective, its gradient and the risks; `fast` comes by them on the way."""
    if engine is fast:
        value, gradient, found = fast.value_grad_and_risks(name, params, envs, **hyper)
        return value, gradient, [float(r) for r in found]
    return *engine.value_and_grad(name, params, envs, **hyper), risks(engine, params, envs)
