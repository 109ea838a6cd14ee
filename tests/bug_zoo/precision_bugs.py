"""Bugs in the precision."""

import numpy as np

from bug_zoo.correct import Correct
from metairm_np import Environment

FUNCTIONS = (
    "value_and_grad",
    "logits",
    "risk",
    "adapt",
    "meta_losses",
    "hessian_vector_product",
    "train_steps",
)


def cast(data, dtype):
    """Return `data`, arrays and environments in any nest, with all floating-point arrays in `dtype`."""
    if isinstance(data, (list, tuple)):
        return type(data)(cast(part, dtype) for part in data)
    if hasattr(data, "x"):
        return Environment(cast(data.x, dtype), data.y)
    return data.astype(dtype) if getattr(data, "dtype", np.dtype(int)).kind == "f" else data


def in_float32(base):
    """Return the backend class `base` with float32 inside and float64 outside."""

    def converted(name):
        def method(self, *args, **options):
            args, options = (
                cast(args, "float32"),
                {key: cast(value, "float32") for key, value in options.items()},
            )
            return cast(getattr(base(), name)(*args, **options), "float64")

        return method

    return type("InFloat32", (base,), {name: converted(name) for name in FUNCTIONS})


class ComputesInFloat32(in_float32(Correct)):
    """The framework's default type is float32, and the results go into arrays of float64."""

    bug = "computes in float32"
