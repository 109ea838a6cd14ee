"""Experiment files: the shipped ones are sound, and overrides reach what they name."""

import copy
from dataclasses import replace

import pytest

from metairm_np._storage import shipped
from metairm_np.environments import colored_mnist
from metairm_np.experiments import files
from metairm_np.reports import figures

CONFIG = files.available()["cmnist"]


def override(*texts):
    config = copy.deepcopy(CONFIG)
    for text in texts:
        files.override(config, text)
    return config


@pytest.mark.parametrize("name", files.available())
@pytest.mark.parametrize("quick", [False, True])
def test_shipped_experiments_are_sound(name, quick):
    study = files.load_study(name, quick=quick)
    assert study.quick == quick
    assert set(study.figures) <= figures.FIGURES.keys()
    assert files.available()[name]["minutes"] > 0
    for experiment in study.cases.values():
        for algorithm in experiment.algorithms.values():
            assert algorithm.paper.keys() <= {
                column if column == "train" else f"{column:g}" for column in experiment.columns
            }
            algorithm.settings.check_for(len(experiment.environment["train_p"]))


def test_every_artefact_names_one_experiment():
    artefacts = [
        artefact
        for config in files.available().values()
        for artefact in config.get("artefacts", [])
    ]
    assert len(set(artefacts)) == len(artefacts)
    assert files.load_study("table1").name == files.load_study("figure3").name == "cmnist"


def test_one_stopping_rule_serves_all_experiments():
    studies = [files.load_study(name) for name in files.available()]
    every = [
        one.settings
        for study in studies
        for case in study.cases.values()
        for one in case.algorithms.values()
    ]
    rules = {settings.early_stopping for settings in every} - {None}
    (rule,) = (rule for rule in rules if rule.target_risk is None)
    coin = replace(
        rule, target_risk=0.6931, threshold=0.005, smoothing=1
    )  # for mirrored environments, in one row of table4
    assert rules == {rule, coin}


CASES = """
[cases.few]
title = "100 images"
environment = { n_per_env = 100 }
[cases.many]
title = "200 images"
environment = { n_per_env = 200 }
[cases.many.algorithms.erm]
lr = 0.5
"""


def test_cases_change_an_experiment_and_overrides_come_last(tmp_path):
    text = (shipped("experiments") / "table1_cmnist.toml").read_text()
    (tmp_path / "cases.toml").write_text(text + CASES)
    study = files.load_study(tmp_path / "cases.toml", ["steps=7"])
    few, many = study.cases.values()
    assert [(e.case, e.case_title, e.environment["n_per_env"]) for e in (few, many)] == [
        ("few", "100 images", 100), ("many", "200 images", 200),
    ]  # fmt: skip
    assert (few.algorithms["erm"].settings.lr, many.algorithms["erm"].settings.lr) == (0.002, 0.5)
    assert {a.settings.steps for e in (few, many) for a in e.algorithms.values()} == {7}
    assert study.hash(0, "float32") not in (few.hash(0, "float32"), many.hash(0, "float32"))
    assert files.load_study("cmnist").hash(0, "float32") == files.load("cmnist").hash(0, "float32")


def test_cmnist_is_the_papers_setting():
    experiment = files.load("cmnist")
    env = {"n_classes": 2, "train_p": [0.1, 0.2], "label_noise": 0.25, "n_per_env": 25_000}
    assert env.items() <= experiment.environment.items()
    assert list(experiment.algorithms) == [
        "erm",
        "erm_grey",
        "irmv1",
        "mm_rex",
        "v_rex",
        "meta_irm",
    ]
    assert experiment.test_p == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_quick_keeps_all_algorithms():
    assert (
        files.load("cmnist", quick=True).algorithms.keys() == files.load("cmnist").algorithms.keys()
    )


def test_data_is_the_generators():
    experiment = files.load("cmnist", ["n_per_env=100"])
    options = {key: value for key, value in CONFIG["environment"].items() if key != "generator"}
    ours, theirs = experiment.data(3), colored_mnist(3, **{**options, "n_per_env": 100})
    assert (ours.train[0].x == theirs.train[0].x).all()


