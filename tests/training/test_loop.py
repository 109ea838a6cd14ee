"""The training loop."""

import numpy as np
import pytest
from problems import HYPER, flat

from metairm_np import fast, init_mlp, spec
from metairm_np._seeds import INIT, NOISE, child
from metairm_np.environments import Environment, synthetic_digits
from metairm_np.optimizers import Adam
from metairm_np.training import Settings, train
from metairm_np.training.audit import Audit
from metairm_np.training.settings import random_hyper
from metairm_np.training.stopping import EarlyStopping, StoppingRule

TRIAL = synthetic_digits(0, 60, validation=0.2)


def run(settings, seed=0, trial=TRIAL, **options):
    return train(
        settings, trial.train, trial.validation, seed, n_classes=trial.n_classes, **options
    )


def settings(objective="erm", **options):
    hyper = options.pop("hyper", HYPER[objective])
    return Settings(
        **{
            "objective": objective,
            "hyper": hyper,
            "hidden": (8,),
            "steps": 5,
            "lr": 0.01,
            **options,
        }
    )


@pytest.mark.parametrize("objective", sorted(HYPER))
def test_each_step_is_one_optimizer_step_along_the_objective(objective):
    result = run(settings(objective, l2=0.01), engine=spec)
    params, optimizer = init_mlp((392, 8, 1), child(0, INIT)), Adam(0.01)
    for row in result.history[:-1]:
        value, gradient = spec.value_and_grad(
            objective, params, TRIAL.train, l2=0.01, **HYPER[objective]
        )
        assert row["objective"] == value
        params = optimizer.step(params, gradient)
    np.testing.assert_array_equal(flat(result.params), flat(params))
    assert (result.status, result.step, result.last_step) == ("completed", 5, 5)


def test_history_holds_what_the_figures_need():
    test = [TRIAL.test(0.1), TRIAL.test(0.9)]
    own = {"irmv1": {"penalty"}, "v_rex": {"penalty"}, "meta_irm": {"meta_loss", "sigma"}}
    for objective in HYPER:
        history = run(settings(objective), test=test, log_every=2).history
        assert [row["step"] for row in history] == list(range(6))
        assert all(len(row["validation_risk"]) == 2 for row in history)
        full = {"risk", "accuracy", "validation_accuracy", "test_accuracy"} | own.get(
            objective, set()
        )
        for row in history:
            assert (full <= row.keys()) == (row["step"] in (0, 2, 4, 5))
        assert all(("objective" in row) == (row["step"] < 5) for row in history)
        last = history[-1]
        assert last["validation_sigma"] == np.std(last["validation_risk"])
        assert len(last["test_accuracy"]) == 2
    assert len(last["risk"]) == 2


def test_logged_quantities_are_those_of_the_spec():
    seen = run(settings("meta_irm", steps=0), engine=spec).history[0]
    params = init_mlp((392, 8, 1), child(0, INIT))
    L = spec.meta_losses(params, TRIAL.train, 0.3)
    assert seen["meta_loss"] == L.tolist()
    assert seen["sigma"] == np.std(L)
    assert seen["risk"] == [spec.risk(params, env) for env in TRIAL.train]
    seen = run(settings("irmv1", steps=0), engine=spec).history[0]
    assert seen["penalty"] == [spec.irmv1_penalty(params, env) for env in TRIAL.train]


@pytest.mark.parametrize("objective", ["irmv1", "v_rex", "mm_rex"])
def test_annealing_and_rescaling(objective):
    name, initial, weight = (
        ("lambda_min", 0.0, 9.0) if objective == "mm_rex" else ("penalty_weight", 1.0, 50.0)
    )
    final = -4.0 if objective == "mm_rex" else 50.0
    annealed = settings(
        objective,
        hyper={name: final},
        anneal_steps=2,
        rescale=True,
        l2=0.01,
        optimizer="sgd",
        steps=4,
    )
    result = run(annealed, engine=spec)
    params = init_mlp((392, 8, 1), child(0, INIT))
    for row in result.history[:-1]:
        hyper, divisor = ({name: initial}, 1.0) if row["step"] < 2 else ({name: final}, weight)
        value, gradient = spec.value_and_grad(objective, params, TRIAL.train, l2=0.01, **hyper)
        assert row["objective"] == value / divisor
        params = [
            (W - 0.01 * dW / divisor, b - 0.01 * db / divisor)
            for (W, b), (dW, db) in zip(params, gradient)
        ]
    np.testing.assert_allclose(flat(result.params), flat(params), rtol=1e-12)


