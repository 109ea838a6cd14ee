"""Trials beside the committed ones: files, statistics, verdicts, and how often these err."""

import csv
import json
import re
import subprocess
import sys

import convergence_rates
import numpy as np
import pytest
import small_sweeps
from scipy import stats

from metairm_np import _storage
from metairm_np.cli import main as run
from metairm_np.conformance.__main__ import main
from metairm_np.conformance.trainings import comparison, results
from metairm_np.conformance.trainings.comparison import AGREES, DIFFERS, TOO_FEW, compare
from metairm_np.conformance.trainings.convergence import check_results
from metairm_np.experiments._inherit import read as read_toml

HEAD = ["algorithm", "trial", "p_e", "accuracy"]


def committed(name="table1"):
    return results.committed(name).accuracies


def rows_of(accuracies, shift=0.0, scale=0.01):
    return [
        [algorithm, trial, p_e, scale * (value + shift)]
        for (algorithm, p_e), trials in accuracies.items()
        for trial, value in trials.items()
    ]


@pytest.fixture
def write(tmp_path):
    """Return what writes rows as CSV and returns the path."""

    def written(rows, head=HEAD, name="mine.csv"):
        with open(tmp_path / name, "w", newline="") as file:
            csv.writer(file).writerows([head, *rows])
        return tmp_path / name

    return written


def only(algorithm, *places, name="table1"):
    found = committed(name)
    return {key: found[key] for key in found if key[0] == algorithm and key[1] in places}


# ---- files ---------------------------------------------------------------------------------------


def test_csv_and_json_fractions_and_per_cent_are_the_same(write, tmp_path):
    wanted = only("erm", "0.1", "0.9")
    fractions = write(rows_of(wanted))
    per_cent = write(rows_of(wanted, scale=1), name="per_cent.csv")
    as_json = tmp_path / "mine.json"
    as_json.write_text(json.dumps([dict(zip(HEAD, row)) for row in rows_of(wanted)]))
    for path in (fractions, per_cent, as_json):
        found = results.read(path).accuracies
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert found[key] == pytest.approx(wanted[key], abs=1e-9)


