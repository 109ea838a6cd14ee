"""Environments from files: what is read, how it is split, scaled and labelled, and refusals."""

import hashlib

import numpy as np
import pytest
from own_files import COLUMNS, SHARES, lab, write_csv, write_labs

from metairm_np.environments import from_files

FILES = {"train": ["lab_a.csv", "lab_b.csv"], "test": ["lab_c.csv"]}


@pytest.fixture
def labs(tmp_path, monkeypatch):
    """Work in a folder with the three labs."""
    monkeypatch.chdir(tmp_path)
    write_labs(tmp_path)
    return tmp_path


def raw(**options):
    """Return a trial of the labs as they are."""
    return from_files(0, **{**FILES, "validation": 0, "standardise": False, **options})


def rows(*envs):
    """Return the samples and labels of environments, sorted."""
    return sorted((*x, int(y)) for env in envs for x, y in zip(env.x, env.y))


# ---- what is read --------------------------------------------------------------------------------


def test_samples_and_labels_are_those_of_the_file(labs):
    trial = raw()
    x, y = lab("lab_a")
    assert rows(trial.train[0]) == sorted((*row, int(label == "yes")) for row, label in zip(x, y))
    test = trial.test("lab_c")
    x, y = lab("lab_c")
    np.testing.assert_array_equal(test.x, x)  # in the file's order
    np.testing.assert_array_equal(np.array(trial.classes)[test.y], y)
    assert [env.name for env in trial.train] == ["train lab_a", "train lab_b"]
    assert (test.name, trial.n_classes, trial.n_envs) == ("test lab_c", 2, 2)


def test_the_sha256_of_the_files_are_known_and_make_the_checksum(labs):
    trial = raw()
    found = {f"{name}.csv": hashlib.sha256((labs / f"{name}.csv").read_bytes()) for name in SHARES}
    assert trial.sources == {name: digest.hexdigest() for name, digest in found.items()}
    before = trial.checksum
    (labs / "lab_c.csv").write_text((labs / "lab_c.csv").read_text() + "1,2,3,no\n")
    assert raw().checksum != before
    assert len(raw().test("lab_c")) == 61


@pytest.mark.parametrize("kind", ["one column each", "one array"])
def test_npz_is_read_as_csv_is(labs, kind):
    for name in SHARES:
        x, y = lab(name)
        arrays = {"x": x} if kind == "one array" else dict(zip(COLUMNS, x.T))
        np.savez(labs / f"{name}.npz", y=y, **arrays)
    packed = raw(train=["lab_a.npz", "lab_b.npz"], test=["lab_c.npz"])
    for one, other in zip([*raw().train, raw().test("lab_c")], packed.train):
        assert rows(one) == rows(other)
    assert packed.classes == ["no", "yes"]


def test_one_file_with_a_column_of_environments_is_the_same(labs):
    parts = {name: lab(name) for name in SHARES}
    x, y = (np.concatenate(some) for some in zip(*parts.values()))
    write_csv(labs / "all.csv", x, y, lab=np.repeat(list(SHARES), 60))
    one = raw(data="all.csv", environment="lab", train=["lab_a", "lab_b"], test={"C": "lab_c"})
    assert list(map(rows, one.train)) == list(map(rows, raw().train))
    assert rows(one.test("C")) == rows(raw().test("lab_c"))
    assert list(one.sources) == ["all.csv"]
    np.savez("all.npz", x=x, y=y, year=np.repeat([2001, 2002, 2003], 60))  # names that are numbers
    options = {"data": "all.npz", "environment": "year", "train": [2001, 2002], "test": [2003]}
    assert list(map(rows, raw(**options).train)) == list(map(rows, raw().train))


def test_environments_may_have_other_names_and_columns_another_order(labs):
    x, y = lab("lab_b")
    write_csv(labs / "other.csv", x[:, ::-1], y, COLUMNS[::-1])
    trial = raw(train={"A": "lab_a.csv", "B": "other.csv"})
    assert [env.name for env in trial.train] == ["train A", "train B"]
    assert rows(trial.train[1]) == rows(raw().train[1])


