"""A training run that is cut short and goes on from its checkpoint ends with the same bits."""

from collections import namedtuple

import pytest
from problems import HYPER, flat

from metairm_np.environments import synthetic_digits
from metairm_np.training import Checkpoint, HoldRule, RunOptions, Settings, StoppingRule, train

TRIAL = synthetic_digits(0, 60, validation=0.2, dtype="float32")
RULE = StoppingRule(threshold=0, arm=0, warmup=2, smoothing=3)
LINE = StoppingRule(threshold=0, arm=0.02, warmup=2, line=3)
HOLD = HoldRule(gain=0.5, cap=0.1, proportional=1, arm=0.02)
RICH = {  # every part of a run's state
    "meta_irm": {
        "dropgrad": 0.2,
        "sample_pairs": True,
        "early_stopping": RULE,
        "inner_lr_hold": HOLD,
        "l2": 0.01,
    },
    "v_rex": {
        "optimizer": "sgd",
        "momentum": 0.5,
        "anneal_steps": 3,
        "rescale": True,
        "early_stopping": LINE,
    },
    "erm": {},
}


class CutShortError(Exception):
    pass


def run(objective, on_step=None, checkpoint=None):
    given = {"hidden": (6,), "steps": 9, "lr": 0.01, **RICH[objective]}
    settings = Settings(objective, HYPER[objective], **given)
    options = RunOptions(audit_every=2, log_every=2, on_step=on_step, checkpoint=checkpoint)
    return train(settings, TRIAL.train, TRIAL.validation, 3, run=options)


def run_until(step, objective, checkpoint):
    def on_step(row):
        if row["step"] == step:
            raise CutShortError

    with pytest.raises(CutShortError):
        run(objective, on_step, checkpoint)


def assert_same(one, other):
    assert flat(one.params).tobytes() == flat(other.params).tobytes()
    left_out = {"params": None, "seconds": None}
    assert vars(one) | left_out == vars(other) | left_out


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("objective", RICH)
def test_a_run_that_is_cut_twice_ends_with_the_same_bits(objective, every, tmp_path):
    whole = run(objective)
    for first in (0, 3, 4, 7):
        checkpoint = Checkpoint(tmp_path / f"{first}.npz", every)
        run_until(first, objective, checkpoint)
        run_until(first + 1, objective, checkpoint)
        assert_same(run(objective, checkpoint=checkpoint), whole)


def test_alpha_moves_while_it_is_held():
    rates = [row["inner_lr"] for row in run("meta_irm").history]
    assert len(set(rates)) > 3


def test_it_goes_on_where_the_checkpoint_is(tmp_path):
    checkpoint, seen = Checkpoint(tmp_path / "state.npz", 4), []
    run_until(6, "erm", checkpoint)
    run("erm", lambda row: seen.append(row["step"]), checkpoint)
    assert seen == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("harm", ["empty", "text", "half", "bit"])
def test_a_damaged_checkpoint_is_set_aside_and_the_run_starts_again(harm, tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", 4)
    run_until(6, "meta_irm", checkpoint)
    good = checkpoint.path.read_bytes()
    flipped = bytearray(good)
    flipped[good.index(b"TrainState")] ^= 1
    harmed = {"empty": b"", "text": b"no checkpoint", "half": good[: len(good) // 2]}
    checkpoint.path.write_bytes(harmed.get(harm, flipped))
    assert checkpoint.load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz.damaged"]
    assert_same(run("meta_irm", checkpoint=checkpoint), run("meta_irm"))


@pytest.mark.parametrize("fields", ["Foreign a", "Audit a b c d e f g h"])
def test_a_state_of_another_release_is_set_aside(fields, tmp_path):
    name, *names = fields.split()
    checkpoint = Checkpoint(tmp_path / "state.npz", 4)
    checkpoint.save(namedtuple(name, names)(*names))
    assert checkpoint.load() is None
    assert not checkpoint.path.exists()


def test_every_is_checked(tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every is 0; give a whole number >= 1"):
        Checkpoint(tmp_path / "state.npz", 0)
