"""The training loop."""

from dataclasses import replace

import numpy as np
import pytest
from problems import HYPER, flat

from metairm_np import fast, init_mlp, spec
from metairm_np._autodiff import tree_map
from metairm_np._seeds import INIT, NOISE, child
from metairm_np.environments import Environment, synthetic_digits
from metairm_np.optimizers import SGD, Adam
from metairm_np.training import HoldRule, RunOptions, Settings, StoppingRule, train
from metairm_np.training.audit import Audit
from metairm_np.training.holding import HoldState
from metairm_np.training.loop import first_state, trajectory
from metairm_np.training.settings import random_hyper
from metairm_np.training.state import stream

TRIAL = synthetic_digits(0, 60, validation=0.2)
START = init_mlp((392, 8, 1), child(0, INIT))
META = HYPER["meta_irm"]


def run(settings, seed=0, trial=TRIAL, test=(), **options):
    envs, validation, n_classes = trial.train, trial.validation, trial.n_classes
    options = RunOptions(**options)
    return train(settings, envs, validation, seed, n_classes=n_classes, test=test, run=options)


def settings(objective="erm", **options):
    given = {"hyper": HYPER[objective], "hidden": (8,), "steps": 5, "lr": 0.01, **options}
    return Settings(objective, **given)


STEPS = {  # settings, the keywords of each step, and what the objective is divided by
    **{name: (settings(name, l2=0.01), lambda step, h=h: (h, 1)) for name, h in HYPER.items()},
    "annealing irmv1, rescaled": (
        settings("irmv1", hyper={"penalty_weight": 50.0}, anneal_steps=2, rescale=True, l2=0.01),
        lambda step: ({"penalty_weight": 1.0}, 1) if step < 2 else ({"penalty_weight": 50.0}, 50),
    ),
    "annealing v_rex, sgd": (
        settings("v_rex", hyper={"penalty_weight": 9.0}, anneal_steps=3, optimizer="sgd", l2=0.01),
        lambda step: ({"penalty_weight": 1.0 if step < 3 else 9.0}, 1),
    ),
    "annealing mm_rex, rescaled, sgd with momentum": (
        settings(
            "mm_rex",
            hyper={"lambda_min": -4.0},
            anneal_steps=2,
            rescale=True,
            optimizer="sgd",
            momentum=0.5,
            l2=0.01,
        ),
        lambda step: ({"lambda_min": 0.0}, 1) if step < 2 else ({"lambda_min": -4.0}, 9.0),
    ),
    "alpha that grows": (
        settings("meta_irm", inner_lr_warmup=3, l2=0.01),
        lambda step: ({**META, "inner_lr": 0.3 * min(1, (step + 1) / 3)}, 1),
    ),
    "l2 in the inner steps": (
        settings("meta_irm", l2=0.1, inner_l2=True),
        lambda step: ({**META, "inner_l2": 0.1}, 1),
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_each_step_is_one_optimizer_step_along_the_objective(case):
    chosen, step_of = STEPS[case]
    result = run(chosen, engine=spec)
    params = START
    optimizer = Adam(0.01) if chosen.optimizer == "adam" else SGD(0.01, chosen.momentum)
    state = optimizer.init(params)
    for row in result.history[:-1]:
        hyper, divisor = step_of(row["step"])
        value, gradient = spec.value_and_grad(
            chosen.objective, params, TRIAL.train, l2=chosen.l2, **hyper
        )
        assert row["objective"] == value / divisor
        gradient = tree_map(lambda g, d=divisor: g / d, gradient)
        params, state = optimizer.update(gradient, state, params)
    np.testing.assert_array_equal(flat(result.params), flat(params))
    assert (result.status, result.step, result.last_step) == ("completed", 5, 5)


def test_history_holds_what_the_figures_need():
    test = [TRIAL.test(0.1), TRIAL.test(0.9)]
    own = {"irmv1": {"penalty"}, "v_rex": {"penalty"}, "meta_irm": {"meta_loss", "sigma"}}
    for objective in HYPER:
        history = run(settings(objective), test=test, log_every=2).history
        assert [row["step"] for row in history] == list(range(6))
        full = {"risk", "accuracy", "validation_risk", "validation_accuracy", "test_accuracy"}
        full |= own.get(objective, set())
        for row in history:
            logged = row["step"] in (0, 2, 4, 5)
            assert (full <= row.keys()) == ("validation_risk" in row) == logged
        assert all(("objective" in row) == (row["step"] < 5) for row in history)
        last = history[-1]
        assert last["validation_sigma"] == np.std(last["validation_risk"])
        assert all(len(last[key]) == 2 for key in full - own.get(objective, set()))


def test_logged_quantities_are_those_of_the_spec():
    seen = run(settings("meta_irm", steps=0), engine=spec).history[0]
    L = spec.meta_losses(START, TRIAL.train, 0.3)
    assert (seen["meta_loss"], seen["sigma"]) == (L.tolist(), np.std(L))
    assert seen["risk"] == [spec.risk(START, env) for env in TRIAL.train]
    seen = run(settings("irmv1", steps=0), engine=spec).history[0]
    assert seen["penalty"] == [spec.irmv1_penalty(START, env) for env in TRIAL.train]


def test_a_growing_alpha_is_in_every_row_and_the_meta_losses_are_its_own():
    seen = run(settings("meta_irm", inner_lr_warmup=4), engine=spec, log_every=3).history
    assert [row["inner_lr"] for row in seen] == [
        0.3 * 1 / 4,
        0.3 * 2 / 4,
        0.3 * 3 / 4,
        0.3,
        0.3,
        0.3,
    ]
    assert seen[0]["meta_loss"] == spec.meta_losses(START, TRIAL.train, 0.3 / 4).tolist()
    assert "inner_lr" not in run(settings("meta_irm")).history[0]


def test_a_held_alpha_follows_the_risks_of_the_rows():
    rule = HoldRule(gain=2.0, cap=0.05, target=0.01, proportional=1.0, smoothing=3, arm=0.03)
    chosen = settings("meta_irm", inner_lr_hold=rule, steps=9, lr=0.02)
    rows, state = run(chosen, engine=spec).history, HoldState()
    for row in rows:
        state = rule.update(state, row["step"], row["risk"], META["inner_lr"])
        assert row["inner_lr"] == state.inner_lr
    rates = [row["inner_lr"] for row in rows]
    assert rates[0] == 0 < max(rates) <= META["inner_lr"]


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


@pytest.mark.parametrize("options", [{"dropgrad": 0.2}, {"sample_pairs": True}])
def test_random_options_change_the_trajectory_and_repeat_bit_for_bit(options):
    trial = synthetic_digits(0, 60, train_p=(0.1, 0.2, 0.3), validation=0)
    plain = run(settings("meta_irm", l2=0.1), trial=trial)
    one, two = (run(settings("meta_irm", l2=0.1, **options), trial=trial) for _ in range(2))
    np.testing.assert_array_equal(flat(one.params), flat(two.params))
    assert one.history == two.history
    assert "validation_risk" not in one.history[0]
    assert np.abs(flat(one.params) - flat(plain.params)).max() > 1e-6


def test_dropgrad_noise_has_mean_one_and_variance_p_over_q():
    params, rng = init_mlp((392, 50, 1), 0), np.random.default_rng(child(0, NOISE))
    dropgrad = settings("meta_irm", dropgrad=0.2, hyper={**META, "inner_steps": 2})
    noise = random_hyper(dropgrad, rng, params, 3)["gradient_noise"]
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
    one, two, other = (run(settings(), seed) for seed in (3, np.random.SeedSequence(3), 4))
    np.testing.assert_array_equal(flat(one.params), flat(two.params))
    assert (flat(one.params) != flat(other.params)).any()


class Wrong:
    """The fast engine, with `error` of the largest entry added to one entry of each gradient.

    Only from call number `after` on; and, if `sample` is given, only wherever this sample is among
    those that the gradient is for, as at a ReLU's kink.
    """

    def __init__(self, error, after=0, sample=None):
        self.error, self.after, self.sample, self.calls = error, after, sample, 0

    def __getattr__(self, name):
        return getattr(fast, name)

    def value_and_grad(self, name, params, envs, **hyper):
        value, gradient = fast.value_and_grad(name, params, envs, **hyper)
        self.calls += 1
        if self.calls > self.after and (
            self.sample is None or any((env.x == self.sample).all(axis=1).any() for env in envs)
        ):
            gradient[-1][1][0] += self.error * np.abs(flat(gradient)).max()
        return value, gradient


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-8), ("float32", 1e-3)])
@pytest.mark.parametrize("objective", sorted(HYPER))
def test_an_engine_that_is_wrong_fails_the_audit_and_a_right_one_passes(objective, dtype, limit):
    trial = synthetic_digits(0, 60, validation=0.2, dtype=dtype)

    def audited(engine):
        return run(settings(objective, steps=7), trial=trial, engine=engine, audit_every=3)

    good = audited(fast)
    assert (good.status, good.audit["checks"]) == ("completed", 4)  # steps 0, 3, 6 and the last
    assert 0 < good.audit["largest"] < limit == good.audit["limit"]
    assert audited(Wrong(0.1 * limit)).status == "completed"
    bad = audited(Wrong(3 * limit))
    assert (bad.status, bad.last_step) == ("failed audit", 0)
    assert bad.audit["largest"] == pytest.approx(3 * limit, rel=0.1)
    assert "FAILED ITS AUDIT at step 0" in bad.message


