"""Tables and figures from records whose numbers are known."""

import csv
import io

import numpy as np
import pytest
from small_sweeps import OPTIONS

from metairm_np.cli import main
from metairm_np.experiments import files
from metairm_np.reports import figures, tables
from metairm_np.reports.page import page
from metairm_np.reports.panels import Results

STUDY = files.load_study("cmnist", ["p_e=[0.9]"])  # the table's 0.1 and 0.2 come on top
EXPERIMENT = STUDY.cases[""]


def record(algorithm, trial, accuracy, status="completed"):
    test = {"0.1": accuracy, "0.2": accuracy / 2, "0.9": accuracy / 4}
    return {
        "name": f"{algorithm}-{trial:03d}",
        "algorithm": algorithm,
        "case": "",
        "setting": None,
        "trial": trial,
        "status": status,
        "message": "completed 3 steps",
        "step": 3,
        "seconds": 2.0,
        "test_accuracy": test,
        "audit": {"checks": 2, "repeated": 0, "largest": 1e-15 * (1 + trial), "limit": 1e-8},
    }


RECORDS = [
    record("erm", 0, 0.8),
    record("erm", 1, 0.6),
    record("erm", 2, 0.1, "diverged"),
    record("meta_irm", 0, 0.64),
]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_has_mean_population_spread_and_the_papers_figures():
    lines = tables.table(EXPERIMENT, RECORDS).splitlines()
    head, _, erm, meta_irm, *_, bound = map(cells, lines)
    columns = ["p_e = 0.1", "paper", "p_e = 0.2", "paper", "p_e = 0.9", "paper"]
    assert head == ["algorithm", "trials", *columns]
    assert set(lines[1]) == set("|-:")
    paper = ["88.6 ± 0.3", "79.7 ± 0.6", "16.4 ± 0.8"]
    # the diverged trial is left out, and not counted
    ours = ["70.0 ± 10.0", "35.0 ± 5.0", "17.5 ± 2.5"]
    assert erm == ["ERM", "2", *(cell for pair in zip(ours, paper) for cell in pair)]
    assert meta_irm[:3] == ["meta-IRM", "1", "64.0"]  # one trial has no spread
    assert bound == ["optimal invariant model", "", "", "75.0", "", "75.0", "", "75.0"]
    assert len({len(line) for line in lines}) == 1


def test_columns_that_the_paper_does_not_have():
    (experiment,) = files.load_study("cmnist", ["p_e=[0.5]", 'table=[0.5, "train"]']).cases.values()
    ours = {"test_accuracy": {"0.5": 0.75}, "train_accuracy": [0.6, 0.8]}
    head, (erm, *_, bound) = tables.table_rows(experiment, [record("erm", 0, 0.1) | ours])
    assert head == ["algorithm", "trials", "p_e = 0.5", "train"]
    assert erm == ["ERM", "1", "75.0", "70.0"]
    assert bound == ["optimal invariant model", "", "75.0", "75.0"]


def test_audit_line_counts_and_names_what_failed():
    line = tables.audit_line(RECORDS)
    assert line == "audited against autograd: 8 checks, largest difference 3e-15"
    failed = record("v_rex", 4, 0.9, "failed audit")
    failed["audit"]["largest"] = None  # as JSON has what is not finite
    line = tables.audit_line([*RECORDS, failed])
    assert line.endswith(": 10 checks, largest difference nan; FAILED and left out: v_rex-004")
    assert tables.usable([failed]) == []


