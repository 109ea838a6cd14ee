"""Random search: what is drawn, and which tables say so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metairm_np._seeds import child
from metairm_np.cli import main
from metairm_np.experiments import files, search_space

RANGES = {
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "l2": {"low": 0.0, "high": 0.01},
    "steps": {"low": 5, "high": 15, "integer": True},
    "hidden": {"choices": [[4], [5, 5]]},
}


@given(st.integers(0, 2**40), st.integers(0, 10**6))
def test_draws_lie_in_their_ranges_and_can_be_typed(seed, number):
    drawn = search_space.draw(RANGES, seed, number)
    assert drawn == search_space.draw(RANGES, seed, number)
    assert 1e-4 <= drawn["lr"] <= 1e-2
    assert 0 <= drawn["l2"] <= 0.01
    assert drawn["steps"] in range(5, 16)
    assert drawn["hidden"] in ([4], [5, 5])
    assert len(f"{drawn['lr']:g}") <= 9


def test_draws_are_uniform_or_uniform_in_the_logarithm():
    drawn = [search_space.draw(RANGES, 0, number) for number in range(2000)]
    lr, l2, steps, hidden = ([one[key] for one in drawn] for key in RANGES)
    assert np.mean(np.less(lr, 1e-3)) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.less(l2, 0.005)) == pytest.approx(0.5, abs=0.05)
    assert set(steps) == set(range(5, 16))
    assert np.mean([widths == [4] for widths in hidden]) == pytest.approx(0.5, abs=0.05)
    assert abs(np.corrcoef(lr, l2)[0, 1]) < 0.1


def test_a_draw_keeps_its_bits():
    ranges = files.load("constant").config["search"]["mm_rex"]["ranges"]
    assert [*search_space.draw(ranges, 0, 7).items()] == [
        ("lr", 0.0003298), ("l2", 0.0005629), ("lambda_min", -100), ("anneal_steps", 219),
    ]  # fmt: skip


def test_the_trials_and_draws_of_a_search_are_no_tables():
    spawned = {child(0, trial).spawn_key for trial in range(10_000)}
    assert child(0, search_space.FIRST_TRIAL).spawn_key not in spawned
    assert search_space.FIRST_TRIAL + 10**6 < search_space.SETTINGS


def test_every_criterion_is_of_validation_data_alone():
    one = {"validation_risk": [0.2, 0.6], "validation_accuracy": [0.8, 0.4]}
    found = {name: measure(one) for name, measure in search_space.CRITERIA.items()}
    expected = {
        "risk": 0.4,
        "worst_risk": 0.6,
        "error": 0.4,
        "worst_error": 0.6,
        "risk_spread": 0.2,
        "extrapolated_risk": 0.4 + 17 * 0.2,
        "extrapolated_error": 0.4 + 17 * 0.2,
    }
    assert found == pytest.approx(expected)


TABLE_1 = ["erm", "erm_grey", "irmv1", "mm_rex", "v_rex", "meta_irm"]
SEARCHES = {
    "cmnist": TABLE_1,
    "constant": TABLE_1,
    "table2": [
        f"{case}-{name}"
        for case in ("five", "ten")
        for name in ("erm", "erm_grey", "irmv1", "meta_irm")
    ],
    "table3": [
        f"{case}-{name}" for case in ("n12500", "n6250") for name in ("irmv1", "v_rex", "meta_irm")
    ],
    "table5": ["no_std", "first_order", "same_env"],
    "dynamics_hold": ["meta_irm"],
    "dynamics_ramp": ["meta_irm"],
    "table6": [f"{case}-{a}" for case in ("noisy", "clean") for a in ("irmv1", "meta_irm")],
}


@pytest.mark.parametrize("name", files.available())
def test_shipped_searches_are_sound(name):
    study = files.load_study(name)
    if name not in SEARCHES:
        with pytest.raises(ValueError, match=rf"{name} has no \[search\..*\]; write one"):
            search_space.rows(study, study.algorithms, False, 1, 0)
        return
    rows = search_space.rows(study, study.algorithms, False, 10, 0)
    assert [row.name for row in rows] == SEARCHES[name]
    for row in rows:
        for values in row.drawn:
            changed = search_space.with_setting(row.experiment.config, row.algorithm, values)
            assert [*files.resolve(changed).algorithms] == [row.algorithm]


SOUND = "[search.erm]\ncriterion = 'risk'\n"
LR = "[search.erm.ranges]\nlr = "


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps=3", "--set steps=3 has no effect on erm, whose steps the search draws; leave it"),
        ("erm.lr=0.1", "--set erm.lr=0.1 has no effect on erm, whose lr the search draws; leave"),
        (
            "meta_irm.early_stopping={threshold=0.1, arm=0.2}",
            "whose early_stopping.threshold the search draws",
        ),
    ],
)
def test_setting_what_is_drawn_is_refused(tmp_path, monkeypatch, capsys, override, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(
        'base = "cmnist"\nname = "own"\n'
        "[search]\nerm.criterion = 'risk'\nmeta_irm.criterion = 'risk'\n"
        "erm.ranges.lr = { low = 0.1, high = 0.2 }\nerm.ranges.steps = { choices = [3] }\n"
        "meta_irm.ranges.'early_stopping.threshold' = { low = 0.001, high = 0.002 }\n"
    )
    line = ["search", "own.toml", "--budget", "1", "--algorithms"]
    for algorithms in ("erm,meta_irm", "meta_irm,erm"):
        assert main([*line, algorithms, "--set", override]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]


def test_setting_what_is_not_drawn_is_taken():
    study = files.load_study("cmnist", ["v_rex.steps=3"])
    (row,) = search_space.rows(study, ["v_rex"], True, 1, 0)
    search_space.check_overrides(row, ["v_rex.steps=3", "steps=3", "erm.lr=1", "n_per_env=10"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search.er.criterion = 'risk'", "unknown algorithm in [search] 'er'; did you mean 'erm'"),
        ("search.erm.ranges.lr.choices = [1]", "[search.erm] has no criterion; give one"),
        (SOUND, "[search.erm] has no ranges; give one"),
        (SOUND + "ranges = {}", "[search.erm] has no ranges; give one"),
        (SOUND + "criteria = 1", "search.erm has no key 'criteria'; did you mean 'criterion'"),
        (SOUND + "max_risk_spread = -1", "erm.max_risk_spread is -1; give a finite number >= 0"),
        (SOUND + "ranges = 3", "search.erm.ranges is 3; give a table"),
        ("search.erm.criterion = 'rsik'\n" + LR + "{ choices = [1] }", "did you mean 'risk'"),
        (SOUND + LR + "3", "search.erm.ranges.lr is 3; give a table"),
        (SOUND + LR + "{ low = 'a', high = 1 }", "search.erm.ranges.lr.low is 'a'; give a number"),
        (SOUND + LR + "{ low = 1 }", "lr in [search.erm.ranges] is {'low': 1}; give { low = 0, h"),
        (SOUND + LR + "{ low = 1, high = 2, choices = [1] }", "; give { low = 0, high = 1 } or {"),
        (SOUND + LR + "{ low = 2, high = 1 }", "high of lr in [search.erm.ranges] is 1; give a fi"),
        (SOUND + LR + "{ low = 0, high = 1, log = true }", "low of lr in [search.erm.ranges] is 0"),
        (SOUND + LR + "{ low = 0, high = 1, log = 1 }", "lr.log is 1; give True or False"),
        (SOUND + LR + "{ low = 0, high = 1, lg = true }", "lr has no key 'lg'; did you mean"),
        (SOUND + LR + "{ choices = [] }", "search.erm.ranges.lr.choices is []; give a list"),
        (SOUND + LR + "{ choices = [-1] }", "algorithm 'erm': lr is -1; give a finite number"),
        (
            SOUND + "ranges.rl.choices = [1]",
            "[search.erm.ranges] knows no key 'erm.rl'; did you mean 'erm.lr'",
        ),
        (
            SOUND + "ranges.'early_stopping.arm'.choices = [1]",
            "[search.erm.ranges] knows no key 'erm.early_stopping.arm'",
        ),
        (
            "rows = ['erm', 'v_rex']",
            "own has no [search.erm] or [search.v_rex]; write one into a copy of its file",
        ),
    ],
)
def test_a_wrong_search_is_one_sentence(tmp_path, monkeypatch, capsys, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(f'base = "cmnist"\nname = "own"\n{text}')
    assert main(["search", "own.toml", "--budget", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]
