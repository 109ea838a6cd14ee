"""Experiment files: one rule of inheritance, overrides, refusals."""

import copy
from dataclasses import replace

import pytest

from metairm_np.cli import main
from metairm_np.experiments import _inherit, files

CONFIGS = files.available()
OWN = """
name = "own"
title = "Digits of {n_classes} classes"
reproduces = "nothing"
environment = { generator = "synthetic_digits", n_per_env = 30, n_classes = 5 }
test = { p_e = [0.5], table = [0.9] }
algorithms.erm = { objective = "erm", steps = 3 }
"""


def load(tmp_path, text, **options):
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    return files.load_study(tmp_path / "own.toml", **options)


# ---- files of one's own --------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_experiment_of_ones_own(tmp_path, mark):
    (experiment,) = load(tmp_path, mark + OWN).cases.values()
    assert experiment.title == "Digits of 5 classes"
    assert experiment.test_p == [0.5, 0.9]
    assert experiment.algorithms["erm"].label == "erm"
    assert experiment.algorithms["erm"].paper == {}
    assert experiment.data(0).train[0].x.shape == (24, 5 * 196)


def test_a_file_says_what_its_base_says_but_for_its_own_values(tmp_path):
    text = """
base = "table5"
name = "own"
algorithms.meta_irm.early_stopping.patience = 3
algorithms.no_std.lr = 0.5
"""
    study, base = load(tmp_path, text), files.load_study("table5")
    assert (study.name, study.title, study.artefacts) == ("own", base.title, base.artefacts)
    (ours,), (theirs,) = study.cases.values(), base.cases.values()
    assert [*ours.algorithms] == [*theirs.algorithms]
    for name, algorithm in theirs.algorithms.items():
        settings = replace(
            algorithm.settings,
            early_stopping=replace(algorithm.settings.early_stopping, patience=3),
            lr=0.5 if name == "no_std" else algorithm.settings.lr,
        )
        assert ours.algorithms[name].settings == settings
        assert ours.algorithms[name].paper == {}  # published numbers go by the experiment's name
    assert load(tmp_path, 'base = "table5"').hash(0, "float32") == base.hash(0, "float32")


def test_rows_choose_algorithms_and_their_order(tmp_path):
    text = """
base = "table4"
rows = ["longer", "erm"]
algorithms.longer = { base = "meta_irm", early_stopping = false }
"""
    (experiment,) = load(tmp_path, text).cases.values()
    stopped = files.load("table4").algorithms["meta_irm"]
    assert [*experiment.algorithms] == ["longer", "erm"]
    assert experiment.algorithms["longer"].label == stopped.label
    assert experiment.algorithms["longer"].settings == replace(
        stopped.settings, early_stopping=None
    )


def test_cases_change_an_experiment_and_overrides_come_last(tmp_path):
    text = """
base = "cmnist"
[algorithms.twin]
base = "erm"
[cases.few]
title = "100 images"
environment = { n_per_env = 100 }
rows = ["erm"]
[cases.many]
environment = { n_per_env = 200 }
rows = ["twin", "erm"]
[cases.many.algorithms.erm]
lr = 0.5
"""
    study = load(tmp_path, text, quick=True)
    few, many = study.cases.values()
    assert [(e.case, e.case_title) for e in (few, many)] == [("few", "100 images"), ("many",) * 2]
    assert few.environment["n_per_env"] == many.environment["n_per_env"] == 2500  # quick's
    assert [few.algorithms["erm"].settings.steps, few.algorithms["erm"].settings.lr] == [60, 0.002]
    assert many.algorithms["twin"].settings == many.algorithms["erm"].settings
    assert many.algorithms["twin"].settings.lr == 0.5
    assert study.algorithms == ["erm", "twin"]
    assert study.hash(0, "float32") not in (few.hash(0, "float32"), many.hash(0, "float32"))
    few, many = load(
        tmp_path, text, quick=True, overrides=["steps=7", "n_per_env=9"]
    ).cases.values()
    assert {a.settings.steps for e in (few, many) for a in e.algorithms.values()} == {7}
    assert few.environment["n_per_env"] == many.environment["n_per_env"] == 9