def test_the_report_says_what_the_logits_read_where_a_record_does():
    seen = [
        {"digits": 0.7, "effect": 0.5, "spread": 1.0},
        {"digits": 0.72, "effect": 0, "spread": 1},
    ]
    some = [one | {"reading": reading} for one, reading in zip(RECORDS, seen)]
    rest = RECORDS[2:]
    head, rows = tables.reading_rows(EXPERIMENT, [*some, *rest])
    assert head == ["algorithm", "digits", "effect of the colour", "its spread over images"]
    assert rows == [["ERM", "71.0 ± 1.0", "0.25 ± 0.25", "1.00 ± 0.00"]]
    text = tables.report(STUDY, [*some, *rest], "float32", {}, "a command")
    assert text.index("audited") < text.index("## What the logits read") < text.index("## Trials")
    assert "What the logits read" not in tables.report(STUDY, RECORDS, "float32", {}, "a command")


def test_audit_line_tells_what_rounding_explained():
    some = record("mm_rex", 5, 0.9)  # the other records are those of an older release
    some["audit"] |= {"rounding": 2, "largest_rounding": 0.0026}
    none = record("mm_rex", 0, 0.9)
    none["audit"] |= {"rounding": 0, "largest_rounding": 0.0}
    line = tables.audit_line([*RECORDS, none, some])
    assert line == (
        "audited against autograd: 12 checks, largest difference 6e-15, "
        "and up to 3e-03 in 2 that rounding explains"
    )
    assert "rounding" not in tables.audit_line([*RECORDS, none])


def test_csv_has_every_trial_the_diverged_too():
    rows = list(csv.DictReader(io.StringIO(tables.results_csv(RECORDS))))
    assert len(rows) == 4 * 3
    assert [row["status"] for row in rows if row["trial"] == "2"] == ["diverged"] * 3
    assert ",".join(rows[0]) == "case,algorithm,trial,status,step,seconds,p_e,test_accuracy"
    assert ",".join(rows[0].values()) == ",erm,0,completed,3,2.0,0.1,0.8"


@pytest.mark.parametrize("figure", ["accuracy", "accuracy_over_cases"])
def test_figure_is_the_same_bytes_each_time_and_skips_what_has_no_number(figure):
    def render(records):
        return figures.render(figures.make(figure, Results(STUDY, records))[0])

    one = render(RECORDS)
    assert one == render(RECORDS)
    assert one["png"].startswith(b"\x89PNG")
    assert b"<svg" in one["svg"]
    few = [record("erm", 0, 0.1, "diverged"), record("meta_irm", 0, 0.5)]
    assert render(few)["png"] != one["png"]


def test_mean_of_none_and_of_one():
    assert tables.mean_and_spread(np.array([])) == "-"
    assert tables.mean_and_spread(np.array([12.34])) == "12.3"


def test_labels_with_markup_are_shown_as_they_are():
    for text in ("ERM (greyscale)", "p_e = 0.1", "[390, 390]", r"$\alpha$", "1 < 2", "a & b"):
        assert tables.plain(text) == text
    escaped = {
        "*a* `b` ~~c~~": r"\*a\* \`b\` \~\~c\~\~",
        "_a_ b_c __init__": r"\_a\_ b_c \_\_init\_\_",
        "<b>x</b> <!--": r"\<b>x\</b> \<!--",
        "[a](b) &lt;": r"[a]\(b) \&lt;",
        r"\* \d": r"\\\* \d",
    }
    assert {text: tables.plain(text) for text in escaped} == escaped


def test_a_report_escapes_what_its_file_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(
        'base = "cmnist"\nname = "own"\ntitle = "<i>Mine</i>"\nrows = ["erm"]\n'
        'algorithms.erm.label = "a|b *c*"\n[cases.one]\ntitle = "`x`"\n'
    )
    assert main(["own.toml", *OPTIONS]) == 0
    (path,) = (tmp_path / "runs").iterdir()
    text = (path / "report.md").read_text()
    assert text.startswith("# \\<i>Mine\\</i>\n\n\\<i>Mine\\</i>, ")
    assert "### \\`x\\`" in text
    assert "\n| a\\|b \\*c\\* " in text
    html = page([path]).html
    assert "&lt;i&gt;Mine&lt;/i&gt;" in html
    assert ">a|b *c*</td>" in html
