"""A training run that is cut short and goes on from its checkpoint ends with the same bits."""

import numpy as np
import pytest
from problems import HYPER, flat

from metairm_np.environments import synthetic_digits
from metairm_np.training import Settings, train
from metairm_np.training.checkpoint import Checkpoint
from metairm_np.training.stopping import StoppingRule

TRIAL = synthetic_digits(0, 60, validation=0.2, dtype="float32")
RULE = StoppingRule(threshold=0, arm=0, warmup=2, smoothing=3)
RICH = {  # every object of a run that has a state
    "meta_irm": {"dropgrad": 0.2, "sample_pairs": True, "early_stopping": RULE, "l2": 0.01},
    "v_rex": {"optimizer": "sgd", "momentum": 0.5, "anneal_steps": 3, "rescale": True},
    "erm": {},
}


class CutShortError(Exception):
    pass


def run(objective, on_step=None, checkpoint=None):
    settings = Settings(
        objective=objective,
        hyper=HYPER[objective],
        hidden=(6,),
        steps=9,
        lr=0.01,
        **RICH[objective],
    )
    return train(
        settings,
        TRIAL.train,
        TRIAL.validation,
        3,
        audit_every=2,
        log_every=2,
        on_step=on_step,
        checkpoint=checkpoint,
    )


def cut_at(step):
    def on_step(row):
        if row["step"] == step:
            raise CutShortError

    return on_step


def assert_same(one, other):
    assert flat(one.params).tobytes() == flat(other.params).tobytes()
    assert vars(one) | {"params": None} == vars(other) | {"params": None}


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("objective", RICH)
def test_a_run_that_is_cut_twice_ends_with_the_same_bits(objective, every, tmp_path):
    whole = run(objective)
    for first in range(8):
        checkpoint = Checkpoint(tmp_path / f"{first}.npz", every)
        for step in (first, first + 1):
            with pytest.raises(CutShortError):
                run(objective, cut_at(step), checkpoint)
        assert_same(run(objective, checkpoint=checkpoint), whole)


def test_it_goes_on_where_the_checkpoint_is(tmp_path):
    checkpoint, seen = Checkpoint(tmp_path / "state.npz", 4), []
    with pytest.raises(CutShortError):
        run("erm", cut_at(6), checkpoint)
    run("erm", lambda row: seen.append(row["step"]), checkpoint)
    assert seen == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("harm", [b"", b"not a checkpoint", "half", "bit"])
def test_a_damaged_checkpoint_is_set_aside_and_the_run_starts_again(harm, tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", 4)
    with pytest.raises(CutShortError):
        run("meta_irm", cut_at(6), checkpoint)
    good = checkpoint.path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    checkpoint.path.write_bytes(
        {"half": good[: len(good) // 2], "bit": bytes(flipped)}.get(harm, harm)
    )
    assert checkpoint.load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz.damaged"]
    assert_same(run("meta_irm", checkpoint=checkpoint), run("meta_irm"))


def test_any_state_comes_back_as_it_was(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", 1)
    state = {
        "a": [(np.arange(3, dtype=np.float32), 1.5), None],
        "b": {"big": 2**100, "nan": float("inf")},
        "c": np.float64(0.1),
    }
    checkpoint.save(state)
    found = checkpoint.load()
    assert found["a"][0][0].dtype == np.float32
    assert found["a"][0][0].tolist() == [0, 1, 2]
    assert isinstance(found["a"][0], tuple)
    assert (found["a"][0][1], found["a"][1], found["b"], found["c"]) == (1.5, None, state["b"], 0.1)
    checkpoint.path.unlink()
    assert checkpoint.load() is None


def test_every_is_checked(tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every is 0; give a whole number >= 1"):
        Checkpoint(tmp_path / "state.npz", 0)