@pytest.mark.parametrize("seed", range(5))
def test_one_sample_at_a_kink_fails_no_audit(seed):
    rng = np.random.default_rng(0)
    envs = [Environment(rng.normal(size=(1024, 3)), rng.integers(0, 2, 1024)) for _ in range(2)]
    engine, audit = Wrong(0.01, sample=envs[0].x[seed]), Audit(stream(seed))
    for _ in range(10):
        audit = audit.compare(engine, "erm", init_mlp((3, 4, 1), seed), envs)
        assert audit.passed
    assert 0 < audit.repeated == engine.calls - 10  # met in some of the ten, never in both halves


@pytest.mark.parametrize(
    ("steps", "engine", "every", "last"),
    [(7, Wrong(1e-3, 8), 100, 7), (7, Wrong(1e-3, 4), 2, 2), (0, Wrong(np.nan), 1, 0)],
)
def test_the_last_step_and_every_nth_are_audited(steps, engine, every, last):
    result = run(settings(steps=steps), engine=engine, audit_every=every)
    assert (result.status, result.last_step) == ("failed audit", last)


def test_a_rule_sees_validation_at_every_step():
    seen = run(settings(early_stopping=StoppingRule(0.0, 0.1)), log_every=3).history
    assert all(len(row["validation_risk"]) == 2 for row in seen)
    assert [row["step"] for row in seen if "accuracy" in row] == [0, 3, 5]


