"""What the package knows of BLAS and of the processor, and how many threads it takes."""

import os

import pytest
from problems import problem

from metairm_np import fast
from metairm_np.fast import _blas, plan, sums
from metairm_np.fast.theta import Theta

openblas = pytest.mark.skipif(
    _blas._openblas("set_num_threads") is None, reason="NumPy uses another BLAS than OpenBLAS"
)


@pytest.fixture
def two_threads():
    """Return OpenBLAS's thread count as a function: 2 at first, restored afterwards."""
    get, set_ = _blas._openblas("get_num_threads"), _blas._openblas("set_num_threads")
    before = get()
    set_(2)
    yield get
    set_(before)


def processor(monkeypatch, kernels, flags=_blas.AVX512, coretype=None):
    """Pretend that OpenBLAS runs `kernels` on a processor with `flags`."""
    monkeypatch.setattr(_blas, "kernels", lambda: kernels)
    monkeypatch.setattr(_blas, "processor_flags", lambda: {"flags", ":", "avx2", *flags})
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if coretype is not None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", coretype)


@openblas
def test_openblas_has_a_kernel_name_and_no_unknown_function():
    assert _blas.kernels().isalnum()
    assert _blas._openblas("no_such_function") is None


def test_without_openblas_there_is_nothing_to_say_and_nothing_to_set(monkeypatch):
    monkeypatch.setattr(_blas, "_openblas", lambda function: None)
    assert _blas.kernels() is None
    assert _blas.advice() is None
    with _blas.one_thread():
        inside = True
    assert inside


@openblas
def test_one_thread_nests_and_restores_even_after_an_exception(two_threads):
    for _ in range(2):
        with pytest.raises(KeyError), _blas.one_thread():
            assert two_threads() == 1
            with pytest.raises(ZeroDivisionError), _blas.one_thread():
                assert two_threads() == 1
                raise ZeroDivisionError
            assert two_threads() == 1
            raise KeyError
        assert two_threads() == 2


@openblas
def test_one_thread_restores_when_the_first_leaves_first(two_threads):
    first, second = _blas.one_thread(), _blas.one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert two_threads() == 1
    second.__exit__(None, None, None)
    assert two_threads() == 2


@openblas
def test_the_engine_runs_blas_in_one_thread_and_restores_it(two_threads, monkeypatch):
    monkeypatch.setattr(plan, "CHUNK_BYTES", 1)
    monkeypatch.setattr(plan, "CHUNKS", 1)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    params, envs = problem(0, n=70)
    theta = Theta.of(params, "float64")
    inside, _ = sums.sum_over(lambda chunk: two_threads(), envs[0], [theta])
    assert inside == 5  # once for each chunk of at most 16 samples
    fast.value_and_grad("meta_irm", params, envs, inner_lr=0.1, std_weight=1.0)
    assert two_threads() == 2
    with pytest.raises(ZeroDivisionError):
        sums.sum_over(lambda chunk: 1 / 0, envs[0], [theta])
    assert two_threads() == 2


@pytest.mark.parametrize("kernels", ["Haswell", "Zen"])
def test_advice_for_avx2_kernels_on_a_processor_with_avx512(monkeypatch, kernels):
    processor(monkeypatch, kernels)
    assert f"its {kernels} kernels" in _blas.advice()
    assert "OPENBLAS_CORETYPE=SkylakeX" in _blas.advice()
    assert "\n" not in _blas.advice()


@pytest.mark.parametrize(
    "facts",
    [
        *(("Haswell", _blas.AVX512 - {missing}) for missing in sorted(_blas.AVX512)),
        *(("Haswell", _blas.AVX512, coretype) for coretype in ("Haswell", "SkylakeX", "")),
        *((kernels,) for kernels in ("SkylakeX", "Cooperlake", "armv8", None)),
    ],
    ids=str,
)
def test_no_advice_without_avx512_or_with_a_choice_or_for_other_kernels(monkeypatch, facts):
    processor(monkeypatch, *facts)
    assert _blas.advice() is None


def test_advice_here_is_none_or_a_sentence():
    assert _blas.advice() is None or _blas.kernels() in _blas.advice()


@pytest.mark.skipif(
    not os.path.exists("/proc/cpuinfo"), reason="only Linux lists the processor's flags"
)
def test_processor_flags_are_words():
    assert all(flag and not set(flag) & set(" \t\n") for flag in _blas.processor_flags())


def test_processor_flags_are_empty_without_the_list(monkeypatch):
    def refuse(*args):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert _blas.processor_flags() == set()


def test_cores(monkeypatch):
    assert 1 <= _blas.cores() <= os.cpu_count()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert _blas.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert _blas.cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _blas.cores() == 1


@pytest.mark.parametrize("nonsense", [None, "", "x", "0", "-2", "1.5", "\u00b2"])
def test_threads_are_those_of_the_first_variable_that_is_a_number(monkeypatch, nonsense):
    assert sums.THREAD_VARIABLES == ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    for number, name in enumerate(sums.THREAD_VARIABLES, 3):
        monkeypatch.setenv(name, str(number))
    for number, name in enumerate(sums.THREAD_VARIABLES, 3):
        assert fast.threads() == number
        if nonsense is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, nonsense)
    assert fast.threads() == _blas.cores()