def test_features_and_ignore_choose_the_inputs(labs):
    for name in SHARES:
        x, y = lab(name)
        write_csv(labs / f"{name}.csv", x, y, id=[f"sample {i}" for i in range(60)])
    assert raw(ignore=["id"]).train[0].shape == (60, 3)
    few = raw(features=["colour", "size"]).test("lab_c")
    np.testing.assert_array_equal(few.x, lab("lab_c")[0][:, [2, 0]])


def test_what_spreadsheets_write_is_read(labs):
    text = '\ufeffsize, weight,colour,y\r\n1, 2,3,no\r\n\r\n4,5e0,"6",yes\r\n'
    (labs / "a.csv").write_bytes(text.encode())
    (labs / "b.tsv").write_text("size\tweight\tcolour\ty\n7\t8\t9\tyes\n")
    trial = raw(train=["a.csv", "b.tsv"])
    assert rows(trial.train[0]) == [(1, 2, 3, 0), (4, 5, 6, 1)]
    assert rows(trial.train[1]) == [(7, 8, 9, 1)]


# ---- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("zebra", "ant", "Bee"), ["Bee", "ant", "zebra"]),
        (("10", "9", "-1"), ["-1", "9", "10"]),  # in the order of the numbers
        (("0.5", "1.0", "2"), ["0.5", "1", "2"]),
        (("yes", "1", "0"), ["0", "1", "yes"]),
        (("été", "汉", "x,y"), ["x,y", "été", "汉"]),
    ],
)
def test_labels_of_any_kind_are_classes_that_keep_their_names(labs, labels, classes):
    write_labs(labs, labels=labels)
    trial = raw()
    assert (trial.classes, trial.n_classes) == (classes, 3)
    expected = [classes.index({"1.0": "1"}.get(y, y)) for y in lab("lab_c", labels=labels)[1]]
    assert trial.test("lab_c").y.tolist() == expected


@pytest.mark.parametrize("kind", [int, float, bool, bytes])
def test_labels_in_npz_have_types(labs, kind):
    for name in SHARES:
        x, y = lab(name)
        np.savez(f"{name}.npz", x=x, y=(y == "yes").astype(int).astype(kind))
    trial = raw(train=["lab_a.npz", "lab_b.npz"], test=["lab_c.npz"])
    assert trial.classes == (["False", "True"] if kind is bool else ["0", "1"])
    np.testing.assert_array_equal(trial.test("lab_c").y, lab("lab_c")[1] == "yes")


# ---- splitting and scaling -----------------------------------------------------------------------


def test_the_seed_decides_what_is_held_out_and_nothing_else(labs):
    one, same, other = (
        from_files(s, **FILES, validation=0.25, standardise=False) for s in (1, 1, 2)
    )
    for e in range(2):
        assert (len(one.train[e]), len(one.validation[e])) == (45, 15)
        assert rows(one.train[e], one.validation[e]) == rows(raw().train[e])
        np.testing.assert_array_equal(one.train[e].x, same.train[e].x)
        assert rows(one.validation[e]) != rows(other.validation[e])
    assert rows(one.test("lab_c")) == rows(other.test("lab_c"))


