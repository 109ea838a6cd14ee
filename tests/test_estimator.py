"""The scikit-learn classifier: scikit-learn's own checks, and the bits of `train`."""

from types import SimpleNamespace

import numpy as np
import pytest
from problems import flat

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn: the extra estimator")

from estimator_defaults import samples  # noqa: E402
from laboratories import LABS, META, QUICK, fitted, laboratories  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from metairm_np import Environment, spec, train  # noqa: E402
from metairm_np.environments._groups import held_out  # noqa: E402
from metairm_np.estimator import OWN, InvariantClassifier  # noqa: E402
from metairm_np.training import StoppingRule  # noqa: E402

# ---- scikit-learn's own checks -------------------------------------------------------------------


@pytest.mark.slow
@parametrize_with_checks([InvariantClassifier("erm"), InvariantClassifier("irmv1")])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# ---- the same bits as training -------------------------------------------------------------------


def environments(labs, rows, dtype="float64"):
    return [
        Environment(labs.X[rows & (labs.groups == name)].astype(dtype), labs.y[at])
        for name in np.unique(labs.groups)
        if (at := rows & (labs.groups == name)).any()
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("objective", OWN)
def test_it_has_the_bits_of_training(objective, dtype):
    labs = SimpleNamespace(**{**vars(LABS), "X": LABS.X.astype(dtype)})
    model = fitted(objective, labs)
    everything = np.ones(len(labs.y), bool)
    result = train(model.settings(), environments(labs, everything, dtype), [], 3)
    assert flat(model.params_).tobytes() == flat(result.params).tobytes()
    assert model.params_[0][0].dtype == dtype
    assert model.history_ == result.history
    assert (model.n_iter_, model.step_) == (result.last_step, result.step) == (6, 6)


def test_it_has_the_bits_of_training_with_an_early_stop():
    rule = StoppingRule(threshold=0.6, arm=0.6, warmup=2, patience=3, target_risk=0.0)
    given = {"lr": 0.03, "steps": 100, "early_stopping": rule, "validation_fraction": 0.3}
    model = fitted("erm", **given)
    held = held_out(np.unique(LABS.groups, return_inverse=True)[1], 0.3, 3)
    assert [sum(held[LABS.groups == name]) for name in model.environments_] == [12, 12, 12]
    parts = environments(LABS, ~held), environments(LABS, held)
    result = train(model.settings(), *parts, 3)
    assert flat(model.params_).tobytes() == flat(result.params).tobytes()
    assert model.step_ == result.step < model.n_iter_ == result.last_step < 100
    assert "validation_sigma" in model.history_[0]


def test_the_seed_alone_decides_what_is_held_out():
    members = np.repeat([0, 1], [10, 30])
    first, again, other = (held_out(members, 0.2, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert [first[members == e].sum() for e in (0, 1)] == [2, 6]


def test_without_a_seed_each_fit_is_another():
    one, two = (fitted(random_state=None).params_[0][0] for _ in range(2))
    assert (one != two).any()
    one, two = (fitted(random_state=np.random.RandomState(0)).params_[0][0] for _ in range(2))
    assert (one == two).all()


# ---- what it is for ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_its_defaults_beat_erm_where_the_correlation_turns_round(seed):
    labs = laboratories(600, seed)
    accuracy = {}
    for objective in OWN:
        model = make_pipeline(
            StandardScaler(), InvariantClassifier(objective, random_state=seed)
        ).fit(labs.X, labs.y, invariantclassifier__groups=labs.groups)
        accuracy[objective] = [model.score(*samples(p, 4000, (seed, 99))) for p in (0.1, 0.9)]
    assert accuracy["erm"][0] > 0.85 and accuracy["erm"][1] < 0.25
    for objective in set(OWN) - {"erm"}:
        assert min(accuracy[objective]) > 0.5, accuracy
    assert abs(np.subtract(*accuracy["meta_irm"])) < 0.25, accuracy


# ---- labels, tables, environments ----------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array(["no", "yes"], object),
        np.array([-1, 7]),
        np.array([False, True]),
        np.array([1.0, 3.0]),
        np.array(["a", "b", "c"]),
    ],
    ids=["text", "objects", "whole", "bool", "real", "three"],
)
def test_labels_of_any_kind(labels, tmp_path):
    y = labels[(LABS.y + (len(labels) == 3) * (LABS.X[:, 0] > 0)).astype(int)]
    model = InvariantClassifier(**META).fit(LABS.X, y, groups=LABS.groups)
    assert (model.classes_ == labels).all() and model.classes_.dtype == labels.dtype
    guess, P, f = (
        model.predict(LABS.X),
        model.predict_proba(LABS.X),
        model.decision_function(LABS.X),
    )
    assert set(guess) <= set(labels) and guess.dtype == labels.dtype
    assert P.shape == (len(y), len(labels))
    np.testing.assert_allclose(P.sum(axis=1), 1)
    assert (guess == labels[P.argmax(axis=1)]).all()
    assert f.shape == ((len(y),) if len(labels) == 2 else (len(y), len(labels)))
    assert model.score(LABS.X, y) == np.mean(guess == y)
    model.save(tmp_path / "model.npz")
    again = InvariantClassifier.load(tmp_path / "model.npz")
    assert again.classes_.dtype == labels.dtype
    assert (again.predict(LABS.X) == guess).all()


def test_its_accuracy_is_that_of_spec():
    model, env = fitted("erm", steps=40, lr=0.05), Environment(LABS.X, LABS.y)
    assert model.score(LABS.X, LABS.y) == spec.accuracy(model.params_, env) > 0.6


def test_tables_keep_the_names_of_their_columns(tmp_path):
    pd = pytest.importorskip("pandas", reason="needs pandas for tables")
    table = pd.DataFrame(LABS.X, columns=["cause", "effect"])
    table["y"], table["lab"] = pd.Series(LABS.y).map({0: "no", 1: "yes"}), LABS.groups
    X = table[["cause", "effect"]]
    for lab in (table.lab, table.lab.astype("category"), table.lab.tolist()):
        model = InvariantClassifier(**META).fit(X, table.y, groups=lab)
        assert flat(model.params_).tobytes() == flat(fitted().params_).tobytes()
    assert list(model.environments_) == ["lab 0", "lab 1", "lab 2"]
    model.save(tmp_path / "model.npz")
    for one in (model, InvariantClassifier.load(tmp_path / "model.npz")):
        assert list(one.feature_names_in_) == ["cause", "effect"]
        assert set(one.predict(X)) <= {"no", "yes"}
        with pytest.raises(ValueError, match="feature names"):
            one.predict(X[["effect", "cause"]])


def test_without_groups_there_is_one_environment():
    model = InvariantClassifier("irmv1", **QUICK).fit(LABS.X, LABS.y)
    assert list(model.environments_) == [0]
    assert len(model.history_[0]["risk"]) == 1


# ---- groups through scikit-learn's routing -------------------------------------------------------


def test_groups_are_routed_in_pipelines_cross_validation_and_searches():
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), InvariantClassifier(**META))
        pipeline.fit(LABS.X, LABS.y, groups=LABS.groups)
        assert list(pipeline[-1].environments_) == ["lab 0", "lab 1", "lab 2"]
        about = {"cv": LeaveOneGroupOut(), "error_score": "raise"}
        for model in (InvariantClassifier(**META), pipeline):
            scores = cross_val_score(model, LABS.X, LABS.y, params={"groups": LABS.groups}, **about)
            assert scores.shape == (3,) and (scores > 0).all()
        grid = {"invariantclassifier__std_weight": [0.1, 1.0], "invariantclassifier__lr": [0.01]}
        search = GridSearchCV(pipeline, grid, **about).fit(LABS.X, LABS.y, groups=LABS.groups)
        best = search.best_estimator_[-1]
        assert len(best.environments_) == 3 and best.std_weight in (0.1, 1.0)


