"""Objectives of JAX parameters as a backend."""

from __future__ import annotations

from collections.abc import Callable

from metairm_np.conformance.adapters._objectives import Objectives


class JaxParams(Objectives):
    """A backend that differentiates objectives by the parameters, in float64 if these are."""

    def __init__(self, params_to_logits, layout, objectives):
        super().__init__(objectives)
        self.params_to_logits, self.layout = params_to_logits, layout

    def ask(self, objective, params, envs, hyper):
        """Return an objective's value and gradient, as NumPy arrays."""
        import jax

        def value(layers):
            return jax.numpy.reshape(objective(self.layout(layers), data, **hyper), ())

        with double():
            data = jax.device_put([(env.x, env.y) for env in envs])
            return jax.device_get(jax.value_and_grad(value)(jax.device_put(params)))

    def logits(self, params, x):
        """Return what params_to_logits gives for x."""
        import jax

        with double():
            layers, x = jax.device_put((params, x))
            return jax.device_get(self.params_to_logits(self.layout(layers), x))


def double():
    """Return the context in which JAX keeps float64 as it is."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


def from_jax(
    params_to_logits: Callable, *, layout: Callable = list, **objectives: Callable
) -> JaxParams:
    """Return training code in JAX as a backend: objectives that are functions of parameters.

    Parameters
    ----------
    params_to_logits : function
        params_to_logits(params, x), the model: the (n, out) outputs.
    layout : function, default list
        Makes the parameters as that code has them from the suite's list of (W, b), W (in, out); the
        gradient comes back through it. For Flax, say, {"Dense_0": {"kernel": W, "bias": b}, ...}.
    **objectives : function
        By the suite's names: meta_irm=f, erm=g, ... Each is called as f(params, envs, **hyper),
        envs a list of (x, y), x (n, d), y (n,) of int64, and returns a value that jax.grad
        differentiates.

    Returns
    -------
    object
        For `check_backend` and `parametrize_with_checks`.

    Raises
    ------
    ValueError, TypeError
        If there is no objective, or one has a name that is not the suite's.

    Examples
    --------
    >>> report = check_backend(from_jax(apply, meta_irm=my_loss))  # doctest: +SKIP
    """
    return JaxParams(params_to_logits, layout, objectives)