@pytest.mark.parametrize("objective", sorted(HYPER))
def test_both_engines_give_the_same_history(objective):
    one, other = (
        run(settings(objective, l2=0.01), engine=engine, test=[TRIAL.test(0.9)])
        for engine in (fast, spec)
    )
    assert [row.keys() for row in one.history] == [row.keys() for row in other.history]
    for mine, theirs in zip(one.history, other.history):
        for key, value in mine.items():
            np.testing.assert_allclose(value, theirs[key], rtol=1e-9, atol=1e-12, err_msg=key)
    np.testing.assert_allclose(flat(one.params), flat(other.params), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [{"dropgrad": 0.2}, {"sample_pairs": True}, {"hyper": {**HYPER["meta_irm"], "inner_l2": True}}],
)
def test_options_of_meta_irm_change_the_trajectory_and_repeat_bit_for_bit(options):
    trial = synthetic_digits(0, 60, train_p=(0.1, 0.2, 0.3))
    plain = run(settings("meta_irm", l2=0.1), trial=trial)
    one, two = (run(settings("meta_irm", l2=0.1, **options), trial=trial) for _ in range(2))
    np.testing.assert_array_equal(flat(one.params), flat(two.params))
    assert one.history == two.history
    assert np.abs(flat(one.params) - flat(plain.params)).max() > 1e-6


def test_dropgrad_noise_has_mean_one_and_variance_p_over_q():
    params = init_mlp((392, 50, 1), 0)
    dropgrad = settings("meta_irm", dropgrad=0.2, hyper={**HYPER["meta_irm"], "inner_steps": 2})
    noise = random_hyper(dropgrad, np.random.default_rng(child(0, NOISE)), params, 3)[
        "gradient_noise"
    ]
    assert (len(noise), len(noise[0]), len(noise[0][0])) == (3, 2, 2)
    draws = np.concatenate([flat(step) for env in noise for step in env])
    assert abs(draws.mean() - 1) < 5 * 0.5 / len(draws) ** 0.5
    assert draws.var() == pytest.approx(0.25, rel=0.02)


def test_sampled_pairs_have_one_other_environment_each():
    sampled, rng = settings("meta_irm", sample_pairs=True), np.random.default_rng(0)
    counts = np.zeros((3, 3))
    for _ in range(300):
        for i, j in random_hyper(sampled, rng, [], 3)["pairs"]:
            counts[i, j] += 1
    assert np.diag(counts).sum() == 0
    assert (counts.sum(axis=1) == 300).all()
    assert counts[~np.eye(3, dtype=bool)].min() > 100


def test_same_seed_same_bits_and_another_seed_other_bits():
    one, two, other = (
        run(settings(), 3),
        run(settings(), np.random.SeedSequence(3)),
        run(settings(), 4),
    )
    np.testing.assert_array_equal(flat(one.params), flat(two.params))
    assert (flat(one.params) != flat(other.params)).any()


class Wrong:
    """The fast engine with a gradient that is `error` of its largest entry off in one place, from call number `after` on."""

    def __init__(self, error, after=0):
        self.error, self.after, self.calls = error, after, 0

    def __getattr__(self, name):
        return getattr(fast, name)

    def value_and_grad(self, *arguments, **hyper):
        value, gradient = fast.value_and_grad(*arguments, **hyper)
        self.calls += 1
        if self.calls > self.after:
            gradient[-1][1][0] += self.error * np.abs(flat(gradient)).max()
        return value, gradient


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-8), ("float32", 1e-3)])
@pytest.mark.parametrize("objective", sorted(HYPER))
def test_an_engine_that_is_wrong_fails_the_audit_and_a_right_one_passes(objective, dtype, limit):
    trial = synthetic_digits(0, 60, validation=0.2, dtype=dtype)
    good = run(settings(objective, steps=7), trial=trial, audit_every=3)
    assert (good.status, good.audit["checks"]) == ("completed", 4)  # steps 0, 3, 6 and the last
    assert 0 < good.audit["largest"] < limit == good.audit["limit"]
    assert (
        run(settings(objective, steps=7), trial=trial, engine=Wrong(0.1 * limit)).status
        == "completed"
    )
    bad = run(settings(objective, steps=7), trial=trial, engine=Wrong(3 * limit))
    assert (bad.status, bad.last_step) == ("failed audit", 0)
    assert bad.audit["largest"] == pytest.approx(3 * limit, rel=0.1)
    assert "FAILED ITS AUDIT at step 0" in bad.message


