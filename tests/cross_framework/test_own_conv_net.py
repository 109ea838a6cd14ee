"""check_objective on a small convolutional network in PyTorch, and training code around it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from metairm_np.conformance import check_objective  # noqa: E402
from metairm_np.conformance.own_model import LOOK_ALIKE  # noqa: E402

F = torch.nn.functional


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More are slower on arrays as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class ConvNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3)
        self.norm = torch.nn.GroupNorm(2, 4)
        self.head = torch.nn.Linear(4 * 3 * 3, 3)

    def forward(self, x):
        h = F.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.head(h.flatten(1))


with torch.random.fork_rng():
    torch.manual_seed(0)
    NET = ConvNet().double()
THETA = {name: part.detach().numpy().copy() for name, part in NET.named_parameters()}
RNG = np.random.default_rng(0)
ENVS = [(torch.tensor(RNG.normal(size=(n, 2, 8, 8))), torch.tensor(RNG.integers(3, size=n)))
        for n in (7, 9)]  # fmt: skip


def tensors(theta):
    return {name: torch.tensor(part, requires_grad=True) for name, part in theta.items()}


def risk_of(theta, env, scale=1.0):
    x, y = env
    return F.cross_entropy(scale * torch.func.functional_call(NET, theta, (x,)), y)


def risk(theta, env, scale=1.0):
    return risk_of(tensors(theta), env, scale)


def grad(theta, env, scale=1.0):
    theta = tensors(theta)
    value = risk_of(theta, env, scale)
    return dict(zip(theta, torch.autograd.grad(value, list(theta.values()))))


def own_code(first_order=False, same_env=False, ddof=0):
    """Return training code for the network, right or with a mistake."""

    def meta_irm(theta, envs, inner_lr, std_weight, inner_steps=1):
        L = []
        for i, env in enumerate(envs):
            adapted = theta
            for _ in range(inner_steps):
                leaves = list(adapted.values())
                g = torch.autograd.grad(risk_of(adapted, env), leaves, create_graph=not first_order)
                adapted = {name: p - inner_lr * d for (name, p), d in zip(adapted.items(), g)}
            L += [risk_of(adapted, e) for j, e in enumerate(envs) if (j == i) == same_env]
        L = torch.stack(L)
        return L.sum() + std_weight * L.std(correction=ddof)

    def irmv1(theta, envs, penalty_weight):
        w = torch.ones((), dtype=torch.float64, requires_grad=True)
        R = [risk_of(theta, env, w) for env in envs]
        return sum(R) + penalty_weight * sum(
            torch.autograd.grad(r, w, create_graph=True)[0] ** 2 for r in R
        )

    known = {"meta_irm": meta_irm, "irmv1": irmv1}

    def value_and_grad(name, theta, envs, *, l2=0.0, **hyper):
        if name not in known:
            raise NotImplementedError(f"no {name}")
        theta = tensors(theta)
        value = known[name](theta, envs, **hyper)
        value = value + l2 * sum((p**2).sum() for p in theta.values())
        return value, torch.autograd.grad(value, list(theta.values()), allow_unused=True)

    def as_dict(*args, **hyper):
        value, g = value_and_grad(*args, **hyper)
        return value, dict(zip(THETA, g))

    return as_dict


def test_a_right_objective_passes():
    report = check_objective(own_code(), risk, THETA, ENVS, grad=grad, inner_lr=0.3)
    assert report.passed, report.text()
    assert {row.name for row in report.rows if row.left_out} == {"erm", "v_rex"}
    assert all(size < 1e-6 for row in report.rows for size in row.allowed.values())


@pytest.mark.parametrize("name", LOOK_ALIKE)
def test_a_mistake_is_rejected_and_named(name):
    wrong = own_code(**LOOK_ALIKE[name])
    report = check_objective(wrong, risk, THETA, ENVS, grad=grad, inner_lr=0.3)
    assert not report.passed
    assert report.diagnosis == [name]
    assert {"grad of risk", "irmv1"} <= {row.name for row in report.rows if row.ok}
