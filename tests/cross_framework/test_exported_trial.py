"""A trial trained by PyTorch from its npz file and MNIST's images, against this project's own."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from cross_framework.torch_backend import Backend  # noqa: E402
from metairm_np import sweeps  # noqa: E402
from metairm_np._storage import shipped  # noqa: E402
from metairm_np.conformance.__main__ import main  # noqa: E402
from metairm_np.experiments.files import load  # noqa: E402

STEPS, SEED, TRIAL = 20, 3, 2
SMALL = [f"steps={STEPS}", "n_per_env=500", "hidden=[16]", "p_e=[0.9]", "table=[0.2, 0.9]"]
ALGORITHMS = {  # with what makes the file say more
    "meta_irm": ["meta_irm.inner_steps=2", "meta_irm.inner_lr_warmup=8"],
    "erm_grey": [],
    "irmv1": ["irmv1.anneal_steps=5"],
    "mm_rex": ["mm_rex.anneal_steps=5"],
    "v_rex": ["v_rex.anneal_steps=5", "v_rex.optimizer='sgd'", "v_rex.momentum=0.5"],
}


class TorchTrial:
    """The trial in an npz file: nothing of this project is used but the file of images."""

    def __init__(self, path):
        self.path = path
        with np.load(path) as file:
            self.file = {name: file[name] for name in file.files}
        self.about = json.loads(self.file["about"].tobytes())
        with np.load(shipped("data") / self.about["images"]["file"]) as file:
            self.images = file[self.about["images"]["array"]].reshape(-1, 196) / 255
        self.settings = self.about["settings"]
        self.theta = [
            torch.tensor(self.file[f"{letter}{l}"], requires_grad=True)
            for l in range(len(self.settings["hidden"]) + 1)
            for letter in "Wb"
        ]
        self.backend = Backend()

    def env(self, name):
        """Return an environment's x, channel-major, and its y."""
        grey, y = self.images[self.file[f"{name}_rows"]], self.file[f"{name}_y"]
        x = grey[:, None]
        if f"{name}_z" in self.file:
            x = np.zeros((len(y), self.about["n_classes"], 196))
            x[np.arange(len(y)), self.file[f"{name}_z"]] = grey
        return torch.tensor(x.reshape(len(y), -1)), torch.tensor(y)

    def envs(self, kind):
        return [self.env(f"{kind}{e}") for e in range(len(self.about[kind]))]

    def hyper_at(self, t):
        """Return the objective's keywords at a step."""
        file, settings = self.file, self.settings
        hyper = {"l2": settings["l2"], **settings["hyper"]}
        for key in ("inner_lr", "penalty_weight", "lambda_min"):
            if key in file:
                hyper[key] = float(file[key][t])
        if settings["inner_l2"]:
            hyper["inner_l2"] = settings["l2"]
        if settings["dropgrad"]:
            parts = range(len(settings["hidden"]) + 1)
            _, n_envs, inner_steps = file["noise_b0"].shape[:3]
            hyper["gradient_noise"] = [
                [
                    [(file[f"noise_W{l}"][t, i, s], file[f"noise_b{l}"][t, i, s]) for l in parts]
                    for s in range(inner_steps)
                ]
                for i in range(n_envs)
            ]
        return hyper

    def train(self):
        """Train all steps of the file; yield the objective before each of them."""
        settings, envs = self.settings, self.envs("train")
        own = {"momentum": settings["momentum"]} if settings["optimizer"] == "sgd" else {}
        update = self.backend.optimizer(self.theta, settings["optimizer"], settings["lr"], **own)
        for t in range(self.about["steps"]):
            update.zero_grad()
            value = self.backend.objective(
                settings["objective"], self.theta, envs, **self.hyper_at(t)
            )
            value = value / self.file["divided_by"][t]
            value.backward()
            update.step()
            yield value.item()

    def accuracy(self, name):
        x, y = self.env(name)
        return float(((self.backend.forward(self.theta, x)[:, 0] > 0) == y).double().mean())


@pytest.fixture(scope="module", params=ALGORITHMS)
def trial(request, tmp_path_factory):
    """Return a trial trained by PyTorch, its objectives, and this project's record and params."""
    path = tmp_path_factory.mktemp("trial") / "trial.npz"
    changes = [*SMALL, *ALGORITHMS[request.param]]
    options = [part for text in changes for part in ("--set", text)]
    which = ["--algorithm", request.param, "--trial", str(TRIAL), "--seed", str(SEED)]
    assert main(["export-trial", "table1", *which, *options, "--out", str(path)]) == 0
    theirs = TorchTrial(path)
    objectives = list(theirs.train())
    (task,) = sweeps.tasks_of(
        load("table1", changes), [request.param], [TRIAL], seed=SEED, dtype="float64",
        keep_params=True,
    )  # fmt: skip
    record, params = sweeps.trial.carry_out(task)
    assert record["step"] == STEPS
    return theirs, objectives, record, params


def test_pytorch_ends_with_the_parameters_of_this_project(trial):
    theirs, _, _, params = trial
    ours = [part for pair in params for part in pair]
    for a, b in zip(theirs.theta, ours, strict=True):
        assert abs(a.detach().numpy() - b).max() < 1e-10


def test_the_file_has_what_its_steps_give(trial):
    theirs, objectives, record, _ = trial
    told = theirs.file["answer_objective"]
    assert objectives == pytest.approx(told, rel=1e-10)
    assert [row["objective"] for row in record["history"][:STEPS]] == pytest.approx(told, rel=1e-12)
    for l in range(2):
        assert abs(theirs.theta[2 * l].detach().numpy() - theirs.file[f"answer_W{l}"]).max() < 1e-10


def test_it_is_right_about_the_same_test_images(trial):
    theirs, _, record, _ = trial
    names = [f"test{e}" for e in range(len(theirs.about["test"]))]
    accuracies = [theirs.accuracy(name) for name in names]
    places = [f"{env['p_e']:g}" for env in theirs.about["test"]]
    assert accuracies == [record["test_accuracy"][place] for place in places]
    assert accuracies == theirs.file["answer_test_accuracy"].tolist()


@pytest.mark.parametrize("name", ["train1_y", "train1_rows", "noise_W0", "divided_by"])
def test_every_draw_counts(trial, name):
    other = TorchTrial(trial[0].path)
    if name not in other.file or np.ptp(other.file[name]) == 0:
        return  # this algorithm draws none
    other.file[name] = other.file[name][::-1].copy()
    assert next(other.train()) != pytest.approx(trial[0].file["answer_objective"][0], rel=1e-5)