def test_a_grid_is_a_case_for_each_combination(tmp_path):
    grid = '[grid]\nsteps = [5, 10]\n"erm.lr" = [0.5, 0.25]\n'
    cases = load(tmp_path, OWN + grid).cases
    assert [*cases] == ["5-05", "5-025", "10-05", "10-025"]
    assert cases["10-05"].case_title == "steps 10, erm.lr 0.5"
    settings = [case.algorithms["erm"].settings for case in cases.values()]
    assert [(s.steps, s.lr) for s in settings] == [(5, 0.5), (5, 0.25), (10, 0.5), (10, 0.25)]
    names = 'name = "s{}lr{}"\ntitle = "{} of {}"\n'
    case = load(tmp_path, OWN + grid + names).cases["s5lr025"]
    assert case.case_title == "5 of 0.25"


# ---- --set ---------------------------------------------------------------------------------------


def override(*texts):
    config = copy.deepcopy(CONFIGS["cmnist"])
    for text in texts:
        _inherit.override(config, text)
    return config


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("environment.n_per_env=7", "environment.n_per_env", 7),
        ("n_per_env = 7", "environment.n_per_env", 7),
        ("algorithms.meta_irm.inner_lr=2.5", "algorithms.meta_irm.inner_lr", 2.5),
        ("meta_irm.inner_lr=2.5", "algorithms.meta_irm.inner_lr", 2.5),
        ("lambda_min=-5", "algorithms.mm_rex.lambda_min", -5),
        ("meta_irm.early_stopping.patience=3", "algorithms.meta_irm.early_stopping.patience", 3),
        ("erm.hidden=[4, 3]", "algorithms.erm.hidden", [4, 3]),
        ("erm.optimizer=sgd", "algorithms.erm.optimizer", "sgd"),
        ("erm.greyscale=true", "algorithms.erm.greyscale", True),
    ],
)
def test_override_of_a_full_key_and_of_its_end(text, path, value):
    expected = copy.deepcopy(CONFIGS["cmnist"])
    *tables, last = path.split(".")
    place = expected
    for table in tables:
        place = place[table]
    place[last] = value
    assert override(text) == expected


