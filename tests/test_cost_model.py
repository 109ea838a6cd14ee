"""The cost model counts what is computed, and docs/scale.md says what was measured."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metairm_np import Environment, fast, init_mlp, trials
from metairm_np.audit import Audit
from metairm_np.environments import colored_mnist
from metairm_np.experiments import load
from metairm_np.fast import network, sums

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "cost_model.json"

if not RESULTS.is_file():
    pytest.skip("benchmarks/ is in the repository, not in the package", allow_module_level=True)

HYPER = {
    "erm": {}, "irmv1": {"penalty_weight": 9.0}, "v_rex": {"penalty_weight": 9.0}, "mm_rex": {"lambda_min": -9.0},
    "meta_irm": {"inner_lr": 0.1, "std_weight": 1.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def cost_model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        import cost_model

        yield cost_model


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text())


class Recorder:
    """NumPy for `fast.network`, with a record of the matrix products."""

    def __init__(self):
        self.flops = []

    def __getattr__(self, name):
        return getattr(np, name)

    def dot(self, a, b, out=None):
        self.flops.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return np.dot(a, b, out=out)


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(network, "np", recorder)
    return recorder


def painted(n, k, seed):
    rng = np.random.default_rng(seed)
    grey = rng.random((n, 196)) * (rng.random((n, 196)) < 0.05)
    return Environment.painted(grey, np.arange(n) % k, k, rng.integers(k, size=n))


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("hidden", [(7,), (7, 5), (7, 5, 6)])
@pytest.mark.parametrize("objective, classes, n_envs, inner_steps", [
    ("erm", 2, 2, 1), ("v_rex", 5, 3, 1), ("mm_rex", 2, 3, 1), ("irmv1", 2, 2, 1), ("irmv1", 10, 3, 1), ("meta_irm", 2, 2, 1),
    ("meta_irm", 2, 2, 3), ("meta_irm", 5, 3, 1), ("meta_irm", 2, 4, 2),
])  # fmt: skip
def test_flops_are_those_of_the_products_computed(
    cost_model, recorder, monkeypatch, objective, classes, n_envs, inner_steps, hidden, room
):
    if not room:
        monkeypatch.setattr(sums, "KEPT_BYTES", 0)
        monkeypatch.setattr(cost_model, "KEPT_BYTES", 0)
    envs = [painted(60, classes, seed) for seed in range(n_envs)]
    hyper = {**HYPER[objective], **({"inner_steps": inner_steps} if objective == "meta_irm" else {})}
    params = init_mlp((196 * classes, *hidden, 1 if classes == 2 else classes), 0)
    fast.value_and_grad(objective, params, envs, **hyper)
    columns = cost_model.columns_of(envs)
    case = cost_model.Case(objective, 60, hidden, classes, n_envs, inner_steps, "float64", classes, columns)
    assert cost_model.gradient_work(case)[0] == pytest.approx(sum(recorder.flops), rel=1e-12)


@pytest.mark.parametrize("algorithm, steps", [("erm_grey", 20), ("irmv1", 23), ("v_rex", 20), ("meta_irm", 23)])
def test_flops_of_a_trial_are_those_of_the_products_computed(cost_model, recorder, monkeypatch, algorithm, steps):
    monkeypatch.setattr(Audit, "passes", lambda *_, **__: True)
    experiment = load("cmnist", [f"steps={steps}", "n_per_env=4000", f"{algorithm}.hidden=[9]"])
    settings, data = experiment.algorithms[algorithm].settings, experiment.data(0)
    trials.run_trial(experiment, algorithm, data, 0, 0)
    data = data.greyscale() if settings.greyscale else data
    case = cost_model.Case(settings.objective, 0, (9,), dtype="float64", channels=1 if settings.greyscale else 2)
    sets = data.train, data.validation, [data.test(p / 10) for p in range(1, 10)]
    cases = [replace(case, n=len(envs[0]), columns=cost_model.columns_of(envs)) for envs in sets]
    assert cost_model.trial_work(*cases, steps)[0] == pytest.approx(sum(recorder.flops), rel=1e-3)


@pytest.mark.parametrize("hidden", [(64,), (390,), (2000, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n, k", [(2400, 2), (1024, 2), (1500, 10), (60, 5)])
def test_chunks_and_parts_are_those_of_equal_groups(cost_model, hidden, dtype, n, k):
    env = painted(n, k, 0).astype(dtype)
    parts = sums.cut(env, [init_mlp((196 * k, *hidden, 1), 0, dtype)])
    case = cost_model.Case("erm", n, hidden, k, dtype=dtype, channels=k)
    assert (case.chunks, case.parts) == (sum(len(part.chunks) for part in parts), len(parts))


def test_bytes_of_an_environment_are_those_of_its_arrays(cost_model):
    env = colored_mnist(0, n_per_env=1000, dtype="float32").train[0]
    arrays = [env.y, *(array for group in env.groups for block in group.blocks for array in block)]
    case = cost_model.Case("erm", len(env), (3,), columns=cost_model.columns_of([env]))
    assert cost_model.data_bytes(case) == pytest.approx(sum(array.nbytes for array in arrays), rel=1e-12)


def test_size_is_the_number_of_parameters(cost_model):
    params = init_mlp((196 * 5, 7, 8, 5), 0)
    case = cost_model.Case("erm", 1, (7, 8), classes=5, channels=5)
    assert case.size == sum(part.size for pair in params for part in pair)


def test_fit_finds_the_coefficients_of_a_machine_that_keeps_to_the_model(cost_model, results):
    gemm, truth = results["gemm"], np.array([1.3, 5e-11, 2e-10, 3e-8, 1e-6])
    made = {"gemm": gemm, "audits": [], "gradients": []}
    for measured in results["gradients"]:
        case = cost_model.case_of(measured["case"])
        seconds = float(cost_model.terms(case, cost_model.gradient_work(case), gemm) @ truth)
        # a machine at half speed for one of the runs, and disturbed in another
        made["gradients"].append(
            {"case": measured["case"], "runs": [[seconds, gemm], [2 * seconds, gemm / 2], [9 * seconds, gemm]]}
        )
    assert cost_model.fit(made)["coefficients"] == pytest.approx(truth, rel=1e-6)


def test_published_fit_is_that_of_the_measurements(cost_model, results):
    fit = cost_model.fit(results)
    for key, values in results["fit"].items():
        assert fit[key] == pytest.approx(values, rel=1e-6), key


def test_case_left_out_is_predicted_without_it(cost_model, results):
    changed = json.loads(json.dumps(results))
    for run in changed["gradients"][7]["runs"]:
        run[0] *= 2
    before, after = cost_model.fit(results), cost_model.fit(changed)
    assert after["unseen"][7] == pytest.approx(before["unseen"][7], rel=1e-9)
    assert after["predicted"][7] > before["predicted"][7]


def test_documented_tables_are_those_of_the_measurements(cost_model, results):
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    for name, table in cost_model.tables(results).items():
        assert table in text, name


def test_sentences_of_the_document_agree_with_the_measurements(cost_model, results):
    text = " ".join((ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split())
    trial, client = results["trials"]["meta_irm"], results["client"]
    hours = sum(cost_model.trial_seconds(results, trial, trial["all_steps"])) / 3600 * 1e6
    audits = results["fit"]["audits"]
    for sentence in (
        f"G = {results['gemm'] / 1e9:.0f} GFlop/s",
        f"over {len(results['gradients'])} gradients",
        f"takes {min(audits):.1f} to {max(audits):.1f} times as long",
        f"10^6 trials of meta-IRM are {hours:,.0f} core hours",
        f"{trial['record_bytes'] / 1e3:.0f} GB of JSON",
        f"A worker peaks at {results['trial_memory']['peak']:.0f} MiB",
        f"The command takes {1e3 * client['store']:.1f} ms to store a record",
    ):
        assert sentence in text
