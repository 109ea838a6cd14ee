"""Exported trials: the arrays make the data, and what is wrong is said."""

import json
import re

import numpy as np
import pytest

from metairm_np import fast
from metairm_np._seeds import NOISE, child
from metairm_np._storage import shipped
from metairm_np.conformance.__main__ import main
from metairm_np.conformance.trainings.export import ARRAYS, export_trial, load
from metairm_np.environments import colored_mnist
from metairm_np.environments.colored_mnist import with_patch
from metairm_np.environments.mnist import load_mnist14
from metairm_np.optimizers import Adam
from metairm_np.training.state import generator, stream

SMALL = ["steps=6", "n_per_env=40", "hidden=[3]", "p_e=[0.9]", "table=[0.9]"]


def exported(path, *which, changes=(), steps=None, dtype="float64", seed=5, trial=1):
    name, algorithm, *case = which
    chosen = load(name, [*SMALL, *changes], *(case or [None]), algorithm)
    export_trial(path, *chosen, trial, seed, steps, dtype)
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(arrays["about"].tobytes())


def x_of(arrays, about, name):
    """Return inputs made of an environment's arrays and MNIST's images."""
    images = load_mnist14()[about["images"]["array"]][arrays[f"{name}_rows"]]
    if f"{name}_patch" in arrays:
        images = with_patch(images, arrays[f"{name}_patch"])
    grey = (np.arange(256) / 255).astype(about["dtype"])[images].reshape(len(images), 196)
    if f"{name}_z" not in arrays:
        return grey
    x = np.zeros((len(grey), about["n_classes"], 196), about["dtype"])
    x[np.arange(len(grey)), arrays[f"{name}_z"]] = grey
    return x.reshape(len(grey), -1)


@pytest.mark.parametrize(
    "changes, algorithm",
    [
        ([], "erm"),
        ([], "erm_grey"),
        (["n_classes=5"], "erm"),
        (["environment.patch_p=0.3"], "erm"),
        (["environment.validation_draws=3"], "v_rex"),
        (["train_p=[0.1, 0.2, 0.4]", "environment.label_noise=[0.1, 0.2, 0.3]"], "erm"),
    ],
)
def test_the_arrays_make_the_data(tmp_path, changes, algorithm):
    options = {"changes": changes, "steps": 0, "dtype": "float32"}
    arrays, about = exported(tmp_path / "a.npz", "cmnist", algorithm, **options)
    experiment, _ = load("cmnist", [*SMALL, *changes], None, algorithm)
    data = experiment.data(child(5, 1), "float32")
    data = data.greyscale() if algorithm == "erm_grey" else data
    for kind, envs in (
        ("train", data.train),
        ("validation", data.validation),
        ("test", [data.test(0.9)]),
    ):
        assert len(about[kind]) == len(envs)
        for e, env in enumerate(envs):
            assert about[kind][e]["n"] == len(env) and about[kind][e]["p_e"] == env.p_e
            assert np.array_equal(x_of(arrays, about, f"{kind}{e}"), env.x)
            assert np.array_equal(arrays[f"{kind}{e}_y"], env.y)


def test_draws_and_environments_are_made_of_the_same(tmp_path):
    trial = colored_mnist(0, n_per_env=50)
    draws = trial.draws()
    assert np.array_equal(draws.train[0].y, trial.train[0].y)
    assert set(draws.train[0].rows).isdisjoint(draws.train[1].rows)
    assert trial.train[0].x.shape == (40, 392) and draws.draws().test(0.5).patch is None


def test_steps_are_those_of_the_arrays(tmp_path):
    arrays, about = exported(tmp_path / "a.npz", "constant", "meta_irm", steps=2)
    assert about["steps"] == 2
    experiment, _ = load("constant", SMALL, None, "meta_irm")
    envs, settings = experiment.data(child(5, 1)).train, about["settings"]
    params = [(arrays["W0"], arrays["b0"]), (arrays["W1"], arrays["b1"])]
    optimizer = Adam(settings["lr"])
    moments = optimizer.init(params)
    for t in range(2):
        noise = [
            [[(arrays[f"noise_W{l}"][t, i, 0], arrays[f"noise_b{l}"][t, i, 0]) for l in (0, 1)]]
            for i in range(2)
        ]
        value, gradient = fast.value_and_grad(
            "meta_irm",
            params,
            envs,
            **settings["hyper"],
            l2=settings["l2"],
            inner_l2=settings["l2"],
            gradient_noise=noise,
        )
        assert value == pytest.approx(arrays["answer_objective"][t], rel=1e-14)
        params, moments = optimizer.update(gradient, moments, params)
    assert np.allclose(params[0][0], arrays["answer_W0"], rtol=1e-13, atol=0)


def test_further_noise_comes_from_the_stream(tmp_path):
    arrays, about = exported(tmp_path / "a.npz", "cmnist", "meta_irm", steps=2)
    assert about["noise_stream"] == stream(child(child(5, 1), NOISE))
    rng, rate = generator(about["noise_stream"]), about["settings"]["dropgrad"]
    for t in range(2):
        for i in range(2):
            for l in range(2):
                for letter in "Wb":
                    told = arrays[f"noise_{letter}{l}"][t, i, 0]
                    drawn = 1 + (rate / (1 - rate)) ** 0.5 * rng.standard_normal(told.shape)
                    assert np.array_equal(told, drawn)