def test_audits_do_not_change_the_trajectory():
    seldom, often = (run(settings("meta_irm", dropgrad=0.2), audit_every=n) for n in (100, 1))
    np.testing.assert_array_equal(flat(seldom.params), flat(often.params))


def test_early_stopping_restores_the_best_parameters():
    history = run(settings(steps=40, lr=0.05), log_every=1).history
    sigmas = [row["validation_sigma"] for row in history]
    # step 3 arms it and is a candidate
    rule = StoppingRule(threshold=sigmas[3], arm=sigmas[3], warmup=3, patience=2)
    best = next(t for t in range(3, 41) if sigmas[t] == min(sigmas[3 : t + 3]))
    rows = []
    result = run(settings(steps=40, lr=0.05, early_stopping=rule), on_step=rows.append)
    assert (result.status, result.step, result.last_step) == ("stopped early", best, best + 2)
    assert f"keeping step {best}, where the environments' risks agreed best" in result.message
    assert rows == result.history
    assert len(rows) == best + 3
    again = run(settings(steps=best, lr=0.05))
    np.testing.assert_array_equal(flat(result.params), flat(again.params))


@pytest.mark.parametrize("samples", ["validation", "all"])
def test_early_stopping_watches_the_samples_that_it_says(samples):
    chosen = settings(early_stopping=StoppingRule(threshold=0.0, arm=1e9, samples=samples))
    state = first_state(chosen, TRIAL.train, 0, 2)
    step = next(trajectory(chosen, fast, TRIAL.train, TRIAL.validation, state))
    watched = [
        Environment(np.concatenate([a.x, b.x]), np.concatenate([a.y, b.y]))
        for a, b in zip(TRIAL.train, TRIAL.validation)
    ]
    envs = watched if samples == "all" else TRIAL.validation
    np.testing.assert_allclose(step.stopping.risks, spec.risks(START, envs), rtol=1e-12)


@pytest.mark.parametrize("engine", [fast, spec])
def test_early_stopping_watches_the_errors_if_told_so(engine):
    rule = StoppingRule(threshold=0.5, arm=0.5, warmup=0, watch="error")
    chosen = settings(early_stopping=rule)
    state = first_state(chosen, TRIAL.train, 0, 2)
    step = next(trajectory(chosen, engine, TRIAL.train, TRIAL.validation, state))
    errors = [1 - spec.accuracy(START, env) for env in TRIAL.validation]
    np.testing.assert_allclose(step.stopping.risks, errors, rtol=1e-12)
    assert len(set(errors)) == 2
    assert run(chosen).message.endswith(
        "the environments' errors never differed by 0.5, which arms the rule"
    )


