"""Every known mistake of the catalogue is rejected and named, and no other."""

import conformance_tables
import numpy as np
import pytest
from held_out.to_catch import HELD_OUT, TO_CATCH

from metairm_np import Environment, spec
from metairm_np.conformance import check_backend, vectors
from metairm_np.conformance.mistakes import MISTAKES, changed_spec
from metairm_np.conformance.stages import answers

BASELINES, META = ("erm", "irmv1", "v_rex", "mm_rex"), ("meta_irm",)
ASKED = {  # by the catalogue's module, what is enough to tell its mistakes from all others
    "risk": (("erm", *META), "classes_4_square saturated zero_logits huge_logits_classes"),
    "network": (("erm", *META), "classes_4_square zero_hidden_inputs"),
    "norm": (("erm",), "l2 l2_2_inner_steps"),
    "environments": ((*BASELINES, *META), "unequal_sizes large_environments"),
    "irmv1": (BASELINES, "classes_4_square small_weights"),
    "rex": (BASELINES, "unbalanced_pairs small_weights"),
    "way_back": (META, "l2 l2_2_inner_steps"),
    "inner_steps": (META, "l2_2_inner_steps inner_l2 unequal_sizes"),
    "noise": (META, "noise noise_2_inner_steps"),
    "pairs": (META, "unbalanced_pairs l2_2_inner_steps same_environment"),
    "sigma": (META, "unbalanced_pairs small_weights sigma_zero"),
    "optimizers": ((), "steps_of_erm"),
    "training": ((), "steps_of_erm"),
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
    """A backend on samples in reverse order, so that its answers are rounded differently.

    It offers some objectives, or with none of them the training steps alone.
    """

    def __init__(self, engine, objectives):
        self.engine, self.objectives = engine, objectives
        if not objectives:
            self.train_steps = self.answer("train_steps")

    def answer(self, function):
        def call(*args, **hyper):
            with np.errstate(all="ignore"):  # most frameworks do not warn
                return getattr(self.engine, function)(*map(backwards, args), **hyper)

        return call

    def value_and_grad(self, name, *args, **hyper):
        if name not in self.objectives:
            raise NotImplementedError(name)
        return self.answer("value_and_grad")(name, *args, **hyper)


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
    objectives, cases = ASKED[MISTAKES[name].edit.__module__.split(".")[-1]]
    backend = Backwards(wrong_copy(MISTAKES[name]), objectives)
    if name in ORDERED:
        backend = wrong_copy(MISTAKES[name]).value_and_grad
    report = check_backend(backend, cases=cases.split())
    assert report.wrong
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
