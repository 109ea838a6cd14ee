"""Every known mistake of the catalogue is rejected and named, and no other."""

import conformance_tables
import numpy as np
import pytest

from metairm_np import Environment, spec
from metairm_np.conformance import check_backend, vectors
from metairm_np.conformance.mistakes import MISTAKES, changed_spec
from metairm_np.conformance.stages import answers

ASKED = {  # by the catalogue's module, what is enough to tell its mistakes from all others
    "network": "classes_4_square l2 noise zero_logits zero_hidden_inputs saturated",
    "baselines": "binary_2_layers classes_4_square",
    "meta": "unbalanced_pairs l2_2_inner_steps noise_2_inner_steps sigma_zero",
    "optimizers": "l2",
}
VARIANTS = [(name, k) for name, known in MISTAKES.items() for k in range(len(known.edits()))]


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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "k"), VARIANTS, ids=[f"{name}-{k}" for name, k in VARIANTS])
def test_a_mistake_is_named_and_no_other(name, k):
    """The backend is the catalogue's own copy of the spec, but it rounds differently.

    So this shows that each mistake is seen in these cases, that no two look alike, and that a
    diagnosis bears rounding. That mistakes as others make them are known again is shown in PyTorch,
    in test_bug_zoo.py.
    """
    room = MISTAKES[name].edit.__module__.split(".")[-1]
    functions = ["value_and_grad"] + ["train_steps"] * (room == "optimizers")
    backend = Backwards(MISTAKES[name].backends()[k], functions)
    report = check_backend(backend, cases=ASKED[room].split())
    assert not report.passed
    assert report.diagnosis == [name]


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