def test_a_target_that_is_met_and_a_rule_that_never_fires_say_so():
    start = np.mean(run(settings(steps=0)).history[0]["validation_risk"])
    rule = StoppingRule(threshold=start, arm=start, warmup=2, target_risk=0.0)
    result = run(settings(early_stopping=rule))
    assert (result.status, result.step) == ("stopped early", 2)
    assert "where the risk was nearest to its target" in result.message
    result = run(settings(early_stopping=StoppingRule(threshold=0.0, arm=1e9)))
    assert (result.status, result.step) == ("completed", 5)
    assert result.message.endswith(
        "without meeting the stopping threshold, keeping step 5: the environments' risks never "
        "differed by 1e+09, which arms the rule"
    )


META_SGD = settings("meta_irm", hyper={"inner_lr": 1e200, "std_weight": 0.0}, optimizer="sgd")


@pytest.mark.parametrize(
    ("chosen", "options", "last"),
    [
        (META_SGD, {}, 0),
        (settings(steps=1, lr=1e308, optimizer="sgd"), {}, 1),  # at the very last update
        (settings(lr=1e308, optimizer="sgd"), {"log_every": 1}, 1),
        (settings(), {"engine": Wrong(np.nan)}, 0),
        (replace(META_SGD, steps=0), {}, 0),  # seen by the audit alone
    ],
)
def test_divergence_keeps_history_and_says_where(chosen, options, last):
    result = run(chosen, **options)
    assert (result.status, result.last_step) == ("diverged", last)
    assert f"not finite at step {last}" in result.message
    assert len(result.history) == last + 1


def test_what_an_observer_returns_is_in_the_logged_rows():
    rows = run(settings(), log_every=2, observe=lambda params: {"bias": params[-1][1][0]}).history
    assert [row["step"] for row in rows if "bias" in row] == [0, 2, 4, 5]
    assert rows[0]["bias"] == 0 != rows[-1]["bias"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_dtype_and_classes(dtype, n_classes):
    trial = synthetic_digits(1, 40, n_classes=n_classes, dtype=dtype)
    result = run(settings("meta_irm", dropgrad=0.1), trial=trial, test=[trial.test(0.9)])
    assert {part.dtype for pair in result.params for part in pair} == {np.dtype(dtype)}
    assert result.params[-1][0].shape == (8, 1 if n_classes == 2 else 5)


def test_erm_learns_colour_and_greyscale_cannot():
    trial = synthetic_digits(2, 500)
    twin = trial.greyscale()
    erm, grey = (run(settings(steps=100), trial=one).params for one in (trial, twin))
    assert spec.accuracy(erm, trial.test(0.1)) > 0.8
    assert spec.accuracy(erm, trial.test(0.9)) < 0.4
    assert spec.accuracy(grey, twin.test(0.1)) == spec.accuracy(grey, twin.test(0.9)) > 0.6


def test_refused_for_the_data_at_hand_and_for_the_run():
    rule = StoppingRule(threshold=0.1, arm=0.2)
    with pytest.raises(ValueError, match="early stopping compares 2 or more .*, got 0"):
        train(settings(early_stopping=rule), TRIAL.train, [], 0)
    with pytest.raises(ValueError, match="n_classes is 1; give a whole number >= 2"):
        train(Settings("erm", steps=1), TRIAL.train, [], 0, n_classes=1)
    with pytest.raises(ValueError, match="meta_irm needs 2 or more environments, got 1"):
        train(settings("meta_irm"), TRIAL.train[:1], [], 0)
    env, pair = TRIAL.train[0], (TRIAL.train[0].x, TRIAL.train[0].y)
    for envs, validation, what in [([env, pair], [], r"envs\[1\]"), ([env], [pair], "validation")]:
        with pytest.raises(
            TypeError, match=f"{what}.* is of type tuple; make an Environment of it"
        ):
            train(settings(), envs, validation, 0)
    for option in ("audit_every", "log_every"):
        with pytest.raises(ValueError, match=f"{option} is 0; give a whole number >= 1"):
            RunOptions(**{option: 0})
