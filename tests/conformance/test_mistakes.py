"""The catalogue of known mistakes: each shows somewhere, no two are the same, and all are documented."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from metairm_np.conformance import vectors
from metairm_np.conformance.diagnosis import apart, mistaken_answer
from metairm_np.conformance.mistakes import MISTAKES, changed_spec
from metairm_np.conformance.stages import TOLERANCES, answers

EXACT = {stage: 4 * units * 2.0**-52 for stage, (units, _) in TOLERANCES.items()}


CASES = (
    "binary_2_layers",
    "classes_4_square",
    "three_inner_steps",
    "unbalanced_pairs",
    "l2",
    "l2_2_inner_steps",
    "noise_2_inner_steps",
    "sigma_zero",
    "zero_logits",
    "zero_hidden_inputs",
    "saturated",
)
STAGES = ("erm", "irmv1", "v_rex", "mm_rex", "hessian_vector_product", "meta_losses", "meta_irm")


def questions():
    """Return (solved, stage), enough to tell every mistake from every other."""
    asked = [(vectors.load()[name], stage) for name in CASES for stage in STAGES]
    return asked + [(vectors.load()["l2"], stage) for stage in ("sgd", "adam")]


def every():
    return [
        (mistake, k, backend)
        for mistake in MISTAKES.values()
        for k, backend in enumerate(mistake.backends())
    ]


def test_a_copy_without_changes_is_the_spec():
    case = vectors.load()["noise_2_inner_steps"].case
    right = answers(case)
    for stage, arrays in answers(case, changed_spec()).items():
        for key, array in arrays.items():
            assert np.array_equal(array, right[stage][key])


def test_copies_leave_the_spec_alone():
    from metairm_np import spec

    before = dict(vars(spec))
    for mistake in MISTAKES.values():
        mistake.backends()
    assert {key: value for key, value in vars(spec).items() if not key.startswith("__")} == {
        key: value for key, value in before.items() if not key.startswith("__")
    }


@pytest.fixture(scope="module")
def differences():
    """For each mistake and variant, the answers that are not the spec's."""
    found = {}
    for mistake, k, backend in every():
        found[mistake.name, k] = {}
        for solved, stage in questions():
            answer = mistaken_answer(backend, solved, stage)
            if (
                answer is None
                or apart(answer, solved.answers[stage], solved.scales[stage]) > EXACT[stage]
            ):
                found[mistake.name, k][solved.case.name, stage] = answer
    return found


def test_every_mistake_shows(differences):
    for key, shown in differences.items():
        assert any(answer is not None for answer in shown.values()), key


def test_no_two_mistakes_are_the_same(differences):
    scales = {(solved.case.name, stage): solved.scales[stage] for solved, stage in questions()}

    def same(a, b):
        if a.keys() != b.keys():
            return False
        return all(
            (a[key] is None) == (b[key] is None)
            and (a[key] is None or apart(a[key], b[key], scales[key]) <= EXACT[key[1]])
            for key in a
        )

    for (first, a), (second, b) in itertools.combinations(differences.items(), 2):
        if first[0] != second[0]:
            assert not same(a, b), f"{first} and {second}"


def test_mistakes_tolerances_and_cases_are_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text(
        encoding="utf-8"
    )
    for mistake in MISTAKES.values():
        assert (
            " | ".join(
                text.replace("|", r"\|") for text in (mistake.name, mistake.cause, mistake.remedy)
            )
            in page
        )
    for stage, (units, reason) in TOLERANCES.items():
        assert re.search(
            rf"^\| {stage} \| .+ \| {units} \| {re.escape(reason)} \|$", page, re.MULTILINE
        ), stage
    for name, solved in vectors.load().items():
        assert f"| {name} | {solved.case.note} |" in page