def test_override_of_a_full_key_and_of_its_end():
    assert override("environment.n_per_env=7") == override("n_per_env = 7")
    assert override("n_per_env=7")["environment"]["n_per_env"] == 7
    assert (
        override("algorithms.meta_irm.inner_lr=2.5")
        == override("meta_irm.inner_lr=2.5")
        == override("inner_lr=2.5")
    )
    config = override("meta_irm.early_stopping.patience=3")
    assert config["algorithms"]["meta_irm"]["early_stopping"]["patience"] == 3


def test_override_of_all_algorithms():
    config = override("steps=7", "penalty_weight=5")["algorithms"]
    assert {table["steps"] for table in config.values()} == {7}
    assert (config["irmv1"]["penalty_weight"], config["v_rex"]["penalty_weight"]) == (5, 5)
    assert "penalty_weight" not in config["erm"]


def test_override_values_are_toml_or_strings():
    config = override("erm.hidden=[4, 3]", "erm.optimizer=sgd", "erm.greyscale=true")["algorithms"][
        "erm"
    ]
    assert (config["hidden"], config["optimizer"], config["greyscale"]) == ([4, 3], "sgd", True)


def test_the_hash_names_what_decides_the_results():
    base = files.load("cmnist")
    assert base.hash(0, "float32") == files.load("cmnist").hash(0, "float32")
    others = {
        base.hash(1, "float32"),
        base.hash(0, "float64"),
        files.load("cmnist", ["erm.lr=0.5"]).hash(0, "float32"),
        files.load("cmnist", quick=True).hash(0, "float32"),
    }
    assert len(others - {base.hash(0, "float32")}) == 4


def test_an_experiment_of_ones_own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        """
name = "own"
title = "Synthetic digits"
reproduces = "nothing"
environment = { generator = "synthetic_digits", n_per_env = 30, n_classes = 5 }
test = { p_e = [0.5], table = [0.9] }
algorithms.erm = { objective = "erm", steps = 3 }
"""
    )
    experiment = files.load(path)
    assert experiment.test_p == [0.5, 0.9]
    assert experiment.algorithms["erm"].label == "erm"
    assert experiment.data(0).train[0].x.shape == (24, 5 * 196)


BAD = {
    "unknown table": (
        "name = 'x'\ntests = 1",
        "the experiment has no key 'tests'; did you mean 'test'",
    ),
    "missing table": ("name = 'x'", "the experiment has no title; add it"),
    "not TOML": ("name =", "own.toml is not valid TOML: "),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_file(tmp_path, case):
    text, message = BAD[case]
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        files.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", "has no '='; write key=value"),
        ("inner_rl=1", "knows no key 'inner_rl'; did you mean 'inner_lr'"),
        ("meta_irm.inner_rl=1", "did you mean 'meta_irm.inner_lr'"),
        ("erm.inner_lr=1", "knows no key 'erm.inner_lr'"),
        ("inner_lr=-1", "algorithm 'meta_irm': inner_lr is -1; give a finite number >= 0"),
        ("erm.steps=many", "algorithm 'erm': steps is 'many'; give a whole number"),
        ("p_e=[0.1, 2]", "test.p_e is 2; give a finite number from 0 to 1"),
        ("p_e=0.1", "test.p_e is 0.1; give a list"),
        ("generator=mnist", "unknown environment.generator 'mnist'; did you mean 'colored_mnist'"),
        ("meta_irm.early_stopping={threshold=1}", "early_stopping has no arm; give one"),
        (
            "meta_irm.early_stopping={threshhold=1}",
            "early_stopping has no key 'threshhold'; did you mean 'threshold'",
        ),
        ("erm.objective=irm", "unknown objective 'irm'; did you mean 'irmv1'"),
    ],
)
def test_refused_override(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        files.load("cmnist", [text])


def test_refused_name():
    with pytest.raises(ValueError, match="unknown experiment 'cmnst'; did you mean 'cmnist'"):
        files.load("cmnst")
    with pytest.raises(FileNotFoundError, match="there is no file none.toml; give the path"):
        files.load("none.toml")