def test_groups_are_passed_on_by_hand_without_routing():
    about = {"cv": LeaveOneGroupOut(), "error_score": "raise"}
    given = {"groups": LABS.groups, "params": {"groups": LABS.groups}}
    scores = cross_val_score(InvariantClassifier(**META), LABS.X, LABS.y, **given, **about)
    assert scores.shape == (3,)


# ---- errors --------------------------------------------------------------------------------------

ERRORS = {  # what is given, to `InvariantClassifier` and to `fit`, the error and its sentence
    "no groups": (
        {},
        {"groups": None},
        ValueError,
        r"meta_irm needs samples of 2 or more environments, got 1; name each sample's in fit\(X, "
        r"y, groups=\.\.\.\), or take objective='erm'",
    ),
    "one group": ({"objective": "v_rex"}, {"groups": ["a"] * 120}, ValueError, "v_rex needs"),
    "a stop for one group": (
        {"objective": "erm", "early_stopping": True},
        {"groups": None},
        ValueError,
        "early stopping needs samples of 2 or more",
    ),
    "another's parameter": (
        {"objective": "erm", "inner_lr": 1.0},
        {},
        ValueError,
        "inner_lr is 1.0, but it is for meta_irm, the objective is 'erm'; leave it None",
    ),
    "others' parameter": (
        {"penalty_weight": 0.0},
        {},
        ValueError,
        "penalty_weight is 0.0, but it is for irmv1 and v_rex, the objective is 'meta_irm'",
    ),
    "objective": ({"objective": "irm"}, {}, ValueError, "unknown objective 'irm'; did you mean"),
    "steps": ({"steps": 0}, {}, ValueError, "steps is 0; give a whole number >= 1"),
    "inner_lr": ({"inner_lr": "1"}, {}, TypeError, "inner_lr is '1'; give a number >= 0"),
    "hidden": ({"hidden": 64}, {}, TypeError, "hidden is 64; give a list of widths"),
    "early_stopping": (
        {"early_stopping": 5},
        {},
        TypeError,
        "early_stopping is 5; give 'auto', True, False or a StoppingRule",
    ),
    "validation_fraction": (
        {"validation_fraction": 1.0, "early_stopping": True},
        {},
        ValueError,
        "validation_fraction is 1.0, which leaves nothing to train on",
    ),
    "a lonely sample": (
        {"early_stopping": True},
        {"groups": ["a"] * 119 + ["b"]},
        ValueError,
        "of an environment with so few samples: 1; give less, more samples, or",
    ),
    "one class": ({}, {"y": np.ones(120)}, ValueError, "y holds one class, 1.0; give samples of"),
    "too few groups": ({}, {"groups": ["a", "b"]}, ValueError, "inconsistent numbers of samples"),
    "nameless": (
        {},
        {"groups": np.array([np.nan, 1.0] * 60)},
        ValueError,
        "groups has no name in 60 rows, the first is row 0; name the environment",
    ),
    "nameless text": (
        {},
        {"groups": np.array(["a", None, "b"] * 40)},
        ValueError,
        "groups has no name in 40 rows, the first is row 1",
    ),
    "text and numbers": (
        {},
        {"groups": np.array(["a", 1] * 60, object)},
        TypeError,
        "groups holds both text and numbers",
    ),
    "lambda_min": (
        {"objective": "mm_rex", "lambda_min": 0.4},
        {},
        ValueError,
        "lambda_min is 0.4; give a finite number <= 0.33",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_one_sentence(name):
    given, data, kind, sentence = ERRORS[name]
    model = InvariantClassifier(**{**META, **given})
    with pytest.raises(kind, match=sentence):
        model.fit(**{**vars(LABS), **data})


def test_what_cannot_be_learnt_says_so():
    with pytest.raises(RuntimeError, match=r"^diverged: .* standardised columns of X"):
        fitted(inner_lr=1e200, inner_lr_warmup=0)
    alike = laboratories(40, shares=(0.5, 0.5))
    rule = StoppingRule(threshold=0.1, arm=9.0)
    with pytest.warns(ConvergenceWarning, match="environments' risks never differed by 9, which"):
        fitted(labs=alike, early_stopping=rule)


def test_a_fit_that_fails_leaves_no_half_fitted_classifier(tmp_path):
    model = InvariantClassifier(**META)
    for groups in (None, LABS.groups):
        model.set_params(inner_lr=1e200, inner_lr_warmup=0)
        with pytest.raises((ValueError, RuntimeError)):
            model.fit(LABS.X, LABS.y, groups=groups)
        with pytest.raises(NotFittedError):
            model.predict(LABS.X)
        with pytest.raises(NotFittedError):
            model.save(tmp_path / "model.npz")


def test_a_clone_is_unfitted_and_the_parameters_stay_as_they_were_given():
    model = fitted()
    assert model.inner_lr is None and model.hidden == (4,)
    assert not hasattr(clone(model), "params_")
    assert clone(model).get_params() == model.get_params()
