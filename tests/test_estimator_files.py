"""The files of the scikit-learn classifier."""

import pickle
import warnings

import numpy as np
import pytest
from problems import flat

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn: the extra estimator")

from laboratories import LABS, fitted  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from metairm_np import _storage  # noqa: E402
from metairm_np.estimator import InvariantClassifier  # noqa: E402
from metairm_np.training import Checkpoint, StoppingRule  # noqa: E402


@pytest.fixture
def path(tmp_path):
    """Return a file with a classifier in it."""
    fitted().save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


def test_what_is_loaded_is_what_was_saved(tmp_path):
    rule = StoppingRule(threshold=0.1, arm=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fitted(
            early_stopping=rule, lr=np.float32(0.01), steps=np.int64(7), hidden=(np.int64(4),)
        )
    model.save(tmp_path / "deep" / "model.npz")
    again = InvariantClassifier.load(tmp_path / "deep" / "model.npz")
    assert again.get_params() == model.get_params()
    assert again.early_stopping == rule and again.hidden == (4,)
    assert flat(again.params_).tobytes() == flat(model.params_).tobytes()
    for name in ("history_", "n_iter_", "step_", "n_features_in_"):
        assert getattr(again, name) == getattr(model, name)
    assert (again.environments_ == model.environments_).all()
    f = model.decision_function(LABS.X)
    assert again.decision_function(LABS.X).tobytes() == f.tobytes()
    assert pickle.loads(pickle.dumps(again)).decision_function(LABS.X).tobytes() == f.tobytes()


def test_a_file_holds_no_pickle(path):
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_random_state_that_is_no_number_is_left_out(tmp_path):
    fitted(random_state=np.random.RandomState(0)).save(tmp_path / "model.npz")
    assert InvariantClassifier.load(tmp_path / "model.npz").random_state is None


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def npz(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    return (tmp_path / "other.npz").read_bytes()


def checkpoint(tmp_path):
    Checkpoint(tmp_path / "state.npz", 1).save({"given": 1})
    return (tmp_path / "state.npz").read_bytes()


def lacking(tmp_path):
    _storage.write_tree(tmp_path / "state.npz", "metairm_np.estimator.InvariantClassifier, 1", {})
    return (tmp_path / "state.npz").read_bytes()


@pytest.mark.parametrize(
    "harm",
    [
        lambda good, folder: b"",
        lambda good, folder: good[:-1],
        lambda good, folder: good[: len(good) // 2],
        lambda good, folder: flipped(good, 60),
        lambda good, folder: flipped(good, len(good) // 2),
        lambda good, folder: pickle.dumps([1]),
        lambda good, folder: b"cause,effect\n1,2\n",
        lambda good, folder: npz(folder),
        lambda good, folder: checkpoint(folder),
        lambda good, folder: lacking(folder),
    ],
    ids=["empty", "cut", "half", "bit", "bit inside", "pickle", "csv", "npz", "checkpoint", "keys"],
)
def test_a_damaged_or_foreign_file_is_one_sentence(harm, path):
    path.write_bytes(harm(path.read_bytes(), path.parent))
    with pytest.raises(ValueError, match=r"model.npz is damaged, or is not .* again$") as caught:
        InvariantClassifier.load(path)
    assert caught.value.__suppress_context__ and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        InvariantClassifier.load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file"):
        fitted().save(tmp_path)
    assert tmp_path.is_dir()


def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        fitted("erm").save(path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_labels_that_no_file_can_hold(tmp_path):
    model = fitted()
    model.classes_ = np.array([(0,), None], object)
    with pytest.raises(TypeError, match=r"the label or name \(0,\) is neither text nor a number"):
        model.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())
