"""The BLAS library behind NumPy: how many threads it takes, and which kernels it has chosen.

Ours, because a limit is set for each sum over samples: on two cores that takes 3 us here, 16 us
with a cached threadpoolctl.ThreadpoolController and 840 us with threadpoolctl.threadpool_limits.
"""

import contextlib
import ctypes
import functools
import os
import threading

from numpy.linalg import _umath_linalg

# of NumPy's wheels, and of OpenBLAS
NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
# what OpenBLAS's SkylakeX kernels need
AVX512 = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}


@functools.cache
def _openblas(function):
    """Find a function of the OpenBLAS that NumPy has loaded; None if NumPy uses another BLAS."""
    # a symbol is looked up in what this module is linked with, too
    library = ctypes.CDLL(_umath_linalg.__file__)
    for name in NAMES:
        with contextlib.suppress(AttributeError):
            return getattr(library, name.format(function))
    return None


def kernels():
    """Return the processor for which OpenBLAS has chosen its kernels; None for another BLAS."""
    function = _openblas("get_corename")
    if function is None:
        return None
    function.restype = ctypes.c_char_p
    return function().decode()


def advice():
    """Return a sentence on how to get faster kernels; None if OpenBLAS has chosen the best."""
    slow = kernels() in ("Haswell", "Zen") and processor_flags() >= AVX512
    if not slow or "OPENBLAS_CORETYPE" in os.environ:
        return None
    return (
        f"OpenBLAS runs its {kernels()} kernels although this processor has AVX-512; "
        "OPENBLAS_CORETYPE=SkylakeX, set before Python starts, may be up to a quarter faster"
    )


def processor_flags():
    """Return the processor's instruction sets, as Linux names them; empty elsewhere."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def cores():
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_lock, _inside, _before = threading.Lock(), 0, 1


def _forget():
    """Leave BLAS alone again: a forked child has only the thread that forked."""
    global _lock, _inside
    if _inside:
        _openblas("set_num_threads")(_before)
    _lock, _inside = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def one_thread():
    """Keep BLAS to one thread, as long as anyone is inside."""
    global _inside, _before
    get, set_ = _openblas("get_num_threads"), _openblas("set_num_threads")
    if set_ is None:
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = get()
            set_(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                set_(_before)
