"""The shipped data: what it holds, how damage is noticed, and how the script rebuilds it."""

import gzip
import http.server
import importlib.util
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metairm_np._storage import shipped
from metairm_np.environments import mnist

SHIPPED = shipped("data") / "mnist14.npz"
BUILD = Path(__file__).parents[2] / "data" / "build_mnist14.py"


@pytest.fixture(scope="module")
def build():
    """Import the build script."""
    spec = importlib.util.spec_from_file_location("build_mnist14", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def originals(real):
    """Return the folder of the four original files."""
    return real / "mnist"


def test_what_the_file_holds():
    arrays = mnist.load_mnist14()
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "train_images": ((60000, 14, 14), "uint8"), "train_labels": ((60000,), "uint8"),
        "test_images": ((10000, 14, 14), "uint8"), "test_labels": ((10000,), "uint8"),
    }  # fmt: skip
    assert np.bincount(arrays["train_labels"]).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert SHIPPED.stat().st_size < 6_000_000


def test_it_is_read_once():
    assert mnist.load_mnist14() is mnist.load_mnist14()


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9999, "cut"])
def test_damage_is_noticed(tmp_path, place):
    data = bytearray(SHIPPED.read_bytes())
    if place == "cut":
        del data[100_000:]
    else:
        data[int(place * len(data))] ^= 1
    path = tmp_path / "mnist14.npz"
    path.write_bytes(data)
    message = "mnist14.npz is damaged: .*; install metairm-np again or rebuild"
    with pytest.raises(ValueError, match=message):
        mnist.load_mnist14(path)


def test_other_arrays_are_noticed(tmp_path):
    arrays = {**mnist.load_mnist14()}
    arrays["train_labels"] = arrays["train_labels"] + 1
    path = tmp_path / "mnist14.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="the SHA-256 of train_labels is wrong"):
        mnist.load_mnist14(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is missing; install metairm-np again"):
        mnist.load_mnist14(tmp_path / "mnist14.npz")


@pytest.fixture
def rebuilt(build, tmp_path):
    """Return a function that runs the script and checks what it writes."""

    def run(*arguments, **options):
        out = tmp_path / "rebuilt.npz"
        build.main([*map(str, arguments), "--out", str(out)], **options)
        assert out.read_bytes() == SHIPPED.read_bytes()

    return run


def test_the_script_rebuilds_the_file_bit_for_bit(rebuilt, originals, capsys):
    rebuilt(originals)
    printed = capsys.readouterr().out
    assert all(digest in printed for digest in mnist.SHA256.values())


def test_the_script_takes_uncompressed_files(rebuilt, originals, tmp_path):
    for path in originals.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    rebuilt(tmp_path)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *args):
        """Say nothing."""


def test_the_script_downloads_from_the_next_mirror(rebuilt, originals, tmp_path):
    handler = partial(QuietHandler, directory=str(originals))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}/"
        rebuilt("--download", tmp_path, mirrors=[mirror + "no/such/folder/", mirror])
        server.shutdown()


def test_the_script_refuses_another_file(build, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"not the original")
    with pytest.raises(SystemExit, match="has the SHA-256 .* get the file again"):
        build.main([str(tmp_path), "--out", str(tmp_path / "x.npz")])
    assert not (tmp_path / "x.npz").exists()


def test_the_script_names_what_is_missing(build, tmp_path):
    with pytest.raises(SystemExit, match="neither train-images-idx3-ubyte nor .* add --download"):
        build.main([str(tmp_path)])


def test_the_script_says_when_no_mirror_answers(build, tmp_path):
    with pytest.raises(SystemExit, match="cannot download train-images-idx3-ubyte.gz"):
        build.main(["--download", str(tmp_path)], mirrors=["http://127.0.0.1:9/"])


def test_the_readme_has_the_checksums():
    text = (shipped("data") / "README.md").read_text(encoding="utf-8")
    assert all(digest in text for digest in mnist.SHA256.values())
