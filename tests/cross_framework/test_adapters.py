"""Training code in PyTorch and in JAX, as somebody has it, checked through the adapters."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")

import jax.numpy as jnp  # noqa: E402

from metairm_np.conformance import NotOffered, check_backend  # noqa: E402
from metairm_np.conformance.adapters import from_jax, from_torch_module  # noqa: E402

CASES = ("binary_linear", "binary_1_layer", "l2", "sigma_zero", "classes_5_1_layer", "noise")
F = torch.nn.functional


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- somebody's PyTorch --------------------------------------------------------------------------


class Net(torch.nn.Module):
    def __init__(self, outputs=1, hidden=(390,)):
        super().__init__()
        sizes = (392, *hidden, outputs)
        self.layers = torch.nn.ModuleList(map(torch.nn.Linear, sizes[:-1], sizes[1:]))

    def forward(self, x):
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.relu(layer(x))
        return last(x).squeeze(1) if last.out_features == 1 else last(x)


def loss(f, y):
    return (
        F.binary_cross_entropy_with_logits(f, y.to(f.dtype))
        if f.ndim == 1
        else F.cross_entropy(f, y)
    )


def penalised(model, L, std_weight, l2):
    norm = sum((p**2).sum() for p in model.parameters())
    return L.sum() + std_weight * (L - L[0]).std(unbiased=False) + l2 * norm


def functional(model, envs, inner_lr, std_weight, l2=0.0, create_graph=True):
    """Meta-IRM by torch.func.functional_call."""
    theta, L = dict(model.named_parameters()), []
    for i, (x, y) in enumerate(envs):
        risk = loss(torch.func.functional_call(model, theta, (x,)), y)
        g = torch.autograd.grad(risk, list(theta.values()), create_graph=create_graph)
        new = {name: p - inner_lr * d for (name, p), d in zip(theta.items(), g)}
        for j, (other, labels) in enumerate(envs):
            if j != i:
                L.append(loss(torch.func.functional_call(model, new, (other,)), labels))
    return penalised(model, torch.stack(L), std_weight, l2)


def leaky(*args, **hyper):
    return functional(*args, **hyper, create_graph=False)


def in_place(model, envs, inner_lr, std_weight, l2=0.0):
    """First order, with copies of the model that are stepped in place; a common idiom."""
    L = []
    for i, (x, y) in enumerate(envs):
        fast = copy.deepcopy(model)
        loss(fast(x), y).backward()
        with torch.no_grad():
            for p in fast.parameters():
                p -= inner_lr * p.grad
                p.grad = None
        L += [loss(fast(other), labels) for j, (other, labels) in enumerate(envs) if j != i]
        for p, q in zip(model.parameters(), fast.parameters()):
            (g,) = torch.autograd.grad(sum(L[-len(envs) + 1 :]), q, retain_graph=True)
            p.grad = g if p.grad is None else p.grad + g
    return torch.stack(L).sum().detach()


def erm(model, envs, l2=0.0):
    """Call backward() itself."""
    value = sum(loss(model(x), y) for x, y in envs)
    value = value + l2 * sum((p**2).sum() for p in model.parameters())
    value.backward()
    return value.item()


def make(sizes):
    model = Net(hidden=())
    model.layers = torch.nn.ModuleList(map(torch.nn.Linear, sizes[:-1], sizes[1:]))
    return model


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("module", [Net(), make], ids=["module", "factory"])
def test_own_pytorch_code_passes(module, dtype):
    report = check_backend(
        from_torch_module(module, meta_irm=functional, erm=erm), dtype, cases=CASES
    )
    assert report.passed, report.text()
    assert {"logits", "erm", "meta_irm"} <= set(report.by_stage)
    asked = {o.case for o in report.by_stage["meta_irm"]}
    if module is make:
        assert asked == {*CASES} - {"noise"}
    else:
        assert asked == {"binary_1_layer", "l2", "sigma_zero"}
        reasons = {o.problem for o in report.left_out}
        assert {"the module has 2 Linear layers", "the module has one output"} <= reasons
        assert module.layers[0].weight.shape == (390, 392)  # the user's own stays as it is
    assert {"no irmv1", "keyword 'gradient_noise' not offered"} <= {
        o.problem for o in report.left_out
    }


def test_random_cases_are_those_that_a_module_takes():
    module = Net(outputs=3, hidden=(5, 4))
    report = check_backend(
        from_torch_module(module, meta_irm=functional), cases=["classes_10_2_layers"], random=4
    )
    random = [o for o in report.by_stage["meta_irm"] if o.case.startswith("random_")]
    assert len(random) == 4
    assert report.passed


def test_a_mistake_in_pytorch_code_is_named():
    report = check_backend(from_torch_module(Net(), meta_irm=leaky), cases=CASES)
    assert report.diagnosis == ["first-order leak"]
    assert report.backend.endswith("test_adapters.leaky")


def test_gradients_that_the_code_left_in_grad_are_taken():
    given = {"cases": ("binary_1_layer",), "require": ("meta_irm_without_sigma",)}
    report = check_backend(from_torch_module(Net(), meta_irm=in_place), **given)
    stages = {name: ok for name, ok, _ in report.stages}
    assert not stages["meta_irm_without_sigma"]
    assert "first-order leak" in report.diagnosis


def moves_the_model(model, envs, inner_lr, std_weight, l2=0.0):
    value = functional(model, envs, inner_lr, std_weight, l2)
    g = torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
    for p, d in zip(model.parameters(), g):
        p.data = p.data - 0.1 * d
    return value


def test_parameters_changed_in_place_are_told():
    report = check_backend(from_torch_module(Net(), meta_irm=moves_the_model), cases=["l2"])
    assert report.diagnosis == ["inputs changed in place"]


def detached(*args, **hyper):
    return functional(*args, **hyper).detach()


def half_backward(model, envs, inner_lr, std_weight, l2=0.0):
    erm(model, envs)
    return functional(model, envs, inner_lr, std_weight, l2)


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (detached, "the objective's value does not require grad, and no .grad is set"),
        (half_backward, "the objective has called backward() and returns a value that requires"),
    ],
)
def test_what_is_ambiguous_is_one_sentence(objective, text):
    report = check_backend(from_torch_module(Net(), meta_irm=objective), cases=["l2"])
    assert {o.problem.startswith(text) for o in report.wrong} == {True}


class Normed(Net):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(3)


def test_wrong_use():
    with pytest.raises(ValueError, match=r"Normed has the parameters norm.weight, norm.bias; the"):
        from_torch_module(Normed(), meta_irm=functional)
    with pytest.raises(ValueError, match="Sequential has a layer without bias"):
        from_torch_module(torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False)), erm=erm)
    with pytest.raises(ValueError, match="ReLU has no Linear layer"):
        from_torch_module(torch.nn.ReLU(), erm=erm)
    with pytest.raises(ValueError, match="no objective is given; name at least one"):
        from_torch_module(Net())
    with pytest.raises(ValueError, match="unknown objective 'meta_irn'; did you mean"):
        from_torch_module(Net(), meta_irn=functional)
    with pytest.raises(TypeError, match="erm is 1; give a function"):
        from_torch_module(Net(), erm=1)
    with pytest.raises(TypeError, match="module is 1; give a torch.nn.Module or a function"):
        from_torch_module(1, erm=erm)
    report = check_backend(from_torch_module(lambda s: Net(), erm=erm), cases=["l2"], require=[])
    assert all("it has to have one layer from each width" in o.problem for o in report.wrong)


# ---- somebody's JAX ------------------------------------------------------------------------------


def apply(params, x):
    h = jax.nn.relu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    return h @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]


def flax(layers):
    if len(layers) != 2:
        raise NotOffered("the model has two layers")
    return {f"Dense_{l}": {"kernel": W, "bias": b} for l, (W, b) in enumerate(layers)}


def jax_risk(params, x, y):
    f = apply(params, x)
    if f.shape[1] == 1:
        return jnp.mean(jax.nn.softplus((1 - 2 * y) * f[:, 0]))
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(f), y[:, None], axis=1))


def jax_meta_irm(params, envs, inner_lr, std_weight, stop=lambda g: g):
    def adapted(x, y):
        g = stop(jax.grad(jax_risk)(params, x, y))
        return jax.tree.map(lambda p, d: p - inner_lr * d, params, g)

    thetas = [adapted(x, y) for x, y in envs]
    L = jnp.stack(
        [jax_risk(t, *env) for i, t in enumerate(thetas) for j, env in enumerate(envs) if j != i]
    )
    return L.sum() + std_weight * jnp.sqrt(jnp.mean((L - L.mean()) ** 2))


def jax_leak(*args, **hyper):
    return jax_meta_irm(*args, **hyper, stop=jax.lax.stop_gradient)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_own_jax_code_passes(dtype):
    before = jax.config.jax_enable_x64
    backend = from_jax(apply, layout=flax, meta_irm=jax_meta_irm)
    report = check_backend(backend, dtype, cases=("binary_1_layer", "binary_linear"))
    assert report.passed, report.text()
    assert jax.config.jax_enable_x64 == before
    assert {o.case for o in report.by_stage["meta_irm"]} == {"binary_1_layer"}
    assert "the model has two layers" in {o.problem for o in report.left_out}


@pytest.mark.slow
def test_a_mistake_in_jax_code_is_rejected():
    backend = from_jax(apply, layout=flax, meta_irm=jax_leak)
    report = check_backend(backend, cases=["binary_1_layer"], diagnose=False)
    assert [name for name, ok, _ in report.stages if not ok] == [
        "meta_irm_without_sigma",
        "meta_irm",
    ]


def test_an_objective_of_jax_has_a_name_of_the_suite():
    with pytest.raises(ValueError, match="unknown objective 'irm'"):
        from_jax(apply, irm=jax_meta_irm)
