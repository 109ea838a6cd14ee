"""In what forms an answer is taken, and which ones are told in a sentence."""

import numpy as np
import pytest
from wrong_backends import FEW, Wrapped

from metairm_np import spec
from metairm_np.conformance import Spec, check_backend, replies
from metairm_np.conformance.replies import UnusableError


class Tensor:
    """What a framework has: no NumPy array until it is detached, copied to the CPU, converted."""

    def __init__(self, a, steps=("detach", "cpu", "numpy")):
        self.a, self.shape, self.ndim = np.asarray(a), np.shape(a), np.ndim(a)
        self.next = steps

    def __array__(self, *args, **keywords):
        raise RuntimeError("Can't call numpy() on a tensor that requires grad.")

    def step(self, name):
        assert self.next[0] == name
        return Tensor(self.a, self.next[1:]) if self.next[1:] else self.a

    def detach(self):
        return self.step("detach")

    def cpu(self):
        return self.step("cpu")

    def numpy(self):
        return self.step("numpy")


def parts(gradient):
    return [part for pair in gradient for part in pair]


FORMS = {
    "tensors": lambda v, g: (Tensor(v), [(Tensor(W), Tensor(b)) for W, b in g]),
    "value (1,)": lambda v, g: ([v], g),
    "value (1, 1)": lambda v, g: (np.array([[v]]), g),
    "value 0-d": lambda v, g: (np.array(v), g),
    "lists": lambda v, g: [v, [[W.tolist(), b.tolist()] for W, b in g]],
    "one vector": lambda v, g: (v, np.concatenate([np.ravel(p) for p in parts(g)])),
    "vector as a tensor": lambda v, g: (v, Tensor(np.concatenate([p.ravel() for p in parts(g)]))),
    "vector as a list": lambda v, g: (v, [x for p in parts(g) for x in np.ravel(p).tolist()]),
    "a row of all": lambda v, g: (v, np.concatenate([np.ravel(p) for p in parts(g)])[None]),
    "W0, b0, W1, ...": lambda v, g: (v, tuple(parts(g))),
    "biases (1, out)": lambda v, g: (v, [(W, b[None]) for W, b in g]),
}
SMALL = ("binary_linear", "classes_5_1_layer", *FEW)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_right_answer_passes_in_any_form(form):
    report = check_backend(
        Wrapped(lambda right, *args, **hyper: form(*right(*args, **hyper))),
        cases=SMALL,
        diagnose=False,
    )
    assert report.passed, report.text()


class Tensors(Spec):
    """The spec, all of whose functions return tensors, and numbers of shape (1,)."""

    def logits(self, params, x):
        f = spec.logits(params, x)
        return Tensor(f[:, 0] if f.shape[1] == 1 else f)

    def risk(self, params, env):
        return Tensor([spec.risk(params, env)])

    def adapt(self, *args, **inner):
        return [Tensor(part) for part in parts(spec.adapt(*args, **inner))]

    def meta_losses(self, *args, **inner):
        return [Tensor(loss) for loss in spec.meta_losses(*args, **inner)]

    def sigma_and_weights(self, *args, **inner):
        s, w = super().sigma_and_weights(*args, **inner)
        return Tensor([s]), Tensor(w[None])

    def irmv1_penalty(self, params, env):
        return [spec.irmv1_penalty(params, env)]

    def hessian_vector_product(self, params, env, vector):
        product = parts(spec.hessian_vector_product(params, env, vector))
        return Tensor(np.concatenate([part.ravel() for part in product]))

    def train_steps(self, *args, **hyper):
        path = super().train_steps(*args, **hyper)
        return ([(Tensor(W), Tensor(b)) for W, b in theta] for theta in path)


def test_every_function_may_answer_in_tensors():
    report = check_backend(Tensors(), cases=("binary_linear", "classes_5_1_layer", "l2"))
    assert report.passed, report.text()
    assert not report.missing


def without_the_last_bias(right, *args, **hyper):
    value, gradient = right(*args, **hyper)
    return value, [*gradient[:-1], (gradient[-1][0], None)]


