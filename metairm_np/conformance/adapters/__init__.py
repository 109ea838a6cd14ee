"""Training code as it is, of a torch.nn.Module or of JAX parameters, as a backend."""

from metairm_np.conformance.adapters._jax import from_jax
from metairm_np.conformance.adapters._torch import from_torch_module

__all__ = ["from_jax", "from_torch_module"]