def test_inputs_are_standardised_by_the_training_samples_alone(labs):
    plain, scaled = (from_files(3, **FILES, standardise=switch) for switch in (False, True))
    x = np.concatenate([env.x for env in plain.train])  # without what is held out
    for what in ("train", "validation"):
        for one, other in zip(getattr(plain, what), getattr(scaled, what)):
            np.testing.assert_allclose(other.x, (one.x - x.mean(0)) / x.std(0), atol=1e-12)
    test = (lab("lab_c")[0] - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(scaled.test("lab_c").x, test, atol=1e-12)


def test_a_constant_column_is_no_division_by_zero(labs):
    for name in SHARES:
        x, y = lab(name)
        x[:, 1] = 0.1 if name != "lab_c" else 0.3
        write_csv(labs / f"{name}.csv", x, y)
    trial = from_files(0, **FILES)
    assert all(np.abs(env.x[:, 1]).max() < 1e-12 for env in trial.train)
    np.testing.assert_allclose(trial.test("lab_c").x[:, 1], 0.2)


def test_float32_is_rounded_after_scaling(labs):
    single, double = (from_files(0, **FILES, dtype=dtype) for dtype in ("float32", "float64"))
    assert single.train[0].dtype == np.float32
    np.testing.assert_array_equal(single.train[0].x, double.train[0].x.astype(np.float32))


# ---- refusals ------------------------------------------------------------------------------------

ROW = "1,2,3,no\n"
HEAD = "size,weight,colour,y\n"
BAD_CSV = [  # the text of lab_b.csv, and what is said of it
    ("", "lab_b.csv is empty; give a file with samples"),
    (HEAD, "lab_b.csv has columns and no samples"),
    ("size,weight,colour,label\n" + ROW, "lab_b.csv has no column 'y'; "),
    ("size,colour,y\n1,2,no\n", "lab_b.csv has no column 'weight', which lab_a.csv has; add it"),
    ("size,weight,colour,age,y\n1,2,3,4,no\n", "lab_a.csv has no column 'age', which lab_b.csv"),
    ("a,b,y\n1,2,no\n", "lab_a.csv and lab_b.csv have no column in common beside 'y'"),
    (HEAD + ROW + "1,tall,3,no\n", "has 'tall' in column 'weight', line 3, which is no number"),
    (
        HEAD + ROW + "1,,3,no\n" + "nan,2,NA,yes\n",
        "lab_b.csv has values that are missing, NaN or infinite, 3 in all, the first in column "
        "'weight', line 3; fill them in",
    ),
    (
        HEAD + "inf,2,3,no\n",
        "has values that are missing, NaN or infinite, 1 in all, the first in column",
    ),
    (HEAD + ROW + "1,2,3,\n", "lab_b.csv has no 'y' in 1 of 2 samples, the first in line 3"),
    (HEAD + ROW + "1,2,no\n", "lab_b.csv has 3 values in line 3, its head 4; correct that line"),
    (HEAD.replace(",", ";") + "1;2;3;no\n", "lab_b.csv has one column, 'size;weight;colour;y'"),
    ("," + HEAD + "0," + ROW, "lab_b.csv has no name for column 1"),
    ("size," + HEAD + "0," + ROW, "lab_b.csv has two columns 'size'"),
    ("y\nno\n", "lab_b.csv has no columns beside y; add some inputs"),
    (HEAD + '1,2,"3,no\n', "lab_b.csv is no CSV from line 2 on"),
    (b"\xff\xfea\x00", "lab_b.csv is not UTF-8"),
]


def refusal(**options):
    """Return what is said of options that cannot be used, one sentence."""
    with pytest.raises((ValueError, TypeError, FileNotFoundError)) as error:
        from_files(0, **{**FILES, **options})
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("text", "message"), BAD_CSV)
def test_a_file_that_cannot_be_used_is_one_sentence(labs, text, message):
    (labs / "lab_b.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refusal()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((2, 2))}, "lab_a.npz has no column 'y'"),
        ({"x": np.ones((3, 2)), "y": [0, 1]}, "has 'x' of shape (3, 2) for 2 samples"),
        ({"x": np.ones((2, 2, 2)), "y": [0, 1]}, "has 'x' of shape (2, 2, 2) for 2 samples"),
        ({"x": np.ones((2, 2)), "y": np.eye(2)}, "has 'y' of shape (2, 2) and type float64"),
        ({"x": [["a"], ["b"]], "y": [0, 1]}, "has 'a' in column 'x', row 0, which is no number"),
        (
            {"x": [1.0, np.nan], "y": [0, 1]},
            "NaN or infinite, 1 in all, the first in column 'x', row 1",
        ),
        ({"x": [1.0, 2.0], "y": [0, np.nan]}, "no 'y' in 1 of 2 samples, the first in row 1"),
        ({"x": np.array([1, None]), "y": [0, 1]}, "has 'x' as Python objects, which are not read"),
        ({"x": np.ones((0, 2)), "y": []}, "lab_a.npz has columns and no samples"),
    ],
)
def test_an_npz_that_cannot_be_used_is_one_sentence(labs, arrays, message):
    np.savez("lab_a.npz", **arrays)
    assert message in refusal(train=["lab_a.npz"])