def test_none_is_zero_and_nothing_else():
    report = check_backend(Wrapped(without_the_last_bias), cases=["l2"], diagnose=False)
    assert report.wrong
    for outcome in report.wrong:
        wrong = [key for key, size in outcome.differences.items() if size > outcome.allowed]
        assert [key.split("_")[-1] for key in wrong] in (["b1"], ["b1", "b1"])
    params = [(np.ones((2, 3)), np.ones(3))]
    assert not replies.layers([(None, None)], params)["W0"].any()


# ---- what is still wrong -------------------------------------------------------------------------

LAYOUT = "give [(W, b), ...], [W0, b0, W1, b1, ...] or one vector of all 21 numbers in that order"
WRONG = {  # for l2, whose layers are (3, 4) and (4, 1)
    "transposed": (lambda v, g: (v, [(W.T, b) for W, b in g]), "W0 has shape (4, 3), not (3, 4)"),
    "transposed last": (
        lambda v, g: (v, [g[0], (g[1][0].T, g[1][1])]),
        "W1 has shape (1, 4), not (4, 1)",
    ),
    "biases (out, 1)": (
        lambda v, g: (v, [(W, b[:, None]) for W, b in g]),
        "b0 has shape (4, 1), not (4,)",
    ),
    "flat W": (
        lambda v, g: (v, [(W.ravel(), b) for W, b in g]),
        "W0 has shape (12,), not (3, 4)",
    ),
    "short vector": (
        lambda v, g: (v, np.zeros(20)),
        f"the gradient is an array of shape (20,); {LAYOUT}",
    ),
    "dict": (
        lambda v, g: (v, dict(enumerate(g))),
        f"the gradient is a dict of 2; {LAYOUT}",
    ),
    "none": (lambda v, g: (v, None), f"the gradient is None; {LAYOUT}"),
    "iterator": (lambda v, g: (v, iter(g)), f"the gradient is a list_iterator; {LAYOUT}"),
    "layers of one": (
        lambda v, g: (v, [(W,) for W, b in g]),
        f"layer 0 of the gradient is a tuple of 1; {LAYOUT}",
    ),
    "ragged": (
        lambda v, g: (v, [([[1.0], [1.0, 2.0]], b) for W, b in g]),
        "W0 is a list of parts with different shapes",
    ),
    "value alone": (
        lambda v, g: v,
        "value_and_grad is a float; give two things, such as (value, gradient)",
    ),
    "no value": (lambda v, g: (None, g), "value is None; give an array, a tensor or a list"),
    "two values": (lambda v, g: ([v, v], g), "value has shape (2,), not ()"),
}


@pytest.mark.parametrize(("form", "problem"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_in_one_way_is_one_sentence(form, problem):
    report = check_backend(
        Wrapped(lambda right, *args, **hyper: form(*right(*args, **hyper))),
        cases=["l2"],
        diagnose=False,
    )
    assert not report.passed
    problems = {o.stage: o.problem for o in report.wrong}
    assert problems["meta_irm"] == problem


def test_the_mistake_of_transposed_weights_is_still_named():
    change = WRONG["transposed"][0]
    report = check_backend(
        Wrapped(lambda right, *args, **hyper: change(*right(*args, **hyper))),
        cases=("classes_4_square", "l2"),
    )
    assert report.diagnosis == ["transposed weights"]


def test_no_shape_is_read_in_two_ways():
    """A row is no column: only what has one reading is changed."""
    column, row = np.ones((4, 1)), np.ones((1, 4))
    assert replies.fitted(column, (1, 4)).shape == (4, 1)
    assert replies.fitted(row, (4, 1)).shape == (1, 4)
    assert replies.fitted(column, (4,)).shape == (4, 1)
    assert replies.fitted(np.ones(4), (1, 4)).shape == (4,)
    assert replies.fitted(np.ones(4), (4, 1)).shape == (4, 1)
    with pytest.raises(UnusableError):
        replies.array({"W": 1})