class WrongAt:
    """The fast engine with a gradient that is 1 % off wherever one sample is among those it is for, as at a ReLU's kink."""

    def __init__(self, sample):
        self.sample, self.calls = sample, 0

    def value_and_grad(self, name, params, envs, **hyper):
        value, gradient = fast.value_and_grad(name, params, envs, **hyper)
        self.calls += 1
        if any((env.x == self.sample).all(axis=1).any() for env in envs):
            gradient[-1][1][0] += 0.01 * np.abs(flat(gradient)).max()
        return value, gradient


@pytest.mark.parametrize("seed", range(5))
def test_one_sample_at_a_kink_fails_no_audit(seed):
    rng = np.random.default_rng(0)
    envs = [Environment(rng.normal(size=(1024, 3)), rng.integers(0, 2, 1024)) for _ in range(2)]
    engine = WrongAt(envs[0].x[seed])
    audit = Audit(engine, seed)
    outcomes = [audit.passes("erm", init_mlp((3, 4, 1), seed), envs) for _ in range(10)]
    assert all(outcomes)
    assert (
        0 < audit.repeated == engine.calls - 10
    )  # met in some of the ten, and never in both halves


def test_the_last_step_and_every_nth_are_audited():
    assert (
        run(settings(steps=7), engine=Wrong(1e-3, after=8), audit_every=100).status
        == "failed audit"
    )  # one for the audit
    late = run(settings(steps=7), engine=Wrong(1e-3, after=4), audit_every=2)
    assert (late.status, late.last_step) == ("failed audit", 2)


def test_an_engine_that_gives_nan_is_no_result():
    assert run(settings(), engine=Wrong(np.nan)).status == "diverged"


def test_audits_do_not_change_the_trajectory():
    seldom, often = (run(settings("meta_irm", dropgrad=0.2), audit_every=n) for n in (100, 1))
    np.testing.assert_array_equal(flat(seldom.params), flat(often.params))


def test_early_stopping_restores_the_best_parameters():
    sigmas = [row["validation_sigma"] for row in run(settings(steps=40, lr=0.05)).history]
    rule = StoppingRule(
        threshold=sigmas[3], arm=sigmas[3], warmup=3, patience=2
    )  # step 3 arms it and is a candidate
    best = next(t for t in range(3, 41) if sigmas[t] == min(sigmas[3 : t + 3]))
    rows = []
    result = run(settings(steps=40, lr=0.05, early_stopping=rule), on_step=rows.append)
    assert (result.status, result.step, result.last_step) == ("stopped early", best, best + 2)
    assert rows == result.history
    assert len(rows) == best + 3
    again = run(settings(steps=best, lr=0.05))
    np.testing.assert_array_equal(flat(result.params), flat(again.params))


def test_early_stopping_may_watch_all_samples_of_each_environment():
    seen = []

    class Watching(EarlyStopping):
        def update(self, step, risks, params):
            seen.append(risks)
            return super().update(step, risks, params)

    rule = StoppingRule(threshold=0.0, arm=1e9, samples="all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metairm_np.training.loop.EarlyStopping", Watching)
        run(settings(steps=0, early_stopping=rule))
    params = init_mlp((392, 8, 1), child(0, INIT))
    together = [
        spec.risk(params, Environment(np.concatenate([a.x, b.x]), np.concatenate([a.y, b.y])))
        for a, b in zip(TRIAL.train, TRIAL.validation)
    ]
    np.testing.assert_allclose(seen, [together], rtol=1e-12)