def test_a_file_that_is_no_npz_is_one_sentence(labs):
    for content in (b"PK\x03\x04 and no more", b"text", b"\x93NUMPY"):
        (labs / "lab_a.npz").write_bytes(content)
        assert "lab_a.npz is no npz file" in refusal(train=["lab_a.npz"])


def labelled(*labels):
    """Return the text of a CSV file with these labels."""
    return HEAD + "".join(f"{i},2,3,{label}\n" for i, label in enumerate(labels))


@pytest.mark.parametrize(
    ("a", "c", "message"),
    [
        (
            ("no", "no"),
            ("no", "no", "no"),
            "all 3 samples of the training environments have the y 'no'",
        ),
        (("no", "yes"), ("maybe", "maybe"), "'lab_c' has the y 'maybe' in 2 samples, which no"),
        (range(40), range(3), "y has 41 different values in 41 samples; give class labels"),
    ],
)
def test_labels_that_cannot_be_learnt_are_one_sentence(labs, a, c, message):
    (labs / "lab_a.csv").write_text(labelled(*a))
    (labs / "lab_b.csv").write_text(labelled("no"))
    (labs / "lab_c.csv").write_text(labelled(*c))
    assert message in refusal(validation=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": []}, "train is []; give files, or names of environments"),
        ({"train": "lab_a.csv"}, "train is 'lab_a.csv'; give files"),
        ({"test": {"c": 3.5}}, "test is {'c': 3.5}; give files"),
        ({"train": ["none.csv"]}, "there is no file none.csv; give the path of a file"),
        ({"train": ["."]}, "cannot be read (Is a directory)"),
        ({"test": ["lab_a.csv"]}, "'lab_a.csv' is the environment 'lab_a' and 'lab_a', too"),
        ({"test": ["lab_a.csv", "x/lab_a.csv"]}, "test has two environments called 'lab_a'"),
        ({"test": ["copy.csv"]}, "lab_a.csv and copy.csv are the same, byte for byte"),
        ({"target": "Y"}, "lab_a.csv has no column 'Y'; "),
        ({"target": 3}, "target is 3; give the name of a column"),
        ({"features": ["siez"]}, "lab_a.csv has no column 'siez'; did you mean 'size'"),
        ({"features": "size"}, "features is 'size'; give a list"),
        ({"features": ["y"]}, "features has 'y', which is no input"),
        ({"ignore": ["di"]}, "ignore has 'di', but no file has such a column"),
        ({"ignore": ["size"], "features": ["size"]}, "features and ignore are both given"),
        ({"data": "lab_a.csv"}, "data is 'lab_a.csv' and environment is None; give both"),
        ({"data": "lab_a.csv", "environment": "y"}, "lab_a.csv has no y 'lab_a.csv'; Known: no"),
        ({"validation": 1.5}, "validation is 1.5; give a finite number from 0 to 1"),
        ({"validation": 1}, "validation is 1, which holds out 60 of the 60 samples of 'lab_a'"),
        ({"validation": 0.001}, "validation is 0.001, which holds out 0 of the 60 samples"),
        ({"standardise": 1}, "standardise is 1; give True or False"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"train": ["lab.xlsx"]}, "lab.xlsx is of no known kind; give files that end in .csv"),
        ({"sha256": {"lab_a.csv": "0"}}, "lab_a.csv has changed since its SHA-256 was taken"),
    ],
)
def test_options_that_cannot_be_used_are_one_sentence(labs, options, message):
    (labs / "lab.xlsx").write_bytes(b"x")
    (labs / "copy.csv").write_bytes((labs / "lab_a.csv").read_bytes())
    if options.get("data"):
        options = {**options, "target": "size"}
    assert message in refusal(**options)


def test_inputs_too_large_to_be_standardised_are_one_sentence(labs):
    (labs / "lab_a.csv").write_text(HEAD + "1e200,1,2,no\n" * 2 + "-1e200,1,2,yes\n" * 2)
    assert "the inputs go from -1e+200 to 1e+200, too far to be standardised" in refusal()


def test_there_is_no_other_test_environment_and_no_greyscale(labs):
    with pytest.raises(ValueError, match="unknown test environment 'lab_d'; did you mean 'lab_c'"):
        raw().test("lab_d")
    with pytest.raises(ValueError, match="greyscale is for images in colour"):
        raw().greyscale()
