"""The example computes what the spec does, and runs as it is shown."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from problems import flat

from metairm_np import init_mlp, spec
from metairm_np.environments import colored_mnist

PATH = Path(__file__).resolve().parents[1] / "examples" / "meta_irm.py"


@pytest.fixture
def example():
    found = importlib.util.spec_from_file_location("meta_irm", PATH)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["erm", "meta_irm"])
def test_three_steps_are_those_of_the_spec(example, name):
    theta = init_mlp((392, 256, 1), 0, scheme="fan_in")
    envs = colored_mnist(0, n_per_env=200, validation=0).train
    noise, hyper, steps, objective = [], {"l2": example.L2}, [], getattr(example, name)

    def drawn(theta, envs, multipliers):
        noise.append(multipliers)
        return objective(theta, envs, multipliers)

    for after in example.train(drawn, theta, envs, 3, np.random.RandomState(1)):
        if name == "meta_irm":
            hyper |= {"inner_lr": example.ALPHA, "std_weight": example.LAMBDA}
            hyper |= {"inner_l2": example.L2, "gradient_noise": [[part] for part in noise[-1]]}
        value, gradient = spec.value_and_grad(name, theta, envs, **hyper)
        assert value == pytest.approx(objective(theta, envs, noise[-1]), rel=1e-14)
        steps.append(gradient)
        theta = adam(example.BETA, init_mlp((392, 256, 1), 0, scheme="fan_in"), steps)
        np.testing.assert_allclose(flat(theta), flat(after), rtol=0, atol=1e-14)
        theta = after
    assert len(steps) == 3


def adam(lr, theta, gradients):
    """Return theta after Adam's steps along `gradients` (Kingma and Ba, 2015), all at once."""
    theta, m, v = flat(theta), 0.0, 0.0
    for t, g in enumerate(map(flat, gradients), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - lr * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return [(theta, np.zeros(0))]


def test_it_runs_and_prints_both_rows(capsys):
    source = PATH.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 80
    for whole, little in (("n_per_env=5000", "n_per_env=200"), ("train, 120", "train, 2")):
        assert source.count(whole) == 1
        source = source.replace(whole, little)
    exec(compile(source, str(PATH), "exec"), {"__name__": "__main__"})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["ERM"] * 3 + ["meta-IRM"] * 3
    assert all(" % at p_e = 0." in line for line in lines)
