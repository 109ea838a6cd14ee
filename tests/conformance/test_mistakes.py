"""Every known mistake of the catalogue is rejected and named, and no other."""

import conformance_tables
import numpy as np
import pytest
from held_out.to_catch import HELD_OUT, TO_CATCH

from metairm_np import Environment, spec
from metairm_np.conformance import check_backend, vectors
from metairm_np.conformance.mistakes import MISTAKES, changed_spec
from metairm_np.conformance.stages import answers

ASKED = {  # by the catalogue's module, what is enough to tell its mistakes from all others
    "risk": "classes_4_square l2 zero_logits saturated unequal_sizes",
    "network": "classes_4_square binary_2_layers zero_hidden_inputs",
    "norm": "classes_4_square l2 l2_2_inner_steps",
    "environments": "unequal_sizes large_environments",
    "irmv1": "binary_2_layers classes_4_square small_weights",
    "rex": "binary_2_layers small_weights",
    "way_back": "binary_2_layers l2_2_inner_steps noise_2_inner_steps",
    "inner_steps": "binary_2_layers l2_2_inner_steps inner_l2 unequal_sizes",
    "noise": "noise noise_2_inner_steps",
    "pairs": "unbalanced_pairs l2_2_inner_steps same_environment unequal_sizes",
    "sigma": "unbalanced_pairs l2_2_inner_steps small_weights sigma_zero",
    "optimizers": "l2",
    "training": "l2",
}


ORDERED = ("mean of minibatch means", "last minibatch dropped")  # other samples in each batch


def backwards(given):
    """Return environments with their samples in reverse order, anything else as it is."""
    if isinstance(given, Environment):
        return Environment(given.x[::-1].copy(), given.y[::-1].copy())
    if isinstance(given, list) and isinstance(given[0], Environment):
        return [backwards(env) for env in given]
    return given


class Backwards:
    """A backend on samples in reverse order, so that its answers are rounded differently."""

    def __init__(self, engine, functions):
        for name in functions:
            setattr(self, name, self.reversed(getattr(engine, name)))

    def reversed(self, function):
        def call(*args, **hyper):
            with np.errstate(all="ignore"):  # most frameworks do not warn
                return function(*map(backwards, args), **hyper)

        return call


def wrong_copy(mistake):
    """Return the spec with a mistake, a number in it not being the one that the fit begins with."""
    if not mistake.number:
        return mistake.backends()[0]
    return changed_spec(mistake.edit_at(0.7 * mistake.variants[0]))


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_and_no_other(name):
    """The backend is the catalogue's own copy of the spec, but it rounds differently.

    So this shows that each mistake is seen in these cases, that no two look alike, and that a
    diagnosis bears rounding. That mistakes as others make them are known again is shown in PyTorch,
    in test_bug_zoo.py.
    """
    room = MISTAKES[name].edit.__module__.split(".")[-1]
    functions = ["value_and_grad"] + ["train_steps"] * MISTAKES[name].of_training
    backend = Backwards(wrong_copy(MISTAKES[name]), functions)
    if name in ORDERED:
        backend = wrong_copy(MISTAKES[name]).value_and_grad
    report = check_backend(backend, cases=ASKED[room].split())
    assert not report.passed
    assert report.diagnosis == [name]
    if not MISTAKES[name].number:
        assert report.findings[0].alike == []


def test_the_catalogue_has_what_was_to_be_caught_but_for_what_is_held_out():
    listed = {*TO_CATCH} - {"computes in half precision"}  # told by its size, not by an equation
    assert len(TO_CATCH) == len({*TO_CATCH})
    assert {*HELD_OUT} == listed - MISTAKES.keys()
    assert len(MISTAKES) >= 160


def test_a_copy_without_changes_is_the_spec():
    case = vectors.load()["noise_2_inner_steps"].case
    right = answers(case)
    for stage, arrays in answers(case, changed_spec()).items():
        for key, array in arrays.items():
            assert np.array_equal(array, right[stage][key])


def test_copies_leave_the_spec_alone():
    before = dict(vars(spec))
    for mistake in MISTAKES.values():
        changed_spec(mistake.edits()[0])
    assert vars(spec) == before


def test_the_tables_of_the_page_are_what_is_generated():
    page = conformance_tables.PAGE.read_text(encoding="utf-8")
    assert page == conformance_tables.fill(page)
    assert sum(page.count(f"| {name} | ") for name in MISTAKES) >= len(MISTAKES)


def test_cells_are_escaped_and_unknown_tables_refused():
    assert conformance_tables.table(("a",), [("|z|",)]).endswith("\n| \\|z\\| |")
    with pytest.raises(KeyError, match="nothing"):
        conformance_tables.fill("<!-- nothing -->\n<!-- end -->")
