"""The golden vectors: they are what the code gives, complete, and small."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metairm_np import fast, spec
from metairm_np.conformance import cases, check_backend, stages, vectors
from metairm_np.conformance.golden_cases import GOLDEN
from metairm_np.conformance.offer import as_backend
from metairm_np.conformance.suite import ask


@pytest.mark.slow
@pytest.mark.parametrize("version", vectors.FOLDERS)
def test_the_files_are_what_the_code_gives(version, tmp_path):
    """They are the same but for last digits: another BLAS rounds differently."""
    vectors.write(tmp_path, version)
    folder = vectors.FOLDERS[version]
    ours, theirs = (
        json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        for place in (folder, tmp_path)
    )
    for name, case in ours["cases"].items():
        old, new = case.pop("scales"), theirs["cases"][name].pop("scales")
        assert old.keys() == new.keys()
        for stage in old:
            assert new[stage] == pytest.approx(old[stage], rel=0.02)
    ours.pop("generator"), theirs.pop("generator")
    assert ours == theirs
    scales = {name: solved.scales for name, solved in vectors.load(folder).items()}
    with np.load(folder / "arrays.npz") as stored, np.load(tmp_path / "arrays.npz") as new:
        assert set(stored.files) == set(new.files)
        for key in stored.files:
            name, stage, array = key.split("/")
            assert stored[key].dtype == new[key].dtype
            if stage == "inputs":
                assert np.array_equal(stored[key], new[key]), key
            else:
                allowed = 64 * np.finfo(float).eps * scales[name][stage][array]
                assert np.abs(stored[key] - new[key]).max() <= allowed, key


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_first_version_is_still_read_and_passed(dtype):
    report = check_backend(fast, dtype, golden="v1")
    assert report.passed
    assert len({o.case for o in report.outcomes}) == 32


def test_the_second_version_has_all_of_the_first():
    first, second = map(vectors.load, vectors.FOLDERS.values())
    assert list(second)[: len(first)] == list(first)
    for name, solved in first.items():
        for key, array in solved.case.arrays().items():
            assert np.array_equal(array, second[name].case.arrays()[key])


def test_the_arrays_are_those_that_numpy_reads():
    path = vectors.FOLDERS["v1"] / "arrays.npz"
    with np.load(path) as packed:
        for name, array in vectors.read_arrays(path):
            assert array.dtype == packed[name].dtype
            assert np.array_equal(array, packed[name])


def test_the_files_are_small():
    assert sum(file.stat().st_size for file in vectors.FOLDER.iterdir()) < 3e6


def test_inputs_are_exact_in_float32():
    for name, solved in vectors.load().items():
        if name.startswith("decimal"):
            continue
        for key, array in solved.case.arrays().items():
            assert np.array_equal(array, array.astype(np.float32)), f"{name} {key}"
        own = [getattr(solved.case, key) for key in cases.NUMBERS]
        for value in [*solved.case.meta.values(), *own]:
            if isinstance(value, float):
                assert value == float(np.float32(value)), name


def test_reading_gives_the_cases_that_were_written():
    for name, note, options in GOLDEN["v2"]:
        solved = vectors.load()[name]
        assert solved.case.note == note
        assert solved.case.meta.get("pairs") == options.get("pairs")
        assert list(solved.answers) == list(solved.scales) == stages.stages_of(solved.case)
        for stage in ("irmv1_penalties", "sigma"):
            answer = stages.answers(solved.case, stages=[stage])[stage]
            for key, array in answer.items():
                assert np.allclose(array, solved.answers[stage][key], rtol=1e-10, atol=1e-14)


def test_every_quantity_has_a_tolerance_and_a_reason():
    for stage in stages.STAGES.values():
        assert stage.units > 0
        assert stage.what
        assert stage.reason
    assert all(note for _, note, _ in GOLDEN["v2"])


def test_units_near_their_kinks_are_seen():
    case = vectors.load()["binary_1_layer"].case
    assert stages.margin(case) > vectors.LEAST_MARGIN
    (W, b), last = case.params
    b = b.copy()
    b[0] = 1e-6 - case.envs[1].x[0] @ W[:, 0]
    assert stages.margin(replace(case, params=[(W, b), last])) == pytest.approx(1e-6)


def test_every_scale_is_bounded():
    """A scale too large lets any error pass, as one that crosses the kink of a maximum would."""
    for name, solved in vectors.load().items():
        steep = {"saturated": 2000, "huge": 20_000}.get(name.split("_")[0], 30)
        for stage, parts in solved.scales.items():
            for key, scale in parts.items():
                largest = np.abs(solved.answers[stage][key]).max(initial=0)
                assert 0.99 * largest <= scale <= steep * max(largest, 1), f"{name}/{stage}/{key}"


@pytest.mark.parametrize("name", ["zero_logits", "zero_logits_classes"])
def test_ties_are_compared_as_closely_as_the_rest(name):
    def wrong(objective, *args, **hyper):
        value, gradient = spec.value_and_grad(objective, *args, **hyper)
        return value, [*gradient[:-1], (gradient[-1][0] + 1e-4, gradient[-1][1])]

    outcome = ask(as_backend(wrong), vectors.load()[name], "mm_rex", "float32")
    assert [key for key, size in outcome.differences.items() if size > outcome.allowed] == ["W1"]


def test_the_special_cases_are_special():
    known = vectors.load()
    assert known["sigma_zero"].answers["sigma"]["sigma"] == 0
    for name in ("zero_logits", "zero_logits_classes"):
        assert all((f == 0).all() for f in known[name].answers["logits"].values())
    sizes = np.abs(
        np.concatenate([f.ravel() for f in known["saturated"].answers["logits"].values()])
    )
    assert ((abs(sizes - 40) < 5) | (abs(sizes - 22) < 5)).all()
    assert max(sizes) > 37
    hidden = known["zero_hidden_inputs"].case
    assert any(
        (env.x @ hidden.params[0][0] + hidden.params[0][1] == 0).any() for env in hidden.envs
    )
    real = known["mnist_2_classes"].case
    assert all(set(np.unique(np.round(env.x * 255))) <= set(range(256)) for env in real.envs)
