"""Objectives of a torch.nn.Module as a backend."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from metairm_np.conformance.adapters._objectives import Objectives
from metairm_np.conformance.offer import NotOffered
from metairm_np.conformance.replies import UnusableError


class TorchModule(Objectives):
    """A backend that loads the parameters into a module and asks an objective for its gradient."""

    def __init__(self, make, objectives):
        super().__init__(objectives)
        self.make = make

    def ask(self, objective, params, envs, hyper):
        """Return an objective's value and gradient; what it does to the parameters is seen."""
        import torch

        module = self.loaded(params)
        device = linear_layers(module)[0].weight.device
        data = [tuple(torch.tensor(part, device=device) for part in (e.x, e.y)) for e in envs]
        value = objective(module, data, **hyper)
        changed = [linear_arrays(layer) for layer in linear_layers(module)]
        for (W, b), (new_W, new_b) in zip(params, changed):
            W[...], b[...] = new_W, new_b  # the suite tells what was changed in place
        parts = [part for layer in linear_layers(module) for part in (layer.weight, layer.bias)]
        own = any(part.grad is not None for part in parts)  # it has called backward() itself
        if getattr(value, "requires_grad", False):
            if own:
                raise UnusableError(
                    "the objective has called backward() and returns a value that requires grad, "
                    "so the gradient may be in .grad or still to come; return value.detach() if it "
                    "is in .grad, or else use torch.autograd.grad inside"
                )
            value.backward()
        elif not own:
            raise UnusableError(
                "the objective's value does not require grad, and no .grad is set; return the "
                "tensor from which backward() reaches module.parameters()"
            )
        weights = [None if part.grad is None else part.grad.T for part in parts[::2]]
        return value, list(zip(weights, [part.grad for part in parts[1::2]]))

    def logits(self, params, x):
        """Return what the module gives for x."""
        import torch

        module = self.loaded(params)
        return module(torch.tensor(x, device=linear_layers(module)[0].weight.device))

    def loaded(self, params):
        """Return the module that has these parameters."""
        import torch

        sizes = (len(params[0][0]), *(len(b) for _, b in params))
        module = self.make(sizes)
        layers = linear_layers(module)
        shapes = [tuple(layer.weight.shape) for layer in layers]
        if shapes != [(o, i) for i, o in zip(sizes[:-1], sizes[1:])]:
            raise UnusableError(
                f"make({sizes}) has Linear layers with weights of shapes {shapes}; it has to have "
                "one layer from each width to the next, in the order in which they are used"
            )
        module.to(getattr(torch, params[0][0].dtype.name))
        with torch.no_grad():
            for layer, (W, b) in zip(layers, params):
                layer.weight.copy_(torch.tensor(W.T.copy()))
                layer.bias.copy_(torch.tensor(b))
        module.zero_grad()
        return module


def linear_layers(module):
    """Return a module's Linear layers in order; it may have no other parameters."""
    import torch

    layers = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    theirs = {id(part) for layer in layers for part in (layer.weight, layer.bias)}
    others = [name for name, part in module.named_parameters() if id(part) not in theirs]
    if others or any(layer.bias is None for layer in layers) or not layers:
        what = f"has the parameters {', '.join(others)}" if others else "has a layer without bias"
        raise ValueError(
            f"{type(module).__name__} {what if layers else 'has no Linear layer'}; the cases are "
            "for Linear layers with biases alone. check_objective takes any model"
        )
    return layers


def linear_arrays(layer):
    """Return W (in, out) and b of a Linear layer."""
    return layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()


def resized(module, sizes):
    """Return a copy of a module whose Linear layers have other widths, or decline.

    It has as many layers as the case asks for, and one output or several as before.
    """
    import torch

    module = copy.deepcopy(module)
    layers = linear_layers(module)
    if len(layers) != len(sizes) - 1:
        raise NotOffered(f"the module has {len(layers)} Linear layers")
    if (layers[-1].out_features == 1) != (sizes[-1] == 1):
        one = layers[-1].out_features == 1
        raise NotOffered(f"the module has {'one output' if one else 'several outputs'}")
    for layer, i, o in zip(layers, sizes[:-1], sizes[1:]):
        layer.in_features, layer.out_features = i, o
        layer.weight = torch.nn.Parameter(layer.weight.new_zeros(o, i))
        layer.bias = torch.nn.Parameter(layer.bias.new_zeros(o))
    return module


def from_torch_module(module: Any, **objectives: Callable) -> TorchModule:
    """Return training code in PyTorch as a backend: objectives that are functions of a module.

    Parameters
    ----------
    module : torch.nn.Module or function
        A module whose parameters are those of its Linear layers, in the order in which they are
        used: each case whose number of layers is the same, and that has one output or several as
        it has, is asked of a copy with the case's widths. Or a function make(sizes),
        sizes = (d, hidden..., out), that returns such a module; it may raise `NotOffered`.
    **objectives : function
        By the suite's names: meta_irm=f, erm=g, ... Each is called as f(module, envs, **hyper) with
        the case's parameters in the module and envs a list of (x, y), x (n, d), y (n,) of int64.
        It returns the value as a tensor to call backward() on; or it has called that itself, and
        returns the value detached.

    Returns
    -------
    object
        For `check_backend` and `parametrize_with_checks`.

    Raises
    ------
    ValueError, TypeError
        If there is no objective, one has a name that is not the suite's, or the module has other
        parameters.

    Examples
    --------
    >>> report = check_backend(from_torch_module(Net(), meta_irm=my_loss))  # doctest: +SKIP
    """
    import torch

    if isinstance(module, torch.nn.Module):
        linear_layers(module)

        def make(sizes):
            return resized(module, sizes)
    elif callable(module):
        make = module
    else:
        raise TypeError(f"module is {module!r}; give a torch.nn.Module or a function make(sizes)")
    return TorchModule(make, objectives)
