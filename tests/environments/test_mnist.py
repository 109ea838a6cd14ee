"""The shipped data: what it holds, how damage is noticed, and that the script rebuilds it bit for bit."""

import gzip
import http.server
import importlib.util
import os
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


@pytest.fixture(scope="module")
def originals():
    """Return the folder of the four original files."""
    folder = Path(os.environ.get("METAIRM_DATA", ".")) / "mnist"
    if not folder.is_dir():
        pytest.skip(
            f"needs the original MNIST files in {folder}: set METAIRM_DATA to the folder that has mnist/"
        )
    return folder


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


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9999])
def test_damage_is_noticed(tmp_path, place):
    data = bytearray(SHIPPED.read_bytes())
    data[int(place * len(data))] ^= 1
    path = tmp_path / "mnist14.npz"
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match="mnist14.npz is damaged: .*; install metairm-np again or rebuild"
    ):
        mnist.load_mnist14(path)


def test_a_truncated_file_is_noticed(tmp_path):
    path = tmp_path / "mnist14.npz"
    path.write_bytes(SHIPPED.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="is damaged"):
        mnist.load_mnist14(path)


def test_other_arrays_are_noticed(tmp_path):
    arrays = {name: array.copy() for name, array in mnist.load_mnist14().items()}
    arrays["train_labels"][17] += 1
    path = tmp_path / "mnist14.npz"
    np.savez_compressed(path, **arrays)
    with pytest.raises(ValueError, match="the SHA-256 of train_labels is wrong"):
        mnist.load_mnist14(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is missing; install metairm-np again"):
        mnist.load_mnist14(tmp_path / "mnist14.npz")


def test_the_script_rebuilds_the_file_bit_for_bit(build, originals, tmp_path, capsys):
    out = tmp_path / "rebuilt.npz"
    build.main([str(originals), "--out", str(out)])
    assert out.read_bytes() == SHIPPED.read_bytes()
    printed = capsys.readouterr().out
    assert all(digest in printed for digest in mnist.SHA256.values())


def test_the_script_takes_uncompressed_files(build, originals, tmp_path):
    for path in originals.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    out = tmp_path / "rebuilt.npz"
    build.main([str(tmp_path), "--out", str(out)])
    assert out.read_bytes() == SHIPPED.read_bytes()


def test_the_script_downloads_from_the_next_mirror(build, originals, tmp_path):
    handler = partial(QuietHandler, directory=str(originals))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}/"
        out = tmp_path / "rebuilt.npz"
        build.main(
            ["--download", str(tmp_path), "--out", str(out)],
            mirrors=[mirror + "no/such/folder/", mirror],
        )
        server.shutdown()
    assert out.read_bytes() == SHIPPED.read_bytes()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *args):
        """Say nothing."""


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
