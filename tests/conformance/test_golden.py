"""The golden vectors: they are what the code gives, complete, and small."""

import json

import numpy as np
import pytest

from metairm_np.conformance import cases, stages, vectors

FILES = ("arrays.npz", "manifest.json")


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    vectors.write(folder)
    return folder


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_the_files_are_what_the_code_gives(generated):
    ours, theirs = manifest(vectors.FOLDER), manifest(generated)
    for cases_of in (ours["cases"], theirs["cases"]):
        for case in cases_of.values():
            case["scales"] = {
                stage: sorted(scales) for stage, scales in case["scales"].items()
            }  # last digits may differ
    ours.pop("generator"), theirs.pop("generator")
    assert ours == theirs
    scales = {name: solved.scales for name, solved in vectors.load().items()}
    with np.load(vectors.FOLDER / "arrays.npz") as stored, np.load(generated / "arrays.npz") as new:
        assert stored.files == new.files
        for key in stored.files:
            name, stage, array = key.split("/")
            assert stored[key].dtype == new[key].dtype
            if stage == "inputs":
                assert np.array_equal(stored[key], new[key]), key
            else:  # another BLAS rounds differently
                assert (
                    np.abs(stored[key] - new[key]).max()
                    <= 64 * np.finfo(float).eps * scales[name][stage][array]
                ), key


def test_scales_are_what_the_code_gives(generated):
    for name, case in manifest(vectors.FOLDER)["cases"].items():
        for stage, scales in manifest(generated)["cases"][name]["scales"].items():
            assert scales == pytest.approx(case["scales"][stage], rel=0.02)


def test_generating_twice_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(
        cases,
        "GOLDEN",
        [case for case in cases.GOLDEN if case[0] in ("noise", "l2", "mnist_2_classes")],
    )
    for folder in ("a", "b"):
        vectors.write(tmp_path / folder)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_files_are_small():
    assert sum((vectors.FOLDER / file).stat().st_size for file in FILES) < 3e6


def test_inputs_are_exact_in_float32():
    for name, solved in vectors.load().items():
        for key, array in solved.case.arrays().items():
            assert np.array_equal(array, array.astype(np.float32)), f"{name} {key}"
        for value in (
            *solved.case.meta.values(),
            solved.case.penalty_weight,
            solved.case.lambda_min,
            solved.case.l2,
        ):
            if isinstance(value, float):
                assert value == float(np.float32(value)), name


def test_reading_gives_the_cases_that_were_written():
    for name, note, _ in cases.GOLDEN:
        solved = vectors.load()[name]
        right = stages.answers(solved.case)
        assert solved.case.note == note
        assert right.keys() == solved.answers.keys() == solved.scales.keys()
        for stage, arrays in right.items():
            assert arrays.keys() == solved.answers[stage].keys()
            for key, array in arrays.items():
                allowed = 64 * np.finfo(float).eps * solved.scales[stage][key]
                assert np.abs(array - solved.answers[stage][key]).max() <= allowed, (
                    f"{name}/{stage}/{key}"
                )


def test_every_quantity_has_a_tolerance_and_a_reason():
    about = manifest(vectors.FOLDER)
    assert list(about["tolerances"]) == list(stages.TOLERANCES) == [*stages.STAGES, *stages.EXTRA]
    assert all(
        tolerance["units"] > 0 and tolerance["reason"] for tolerance in about["tolerances"].values()
    )
    assert all(case["note"] for case in about["cases"].values())


def test_no_unit_is_near_its_kink():
    for name, solved in vectors.load().items():
        assert stages.margin(solved.case) > vectors.LEAST_MARGIN, name


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