def test_a_run_folder_and_its_files_say_the_same(tmp_path):
    options = [*small_sweeps.OPTIONS, "--set", "steps=3", "--trials", "3"]
    wanted = ["--algorithms", "erm,v_rex", "--out", str(tmp_path / "runs")]
    assert run(["cmnist", *options, *wanted]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    found = results.read(folder).accuracies
    assert found.keys() == {("erm", "0.9"), ("v_rex", "0.9")}
    assert [*found["erm", "0.9"]] == [0, 1, 2]
    for name in results.FILES:
        assert results.read(folder / name).accuracies == found
    (folder / "results.json").unlink()
    assert results.read(folder).accuracies == found
    assert check_results(folder, str(folder)).verdict in (AGREES, TOO_FEW)


@pytest.mark.parametrize("name", ["table1", "cmnist", "figure3", "table2", "table6", "figure4"])
def test_committed_results_have_their_names(name):
    found = committed(name)
    trials = {6, 10} if name == "figure4" else {10}  # six of IRMv1 with a gap
    assert {len(accuracies) for accuracies in found.values()} == trials
    assert all(0 <= value <= 100 for group in found.values() for value in group.values())


def test_cases_are_a_column_or_part_of_the_algorithms_name(write):
    whole = only("five-erm", "0.9", name="table2")
    split = [["five", *row] for row in rows_of(whole)]
    for row in split:
        row[1] = "erm"
    for path in (write(rows_of(whole)), write(split, ["case", *HEAD], "split.csv")):
        (row,) = check_results(path, "table2").rows
        assert (row.algorithm, row.p_e, row.verdict) == ("five-erm", "0.9", AGREES)


def test_trials_that_diverged_are_left_out_and_said_to_be(write, capsys):
    rows = [[*row, "completed"] for row in rows_of(only("erm", "0.9"))]
    path = write([*rows, ["erm", 10, 0.9, "", "diverged"]], [*HEAD, "status"])
    assert main(["convergence", str(path), "--against", "table1"]) == 0
    assert "left out of yours: erm, trial 10: diverged" in capsys.readouterr().out


def test_the_wheel_carries_the_committed_results():
    package_data = read_toml(convergence_rates.__file__.replace(
        "tools/convergence_rates.py", "pyproject.toml"
    ))["tool"]["setuptools"]["package-data"]  # fmt: skip
    assert "results/*/results.json" in package_data["metairm_np.bundled.experiments"]


GOOD = [["erm", 0, 0.9, 0.15], ["erm", 1, 0.9, 0.16]]


@pytest.mark.parametrize(
    "rows, head, said",
    [
        ([["ermm", 0, 0.9, 0.15]], HEAD, "algorithm 'ermm'.*did you mean 'erm'"),
        ([["erm", 0, 0.95, 0.15]], HEAD, "erm at p_e = 0.95.*known: 0.1, 0.2"),
        (GOOD, ["algorithm", "trial", "pe", "accuracy"], "no column 'p_e'; did you mean 'pe'"),
        (GOOD, ["algorithm", "trial", "p_e", "score"], "no column 'accuracy'"),
        ([*GOOD, ["erm", 2, 0.9, "nan"]], HEAD, "line 4 has the accuracy 'nan'"),
        ([*GOOD, ["erm", 2, 0.9, ""]], HEAD, "line 4 has no accuracy"),
        ([*GOOD, ["erm", 2, 0.9, -0.1]], HEAD, "line 4 has the accuracy '-0.1'"),
        ([*GOOD, ["erm", 2, 0.9, 101]], HEAD, "line 4 has the accuracy '101'"),
        ([*GOOD, ["erm", 2, 0.9, "high"]], HEAD, "line 4 has the accuracy 'high'"),
        ([*GOOD, ["erm", 2, 0.9, 16]], HEAD, "0.15, .*line 4 16, which cannot both"),
        ([*GOOD, ["erm", 1, "0.90", 0.2]], HEAD, "line 4 has erm, trial 1, p_e 0.9 for the second"),
        ([*GOOD, ["erm", 1.5, 0.9, 0.2]], HEAD, "line 4 has the trial '1.5'"),
        ([*GOOD, ["erm", "", 0.9, 0.2]], HEAD, "line 4 has the trial ''"),
        ([*GOOD, ["erm", 2, 0.9]], HEAD, "line 4 has 3 fields under a heading of 4"),
        ([], HEAD, "has no accuracies"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(write, capsys, rows, head, said):
    assert main(["convergence", str(write(rows, head)), "--against", "table1"]) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.startswith("error: ") and told.err.count("\n") == 1
    assert re.search(said, told.err)


@pytest.mark.parametrize(
    "content, name, said",
    [
        ("", "mine.csv", "is empty"),
        (" \n", "mine.json", "is empty"),
        ("{", "mine.json", "is no JSON"),
        ('{"rows": 3}', "mine.json", "no list of rows"),
        ("[3]", "mine.json", "no list of rows"),
        ('[{"algorithm": "erm", "trial": 0, "p_e": 0.9}]', "mine.json", "no column 'accuracy'"),
        (
            '[{"algorithm": "erm", "trial": true, "p_e": 0.9, "accuracy": 1}]',
            "mine.json",
            "the trial True",
        ),
        (
            '[{"algorithm": "erm", "trial": 0, "p_e": 0.9, "accuracy": NaN}]',
            "mine.json",
            "the accuracy nan",
        ),
        ('algorithm,trial,p_e,accuracy\n"erm', "mine.csv", "line 2 is no CSV"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, capsys, content, name, said):
    (tmp_path / name).write_text(content)
    assert main(["convergence", str(tmp_path / name), "--against", "table1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and said in told


@pytest.mark.parametrize(
    "options, said",
    [
        (["nowhere.csv", "--against", "table1"], "there is no file nowhere.csv"),
        (["mine.csv", "--against", "tabel1"], "did you mean 'table1'"),
        (["mine.csv", "--against", "constant"], "no committed results of 'constant'"),
        (["mine.csv", "--against", "runs/nowhere"], "there is no file runs/nowhere"),
        (["mine.csv", "--against", "."], "neither results.json nor results.csv"),
        (["mine.csv", "--against", "table1", "--margin", "0"], "margin is 0"),
        (["mine.csv", "--against", "table1", "--margin", "-1"], "margin is -1"),
        (["mine.csv", "--against", "table1", "--margin", "nan"], "margin is nan"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(write, monkeypatch, capsys, options, said):
    monkeypatch.chdir(write(GOOD).parent)
    assert main(["convergence", *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and said in told


def test_a_folder_does_not_hide_the_committed_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1").mkdir()
    assert results.reference("table1").accuracies == committed()
    with pytest.raises(ValueError, match="neither results.json nor"):
        results.reference("./table1")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        results.read(tmp_path / "mine.csv")


# ---- what is printed -----------------------------------------------------------------------------


def test_exit_status_says_the_worst_verdict(write, tmp_path, capsys):
    report = tmp_path / "report.json"
    for wanted, status, shift, verdict in [
        (only("erm", "0.1", "0.9"), 0, 0, AGREES),
        (only("erm", "0.1", "0.9"), 1, 4, DIFFERS),
        (only("meta_irm_constant", "0.1"), 3, 0, TOO_FEW),
        ({**only("erm", "0.1"), **only("meta_irm_constant", "0.1")}, 3, 0, TOO_FEW),
        ({**only("erm", "0.1"), **only("meta_irm_constant", "0.1")}, 1, 4, DIFFERS),
    ]:
        options = ["--against", "table1", "--json", str(report)]
        assert main(["convergence", str(write(rows_of(wanted, shift))), *options]) == status
        found = _storage.read_json(report)
        assert found["verdict"] == verdict and len(found["rows"]) == len(wanted)
        told = capsys.readouterr().out
        assert verdict in told and "Not compared, as only the reference has it: " in told


def test_a_wider_margin_needs_fewer_trials(write):
    path = write(rows_of(only("meta_irm_constant", "0.1")))
    few, enough = (check_results(path, "table1", margin) for margin in (1.5, 4))
    assert few.rows[0].verdict == TOO_FEW and few.rows[0].needed > 10
    assert "each)" in few.text() and "as they are" in few.text()
    assert enough.rows[0].verdict == AGREES and enough.rows[0].needed is None


def test_other_distributions_with_equal_means_are_named():
    rng = np.random.default_rng(0)
    wide = np.where(rng.random(60) < 0.5, 69.5, 70.5)
    narrow = 70 + 0.01 * rng.standard_normal(60)
    key = ("meta_irm", "0.9")
    found = check_results_of({key: wide}, {key: narrow})
    assert found.rows[0].verdict == AGREES
    assert found.otherwise_distributed == ["meta_irm at 0.9"]
    assert "the distributions differ" in found.text()


def check_results_of(theirs, ours):
    from metairm_np.conformance.trainings.convergence import Convergence

    sides = [
        results.Results(name, {key: dict(enumerate(values)) for key, values in some.items()}, [])
        for name, some in (("theirs", theirs), ("ours", ours))
    ]
    return Convergence(*sides, 1.5, compare(theirs, ours))


# ---- statistics ----------------------------------------------------------------------------------

KEY = ("erm", "0.9")


def one(theirs, ours, margin=1.5):
    (row,) = compare({KEY: theirs}, {KEY: ours}, margin)
    return row


def test_the_numbers_are_scipys():
    rng = np.random.default_rng(1)
    a, b = 70 + rng.standard_normal(7), 70.5 + 2 * rng.standard_normal(12)
    row = one(a, b)
    tests = [stats.ttest_ind(a, b, equal_var=equal) for equal in (False, True)]
    assert row.p_equal == pytest.approx(max(test.pvalue for test in tests))
    interval = tests[0].confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
    apart = [
        max(
            stats.ttest_ind(a + 1.5, b, equal_var=equal, alternative="greater").pvalue,
            stats.ttest_ind(a - 1.5, b, equal_var=equal, alternative="less").pvalue,
        )
        for equal in (False, True)
    ]
    assert row.p_apart == pytest.approx(max(apart))
    ks = stats.ks_2samp(a, b)
    assert (row.ks, row.p_ks) == (ks.statistic, ks.pvalue)
    assert row.spread == a.std() and row.difference == pytest.approx(a.mean() - b.mean())


def test_sides_may_be_exchanged():
    rng = np.random.default_rng(2)
    a, b = 70 + rng.standard_normal(8), 71 + rng.standard_normal(8)
    row, other = one(a, b), one(b, a)
    assert (row.difference, row.low) == pytest.approx((-other.difference, -other.high))
    assert (row.p_equal, row.p_apart) == pytest.approx((other.p_equal, other.p_apart))


@pytest.mark.parametrize(
    "gap, verdict", [(0, AGREES), (1.25, AGREES), (1.5, DIFFERS), (3, DIFFERS)]
)
def test_trials_that_do_not_vary(gap, verdict):
    assert one(np.full(4, 50.0 + gap), np.full(4, 50.0)).verdict == verdict


def test_one_or_two_trials_are_too_few_whatever_they_are():
    ours = [70, 71, 69, 70.5]
    for theirs in ([10], [10, 11]):
        row = one(theirs, ours)
        assert row.verdict == TOO_FEW and row.needed >= comparison.LEAST
    unknown = one([10], [70])
    assert unknown.needed is None and np.isnan(unknown.low)
    assert "(3 or more)" in check_results_of({KEY: [10]}, {KEY: [70]}).text()


def test_holm_by_hand():
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert comparison.holm([0.04]) == [True] and comparison.holm([]) == []
    assert comparison.holm([np.nan, 0.001]) == [False, True]


def test_so_many_trials_are_needed_and_enough():
    """Of as many trials as are said to be needed four fifths agree; of half as many, few do."""
    rng, spread = np.random.default_rng(3), 2.0
    row = one(70 + spread * standard(rng, 10), 70 + spread * standard(rng, 10))
    assert row.verdict == TOO_FEW and row.needed_of == "both"
    shares = []
    for n in (row.needed, row.needed // 2):
        pairs = 70 + spread * rng.standard_normal((200, 2, n))
        shares.append(np.mean([one(a, b).verdict == AGREES for a, b in pairs]))
    assert shares[0] > 0.72 and shares[1] < 0.5


def standard(rng, n):
    """Return numbers with mean 0 and sample standard deviation 1."""
    found = rng.standard_normal(n)
    return (found - found.mean()) / found.std(ddof=1)


def test_more_of_theirs_is_enough_where_ours_vary_little():
    rng = np.random.default_rng(4)
    row = one(70 + 2 * standard(rng, 4), 70 + 0.3 * standard(rng, 10))
    assert row.verdict == TOO_FEW and row.needed_of == "one" and 5 < row.needed < 40


# ---- how often the verdicts err ------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """Return what is found of files whose truth is known, by trials, reference's trials, shift."""
    truths = [(3, 10, 0), (10, 10, 0), (10, 10, 6), (60, 60, 1.5), (60, 60, 0)]
    return {
        truth: convergence_rates.verdicts(
            convergence_rates.Truth(truth[0], truth[1], shift=truth[2]), files=60
        )
        for truth in truths
    }


def changed(files):
    return [row for rows in files for row in rows if row.algorithm == convergence_rates.CHANGED]


def test_of_equal_trials_few_files_have_a_false_alarm(found):
    for truth in ((3, 10, 0), (10, 10, 0), (60, 60, 0)):
        assert convergence_rates.any_differs(found[truth]) <= 0.1, truth  # of 60: 5 % are 3


def test_without_the_correction_there_would_be_many(found):
    alarms = [
        any(row.p_equal <= 0.05 and row.p_apart > 0.05 for row in rows) for rows in found[10, 10, 0]
    ]
    assert np.mean(alarms) > 0.2


def test_what_differs_is_found(found):
    assert convergence_rates.share(changed(found[10, 10, 6]), DIFFERS) > 0.9
    assert convergence_rates.any_differs(found[60, 60, 1.5]) > 0.9


def test_what_is_as_far_apart_as_the_margin_seldom_agrees(found):
    assert convergence_rates.share(changed(found[60, 60, 1.5]), AGREES) <= 0.1  # 5 % by design


def test_equal_trials_agree_if_there_are_enough(found):
    assert convergence_rates.share(changed(found[60, 60, 0]), AGREES) > 0.85
    wide = [
        row for rows in found[10, 10, 0] for row in rows if row.algorithm == "meta_irm_constant"
    ]
    assert convergence_rates.share(wide, TOO_FEW) > 0.85


def test_scipys_statistics_are_imported_only_when_used():
    code = (
        "import metairm_np, metairm_np.conformance.__main__, sys; metairm_np.fast; metairm_np.train"
    )
    code += "; print('scipy.stats' in sys.modules, 'metairm_np.experiments' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