def test_rule_that_never_fires_says_so():
    rule = StoppingRule(threshold=0.0, arm=1e9)
    result = run(settings(early_stopping=rule))
    assert (result.status, result.step) == ("completed", 5)
    assert "without meeting the stopping threshold" in result.message


def test_divergence_keeps_history_and_says_where():
    result = run(
        settings("meta_irm", hyper={"inner_lr": 1e200, "std_weight": 0.0}, optimizer="sgd")
    )
    assert result.status == "diverged"
    assert f"not finite at step {result.last_step}" in result.message
    assert len(result.history) == result.last_step + 1
    assert np.isfinite(flat(result.params)).all()


def test_divergence_at_the_very_last_update_is_noticed():
    result = run(settings(steps=1, lr=1e308, optimizer="sgd"))
    assert (result.status, result.last_step) == ("diverged", 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_dtype_and_classes(dtype, n_classes):
    trial = synthetic_digits(1, 40, n_classes=n_classes, dtype=dtype)
    result = run(settings("meta_irm", dropgrad=0.1), trial=trial, test=[trial.test(0.9)])
    assert {part.dtype for pair in result.params for part in pair} == {np.dtype(dtype)}
    assert result.params[-1][0].shape == (8, 1 if n_classes == 2 else 5)


def test_erm_learns_colour_and_greyscale_cannot():
    trial = synthetic_digits(2, 500)
    erm = run(settings(steps=100), trial=trial)
    grey = run(settings(steps=100), trial=trial.greyscale())
    assert spec.accuracy(erm.params, trial.test(0.1)) > 0.8
    assert spec.accuracy(erm.params, trial.test(0.9)) < 0.4
    twin = trial.greyscale()
    assert (
        spec.accuracy(grey.params, twin.test(0.1))
        == spec.accuracy(grey.params, twin.test(0.9))
        > 0.6
    )


BAD = {
    "objective": (
        {"objective": "irm"},
        ValueError,
        "unknown objective 'irm'; did you mean 'irmv1'",
    ),
    "hyper": ({"hyper": {"inner_lr": 1}}, TypeError, "erm takes no keyword 'inner_lr'"),
    "missing hyper": (
        {"objective": "v_rex", "hyper": {}},
        TypeError,
        "missing 1 required .*'penalty_weight'",
    ),
    "optimizer": ({"optimizer": "adm"}, ValueError, "unknown optimizer 'adm'; did you mean 'adam'"),
    "init": ({"init": "zero"}, ValueError, "unknown init 'zero'"),
    "hidden": ({"hidden": 256}, TypeError, r"hidden is 256; give a list of widths such as \[256\]"),
    "width": ({"hidden": [0]}, ValueError, "a width in hidden is 0"),
    "lr": ({"lr": -1}, ValueError, "lr is -1"),
    "steps": ({"steps": 2.5}, TypeError, "steps is 2.5; give a whole number"),
    "dropgrad": (
        {"objective": "meta_irm", "hyper": HYPER["meta_irm"], "dropgrad": 1.0},
        ValueError,
        "dropgrad is 1.0",
    ),
    "dropgrad without inner step": (
        {"dropgrad": 0.1},
        ValueError,
        "dropgrad and sample_pairs are for meta_irm",
    ),
    "sampled pairs of the same environment": (
        {
            "objective": "meta_irm",
            "hyper": {**HYPER["meta_irm"], "same_env": True},
            "sample_pairs": True,
        },
        ValueError,
        "leave one of them out",
    ),
    "annealing without penalty": (
        {"anneal_steps": 5},
        ValueError,
        "'erm' has none; leave them out",
    ),
    "switch": ({"greyscale": "no"}, TypeError, "greyscale is 'no'; give True or False"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        Settings(**{"objective": "erm", **options})


def test_refused_for_the_data_at_hand():
    rule = StoppingRule(threshold=0.1, arm=0.2)
    with pytest.raises(
        ValueError, match="early stopping compares 2 or more validation sets, got 0"
    ):
        train(settings(early_stopping=rule), TRIAL.train, [], 0)
    with pytest.raises(ValueError, match="meta_irm needs 2 or more environments, got 1"):
        train(settings("meta_irm"), TRIAL.train[:1], [], 0)