def test_override_of_all_algorithms():
    config = override("steps=7", "penalty_weight=5")["algorithms"]
    assert {table["steps"] for table in config.values()} == {7}
    assert (config["irmv1"]["penalty_weight"], config["v_rex"]["penalty_weight"]) == (5, 5)
    assert "penalty_weight" not in config["erm"]


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
        ("table=[]", r"test.table is \[\]; give a list"),
        ("generator=mnist", "unknown environment.generator 'mnist'; did you mean 'colored_mnist'"),
        ("generator=[1]", r"environment.generator is \[1\]; give one line of text"),
        ("meta_irm.early_stopping={threshold=1}", "early_stopping has no arm; give one"),
        (
            "meta_irm.early_stopping={threshhold=1}",
            "early_stopping has no key 'threshhold'; did you mean 'threshold'",
        ),
        ("early_stopping=3", "erm.early_stopping is 3; give a table with threshold and arm, or"),
        ("meta_irm.early_stopping=5", "with threshold and arm, or false for no rule"),
        ("meta_irm.early_stopping=true", "meta_irm.early_stopping is True; give a table with"),
        ("meta_irm.inner_lr_hold={cap=1}", "inner_lr_hold has no gain; give one"),
        ("meta_irm.inner_lr_hold={gian=1}", "inner_lr_hold has no key 'gian'; did you mean 'gain'"),
        ("inner_lr_hold=1", "erm.inner_lr_hold is 1; give a table with gain"),
        ("erm.inner_lr_warmup=9", "inner_lr_warmup, inner_lr_hold, dropgrad"),
        ("erm.objective=irm", "unknown objective 'irm'; did you mean 'irmv1'"),
        ("erm.objective=[1]", r"objective is \[1\]; give one line of text"),
        ("erm.label=3", "erm.label is 3; give one line of text"),
        ("erm.paper=3", "erm.paper is 3; give a table"),
    ],
)
def test_refused_override(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        files.load("cmnist", [text])


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine.TOML", "Mine.Toml"])
def test_a_toml_file_may_be_named_in_capitals(tmp_path, name):
    path = tmp_path / name
    path.write_text('base = "cmnist"\ntitle = "mine"\n')
    assert files.load(str(path)).title == "mine"
    with pytest.raises(FileNotFoundError, match="there is no file none.TOML"):
        files.load("none.TOML")


def test_refused_name():
    for name in ("cmnst", "search"):
        with pytest.raises(ValueError, match=f"unknown experiment '{name}'; "):
            files.load(name)
    with pytest.raises(FileNotFoundError, match="there is no file none.toml; give the path"):
        files.load("none.toml")


HEAD = 'base = "cmnist"\n'
BAD = [
    # what is in the file
    ("name =", "own.toml is not valid TOML: "),
    ("tests = 1", "the experiment has no key 'tests'; did you mean 'test'"),
    ("name = 'x'", "the experiment has no title; add it"),
    ("[test]\np_e = [0.5]", "the experiment has no name; add it"),
    (OWN.partition("algorithms")[0], "the experiment has no algorithms; add one"),
    (OWN.partition("algorithms")[0] + "[algorithms]", "the experiment has no algorithms; add one"),
    (OWN + "[algorithms.v_rex]", "algorithm 'v_rex': unknown objective ''"),
    *(
        (f"name = {name}", f"name is {name}, which goes into file names; give letters")
        for name in ("''", "'a/b'", "'..'", "'a b'", "3")
    ),
    ('name = "a\\n"', "name is 'a\\n', which goes into file names"),
    # types
    (HEAD + "title = [1]", "title is [1]; give one line of text"),
    (HEAD + "title = 'a'\nreproduces = 1", "reproduces is 1; give one line of text"),
    (HEAD + 'title = "a\\nb"', "title is 'a\\nb'; give one line of text"),
    (HEAD + 'title = "a\\u0000b"', "title is 'a\\x00b'; give one line of text"),
    (HEAD + "artefacts = 'table1'", "artefacts is 'table1'; give a list"),
    (HEAD + "minutes = 'few'", "minutes is 'few'; give a number >= 0"),
    (HEAD + "keep_params = 1", "keep_params is 1; give True or False"),
    (HEAD + "figures = 'accuracy'", "figures is 'accuracy'; give a list"),
    (HEAD + "figures = [3]", "figures is 3; give one line of text"),
    (HEAD + "figures = ['acuracy']", "unknown figure 'acuracy'; did you mean 'accuracy'"),
    (HEAD + "environment = 3", "environment is 3; give a table"),
    (HEAD + "environment.n_clases = 2", "[environment] has no key 'n_clases'; did you mean"),
    (HEAD + "environment.n_classes = 'two'", "n_classes is 'two'; give 2, 5 or 10"),
    (HEAD + "environment.train_p = 0.1", "environment.train_p is 0.1; give a list"),
    (HEAD + "test = [0.1]", "test is [0.1]; give a table"),
    (HEAD + "test.p_e = ['x']", "test.p_e is 'x'; give a number from 0 to 1"),
    (HEAD + "test.table = ['train']", "test.table is ['train']; add one or more p_e"),
    (HEAD + "test.columns = [0.1]", "test has no key 'columns'"),
    (HEAD + "bounds = 3", "bounds is 3; give a table"),
    (HEAD + '[bounds]\n"x" = "y"', "bounds.x is 'y'; give a number"),
    (HEAD + "[bounds]\nx = [1, true]", "bounds.x is True; give a number"),
    (HEAD + "bounds.x = [1, 2]", "the bound 'x' has 2 numbers for the columns [0.1, 0.2, 0.9]"),
    (HEAD + "algorithms = 4", "algorithms is 4; give a table"),
    (HEAD + "algorithms.erm = 4", "algorithms.erm is 4; give a table"),
    (HEAD + "[algorithms.'a/b']\nbase = 'erm'", "is 'a/b', which goes into file names"),
    (HEAD + "algorithms.erm.label = 4", "algorithms.erm.label is 4; give one line of text"),
    (HEAD + "algorithms.erm.paper = [4, 1]", "algorithms.erm.paper is [4, 1]; give a table"),
    (HEAD + "algorithms.erm.paper = { '0.1' = 3 }", "paper.0.1 is 3; give the published [mean, "),
    (HEAD + "algorithms.erm.paper = { '0.1' = [3, 'x'] }", "paper.0.1 is 'x'; give a number"),
    (
        HEAD + "algorithms.erm.paper = { '0.10' = [3, 1] }",
        "is '0.10'; give \"train\" or a p_e such",
    ),
    (HEAD + "algorithms.erm.paper = { test = [3, 1] }", "is 'test'; give \"train\" or a p_e such"),
    (HEAD + "algorithms.erm.hidden = 'x'", "algorithm 'erm': hidden is 'x'; give a list of widths"),
    (HEAD + "algorithms.erm.lr = [1]", "algorithm 'erm': lr is [1]; give a number"),
    (HEAD + "algorithms.erm.l2 = 'x'", "algorithm 'erm': l2 is 'x'; give a number"),
    # inheritance
    (HEAD + "extends = 'cmnist'", "the experiment has no key 'extends'"),
    ("base = 3", "base is 3; give one line of text"),
    ("base = 'cmnst'", "unknown experiment in base 'cmnst'; did you mean 'cmnist'"),
    (HEAD + "algorithms.erm.base = 'er'", "unknown algorithm in base 'er'; did you mean 'erm'"),
    (
        HEAD + "algorithms = { erm.base = 'irmv1', irmv1.base = 'erm' }",
        "algorithm 'irmv1' is a base of itself",
    ),
    (HEAD + "rows = 'erm'", "rows is 'erm'; give a list of 1 or more"),
    (HEAD + "rows = []", "rows is []; give a list of 1 or more"),
    (HEAD + "rows = ['er']", "unknown algorithm in rows 'er'; did you mean 'erm'"),
    (HEAD + "cases = ['a']", "cases is ['a']; give a table"),
    (HEAD + "cases.a = 3", "cases.a is 3; give a table"),
    (HEAD + "cases.a.title = 3", "cases.a.title is 3; give one line of text"),
    (HEAD + "cases.a.figures = []", "cases.a has no key 'figures'"),
    (HEAD + "cases.'a b' = {}", "a key of cases is 'a b', which goes into file names"),
    (HEAD + "quick = 3", "quick is 3; give a table"),
    (HEAD + "quick.title = 'x'", "quick has no key 'title'"),
    (HEAD + "cases.a = {}\ngrid.lr = [1]", "has [cases] and [grid]; give one of them"),
    (HEAD + "grid = 3", "grid is 3; give a table"),
    (HEAD + "grid.lr = 3", "grid.lr is 3; give a list"),
    (HEAD + "grid.rl = [1]", "[grid] knows no key 'rl'; did you mean 'lr'"),
    (HEAD + "grid = { lr = [1], name = 'a{}{}' }", "the name 'a{}{}' or the title 'lr {}' of"),
    (HEAD + "grid = { lr = [1, 2], name = 'a' }", "two cases of [grid] are called 'a'"),
    (HEAD + "grid.hidden = [[1, 2]]", "is '[1, 2]', which goes into file names"),
    # what is drawn as a figure
    (HEAD + "title = '$\\frac{$'", "Matplotlib cannot draw the mathematics in '$\\\\frac{$'"),
    (HEAD + "algorithms.erm.label = '$x^{$'", "Matplotlib cannot draw the mathematics in '$x^{$'"),
    (HEAD + "cases.a.title = '$\\a$'", "Matplotlib cannot draw the mathematics in '$\\\\a$'"),
    (HEAD + "bounds.'$}$' = 3", "Matplotlib cannot draw the mathematics in '$}$'"),
    # searches
    (HEAD + "search = 3", "search is 3; give a table"),
    (HEAD + "search.erm = 3", "search.erm is 3; give a table"),
    (HEAD + "search.erm.criterion = 3", "search.erm.criterion is 3; give one line of text"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_wrong_file_is_one_sentence_before_anything_is_written(
    tmp_path, monkeypatch, capsys, text, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(text)
    assert main(["own.toml"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]