def test_schedules_and_pairs_are_written_out(tmp_path):
    changes = ["v_rex.anneal_steps=2"]
    arrays, _ = exported(tmp_path / "a.npz", "constant", "v_rex", changes=changes, steps=4)
    assert arrays["penalty_weight"].tolist() == [1, 1, 9269, 9269]
    assert arrays["divided_by"].tolist() == [1, 1, 9269, 9269]
    own = ["meta_irm.sample_pairs=true", "meta_irm.inner_lr_warmup=4"]
    changes = ["train_p=[0.1, 0.2, 0.3]", *own]
    arrays, _ = exported(tmp_path / "b.npz", "constant", "meta_irm", changes=changes, steps=4)
    assert arrays["pairs"].shape == (4, 3, 2)
    assert (arrays["pairs"][:, :, 0] == [0, 1, 2]).all()
    assert arrays["inner_lr"] == pytest.approx(1.368 * np.array([0.25, 0.5, 0.75, 1]))


def test_data_but_mnist_have_their_inputs(tmp_path):
    arrays, about = exported(
        tmp_path / "a.npz", "constant", "erm", changes=["environment.generator=synthetic_digits"]
    )
    assert about["images"] is None and "train0_rows" not in arrays
    assert arrays["train0_x"].shape == (32, 392)


def test_the_same_trial_has_the_same_bytes_and_another_has_not(tmp_path):
    files = [tmp_path / name for name in "abc"]
    for path, trial in zip(files, (1, 1, 2)):
        exported(path, "cmnist", "meta_irm", trial=trial)
    a, b, c = (path.read_bytes() for path in files)
    assert a == b != c


def test_float32_is_that_of_training(tmp_path):
    arrays, _ = exported(tmp_path / "a.npz", "cmnist", "meta_irm", dtype="float32")
    assert {arrays[name].dtype.name for name in ("W0", "noise_W0", "answer_W0")} == {"float32"}


def test_fewer_steps_where_training_ends(tmp_path):
    changes = ["erm.lr=0.02", "erm.l2=0.0"]
    arrays, about = exported(tmp_path / "a.npz", "constant", "erm", changes=changes)
    risk = arrays["answer_validation_risk"].mean(axis=1)
    assert about["steps"] == 6 and risk[0] > risk[4]
    between = (risk[0] + risk[4]) / 2
    rule = f"{{threshold={between}, arm={between}, warmup=1, target_risk=0.0}}"
    stopped = [*changes, f"erm.early_stopping={rule}"]
    fewer, about = exported(tmp_path / "b.npz", "constant", "erm", changes=stopped)
    assert 0 < about["steps"] < 5
    assert (
        fewer["answer_objective"].tolist() == arrays["answer_objective"][: about["steps"]].tolist()
    )


def test_each_array_has_its_meaning_and_the_file_says_so(tmp_path):
    arrays, about = exported(tmp_path / "a.npz", "cmnist", "meta_irm")
    told = {
        re.sub(r"PART", r"(train|validation|test)\\d", re.sub(r"([Wb])l$", r"\1\\d", name))
        for name in ARRAYS
    }
    for name, part in arrays.items():
        assert any(re.fullmatch(pattern, name) for pattern in told), name
        if name != "about":
            assert about["arrays"][name] == [list(part.shape), part.dtype.name]
    assert about["meanings"] == {name: list(text) for name, text in ARRAYS.items()}
    assert (shipped("data") / about["images"]["file"]).is_file()


@pytest.mark.parametrize(
    "options, said",
    [
        (["cmnits", "--algorithm", "erm"], "did you mean 'cmnist'"),
        (["cmnist", "--algorithm", "meta-irm"], "did you mean 'meta_irm'"),
        (["table2", "--algorithm", "erm"], "name one with --case"),
        (["table2", "--algorithm", "erm", "--case", "fiv"], "did you mean 'five'"),
        (["cmnist", "--algorithm", "erm", "--case", "five"], "unknown case 'five'"),
        (["cmnist", "--algorithm", "erm", "--trial", "-1"], "--trial is -1"),
        (["cmnist", "--algorithm", "erm", "--seed", "-1"], "--seed is -1"),
        (["cmnist", "--algorithm", "erm", "--steps", "9999"], "--steps is 9999"),
        (["cmnist", "--algorithm", "erm", "--set", "stepps=3"], "stepps"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(tmp_path, capsys, options, said):
    assert main(["export-trial", *options, "--out", str(tmp_path / "a.npz")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and said in told
    assert not [*tmp_path.iterdir()]


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    small = [part for text in SMALL for part in ("--set", text)]
    out = tmp_path / "folder" / "a.npz"
    which = ["figure4", "--case", "gap3", "--algorithm", "meta_irm", "--trial", "3"]
    assert main(["export-trial", *which, *small, "--out", str(out)]) == 0
    said = "figure4, gap3-meta_irm, trial 3 of seed 0 in float64, with 6 steps"
    assert said in capsys.readouterr().out and out.is_file()
