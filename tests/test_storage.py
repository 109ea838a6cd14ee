"""Files that are written whole or not at all, and what is read of damaged ones."""

import json
import math

import pytest

from metairm_np import _storage


def test_json_has_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "deep" / "x.json"
    _storage.write_json(path, {"a": [1.5, math.nan, (math.inf,)], "b": None})
    assert json.loads(path.read_text()) == {"a": [1.5, None, [None]], "b": None}
    assert _storage.read_json(path) == {"a": [1.5, None, [None]], "b": None}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", None])
def test_damaged_or_missing_json_is_none(tmp_path, content):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    assert _storage.read_json(path) is None


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    _storage.write(path, "old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        _storage.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
