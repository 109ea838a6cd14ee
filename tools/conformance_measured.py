"""How far off the backends are, stage by stage: the table "Measured" of docs/conformance.md.

    PYTHONPATH=tests python tools/conformance_measured.py

It takes some minutes, most of them JAX's, and needs the extra `crosscheck`.
"""

import numpy as np
from cross_framework.jax_backend import Backend as Jax
from cross_framework.torch_backend import Backend as Torch

from metairm_np.conformance import Fast, Spec, check_backend
from metairm_np.conformance.stages import STAGES
from metairm_np.reports.tables import markdown

BACKENDS = {"spec": Spec, "fast": Fast, "PyTorch": Torch, "JAX": Jax}


def column(backend, dtype):
    """Return the largest difference of each stage in units of rounding, as texts."""
    report = check_backend(backend, dtype, diagnose=False)
    assert report.passed, report
    eps = np.finfo(dtype).eps
    found = {name: max(o.largest for o in some) / eps for name, some in report.by_stage.items()}
    return [f"{found[name]:.1f}" if name in found else "" for name in STAGES]


if __name__ == "__main__":
    head, columns = ["stage", "units allowed"], [[*STAGES], [f"{s.units}" for s in STAGES.values()]]
    for dtype in ("float64", "float32"):
        for name, backend in BACKENDS.items():
            head.append(f"{name}, float32" if dtype == "float32" else name)
            columns.append(column(backend, dtype))
    print(markdown(head, list(zip(*columns))))
