"""The files of SST-2 and GloVe: where they are found, how they are fetched, what is read and what is refused."""

import gzip
import hashlib
import http.server
import os
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metairm_np.environments import punctuated_sst2, text_data
from metairm_np.environments.text_data import (
    File,
    find_vectors,
    locate,
    read_sentences,
    read_vectors,
)

SENTENCES = {
    "train": ["a fine film . \t1", "bad \t0", "no film ! \t0", "fine , fine \t1"],
    "dev": ["fine film ? \t1", "a bad \t0"],
}
WORDS = ("the", ".", "a", "fine", "film", "!", "bad", ",", "zyx")


def tsv(part, lines=None):
    """Return the bytes of a TSV file."""
    return "\n".join(["sentence\tlabel", *(lines or SENTENCES[part]), ""]).encode()


def glove(dimension=50, words=WORDS):
    """Return the bytes of a file of vectors."""
    rng = np.random.default_rng(dimension)
    return "".join(
        f"{word} {' '.join(f'{v:.5f}' for v in rng.standard_normal(dimension))}\n" for word in words
    ).encode()


def zip_of(path, members):
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write(folder, files):
    """Write files into a folder, and give the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def data(tmp_path):
    """Return a folder with small files of the usual layout."""
    files = {
        "sst2/train.tsv": tsv("train"),
        "sst2/dev.tsv": tsv("dev"),
        "glove/glove.6B.50d.txt": glove(),
    }
    return write(tmp_path / "data", files)


@pytest.fixture
def real():
    """Return the folder of the real data."""
    folder = Path(os.environ.get("METAIRM_DATA", "."))
    if not (folder / "sst2").is_dir():
        pytest.skip(
            f"needs the real SST-2 in {folder / 'sst2'}: set METAIRM_DATA to the folder that has sst2/ and glove/"
        )
    return folder


def small(data_dir, **options):
    """Make a trial of the small files."""
    return punctuated_sst2(
        0, train_p=(0.1,), validation=0, dimension=50, data_dir=data_dir, **options
    )


def test_the_real_sentences(real):
    train, test, _ = locate(50, real)
    rows = {}
    for file, n, positive in ((train, 67_349, 37_569), (test, 872, 444)):
        with text_data.opened(file) as stream:
            sentences, labels = read_sentences(stream.read(), file.name)
        assert (len(sentences), len(labels), labels.sum()) == (n, n, positive)
        rows[n] = sentences
    assert [sentence for sentence in rows[67_349] if sentence in (["("], [")"])] == [["("], [")"]]
    assert sum(map(len, rows[67_349])) == 633_724
    assert sum(map(len, rows[872])) == 17_046


@pytest.mark.parametrize("dimension", [50, 100])
def test_the_real_files_are_the_published_ones(real, dimension):
    trial = punctuated_sst2(0, dimension=dimension, data_dir=real)
    assert trial.verified == ["train.tsv", "dev.tsv"]
    vectors = [name for name in trial.sources if name not in trial.verified]
    assert len(vectors) == 1
    assert (
        hashlib.sha256((real / "glove" / vectors[0]).read_bytes()).hexdigest()
        == trial.sources[vectors[0]]
    )


# Sentences


def test_byte_order_mark_and_line_ends_make_no_difference():
    plain = read_sentences(tsv("train"), "x")
    other = read_sentences(b"\xef\xbb\xbf" + tsv("train").replace(b"\n", b"\r\n"), "x")
    cut = read_sentences(tsv("train").removesuffix(b"\n"), "x")
    assert (
        plain[0]
        == other[0]
        == cut[0]
        == [line.split("\t")[0].split() for line in SENTENCES["train"]]
    )
    assert plain[1].tolist() == other[1].tolist() == cut[1].tolist() == [1, 0, 0, 1]


def test_quotes_are_words_like_others():
    sentences, _ = read_sentences(tsv("", ['" so " he said \t1', 'say "no\t0', 'yes"\t1']), "x")
    assert sentences == [['"', "so", '"', "he", "said"], ["say", '"no'], ['yes"']]


def test_a_no_break_space_separates_words_and_rare_line_separators_do_not_end_rows():
    sentences, labels = read_sentences(
        tsv("", ["2\u00a01/2 hours\t0", "a\u2028b\t1", "c\u0085d\x0be\x1cf\t1"]), "x"
    )
    assert sentences == [["2", "1/2", "hours"], ["a", "b"], ["c", "d", "e", "f"]]
    assert labels.tolist() == [0, 1, 1]


def test_words_are_lower_case_and_columns_go_by_their_names():
    sentences, labels = read_sentences(b"idx\tlabel\tsentence\n0\t1\tA FINE \xc3\x89clair\n", "x")
    assert (sentences, labels.tolist()) == ([["a", "fine", "\u00e9clair"]], [1])


BAD_SENTENCES = {
    "a field too many": (
        b"sentence\tlabel\na\t1\nb\tc\t0\n",
        "x.tsv is damaged: line 3 has 3 columns instead of 2; get the file",
    ),
    "no label": (b"sentence\tlabel\na\t1\nb\n", "line 3 has 1 columns"),
    "an empty line": (b"sentence\tlabel\n\na\t1\n", "line 2 has 1 columns"),
    "another label": (
        b"sentence\tlabel\na\t1\nb\t2\n",
        "line 3 has the label '2', which is neither 0 nor 1",
    ),
    "no header": (b"a\t1\nb\t0\n", "line 1 has no column 'sentence'"),
    "another header": (b"sentence\ttarget\na\t1\n", "line 1 has no column 'label'"),
    "nothing": (b"", "line 1 has no column"),
    "no rows": (b"sentence\tlabel\n", "there are no sentences"),
    "another encoding": (b"sentence\tlabel\na\t1\ncaf\xe9\t1\n", "line 3 is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_SENTENCES)
def test_damaged_sentences(case):
    content, message = BAD_SENTENCES[case]
    with pytest.raises(ValueError, match=message):
        read_sentences(content, "x.tsv")


# Vectors


def test_only_the_vectors_of_words_that_occur_are_kept():
    vectors = read_vectors(glove(3).splitlines(keepends=True), {"fine", "zyx", "absent"}, 3, "x")
    table = {
        line.split()[0]: [float(v) for v in line.split()[1:]]
        for line in glove(3).decode().splitlines()
    }
    assert {word: vector.tolist() for word, vector in vectors.items()} == {
        "fine": table["fine"],
        "zyx": table["zyx"],
    }


def test_words_of_vectors_end_at_the_first_space_only():
    lines = ["\u00e9t\u00e9 1 2\n".encode(), "2\u00a01/2 3 4\n".encode(), b". 5 6"]
    vectors = read_vectors(lines, {"\u00e9t\u00e9", "2\u00a01/2", "2", "."}, 2, "x")
    assert {word: vector.tolist() for word, vector in vectors.items()} == {
        "\u00e9t\u00e9": [1, 2],
        "2\u00a01/2": [3, 4],
        ".": [5, 6],
    }


def test_vectors_with_a_byte_order_mark_and_other_line_ends():
    plain = read_vectors(glove(3).splitlines(keepends=True), set(WORDS), 3, "x")
    other = read_vectors(
        (b"\xef\xbb\xbf" + glove(3).replace(b"\n", b"\r\n")).split(b"\n")[:-1], set(WORDS), 3, "x"
    )
    assert plain.keys() == other.keys() == set(WORDS)
    assert all((plain[word] == other[word]).all() for word in WORDS)


BAD_VECTORS = {
    "too few numbers": (
        b"a 1 2 3\nb 1 2\n",
        "x.txt is damaged: line 2 has 2 numbers instead of 3; get the file again",
    ),
    "too many numbers, unused": (b"a 1 2 3\nunused 1 2 3 4\n", "line 2 has 4 numbers instead of 3"),
    "an empty line": (b"a 1 2 3\n\nb 1 2 3\n", "line 2 has 0 numbers"),
    "no number": (b"a 1 2 3\nb 1 2 x\n", "line 2 is wrong .*b'x"),
    "not finite": (b"a 1 2 3\nb 1 nan 3\n", "line 2 has a number that is not finite"),
}


@pytest.mark.parametrize("case", BAD_VECTORS)
def test_damaged_vectors(case):
    content, message = BAD_VECTORS[case]
    with pytest.raises(ValueError, match=message):
        read_vectors(content.splitlines(keepends=True), {"a", "b"}, 3, "x.txt")


def test_the_marks_need_vectors(data):
    write(data, {"glove/glove.6B.50d.txt": glove(words=[word for word in WORDS if word != "!"])})
    with pytest.raises(
        ValueError, match=r"glove.6B.50d.txt has no vector for '!'; get the whole file"
    ):
        small(data)


def test_the_marks_need_not_occur_in_the_sentences(data):
    write(
        data,
        {f"sst2/{part}.tsv": tsv(part, ["fine film\t1", "bad\t0"]) for part in ("train", "dev")},
    )
    assert len(small(data).test(0.9)) == 2


# Places and packings


PACKED = {
    "txt": lambda folder: write(folder, {"glove.6B.50d.txt": glove()}),
    "gz": lambda folder: write(folder, {"glove/glove.6B.50d.txt.gz": gzip.compress(glove())}),
    "part": lambda folder: write(folder, {"glove/glove.6B.50d.some.txt": glove()}),
    "part, gz": lambda folder: write(folder, {"glove.6B.50d.some.txt.gz": gzip.compress(glove())}),
    "zip": lambda folder: zip_of(
        folder / "glove.6B.zip", {"glove.6B.50d.txt": glove(), "glove.6B.100d.txt": glove(100)}
    ),
}


@pytest.mark.parametrize("case", PACKED)
def test_packed_vectors_give_the_same_bits(case, data, tmp_path):
    folder = write(tmp_path / "packed", {"train.tsv": tsv("train"), "dev.tsv": tsv("dev")})
    PACKED[case](folder)
    ours, theirs = small(folder), small(data)
    path = find_vectors(folder, 50).path
    assert ours.sources[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    for a, b in zip([*ours.train, ours.test(0.9)], [*theirs.train, theirs.test(0.9)]):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)


def sentences_in_a_zip(folder):
    """Write the sentences as GLUE's archive has them."""
    zip_of(
        folder / "SST-2.zip",
        {"SST-2/train.tsv": tsv("train"), "SST-2/dev.tsv": tsv("dev"), "SST-2/test.tsv": b"no"},
    )


PLACES = {
    "SST-2": lambda folder: write(
        folder / "SST-2", {"train.tsv": tsv("train"), "dev.tsv": tsv("dev")}
    ),
    "the folder": lambda folder: write(folder, {"train.tsv": tsv("train"), "dev.tsv": tsv("dev")}),
    "zip": sentences_in_a_zip,
}


@pytest.mark.parametrize("case", PLACES)
def test_places_of_the_sentences(case, data, tmp_path):
    folder = write(tmp_path / "elsewhere", {"glove.6B.50d.txt": glove()})
    PLACES[case](folder)
    ours, theirs = small(folder), small(data)
    assert ours.sources == theirs.sources
    assert ours.sources["dev.tsv"] == hashlib.sha256(tsv("dev")).hexdigest()
    assert ours.verified == []
    np.testing.assert_array_equal(ours.train[0].x, theirs.train[0].x)


def test_the_whole_set_goes_before_a_part(tmp_path):
    names = (
        "glove.6B.50d.sst2.txt.gz",
        "glove.6B.50d.sst2.txt",
        "glove.6B.zip",
        "glove.6B.50d.txt.gz",
        "glove.6B.50d.txt",
    )
    for name in names:
        write(tmp_path / "glove", {name: b""})
        assert find_vectors(tmp_path, 50).path.name == name
    assert find_vectors(tmp_path, 300) == File(
        tmp_path / "glove" / "glove.6B.zip", "glove.6B.300d.txt"
    )


def test_data_dir_goes_before_the_environment_variable(data, tmp_path, monkeypatch):
    other = write(
        tmp_path / "other",
        {"train.tsv": tsv("train"), "dev.tsv": tsv("dev"), "glove.6B.50d.txt": glove()},
    )
    monkeypatch.setenv("METAIRM_DATA", str(other))
    assert locate(50)[2].path == other / "glove.6B.50d.txt"
    assert locate(50, str(data))[2].path == data / "glove" / "glove.6B.50d.txt"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate(50, "~/data")[2].path == data / "glove" / "glove.6B.50d.txt"


def test_what_is_missing_is_named(data):
    with pytest.raises(
        FileNotFoundError,
        match=r"data has neither glove.6B.300d.txt, .* nor glove.6B.zip; .* METAIRM_DATA, or none",
    ):
        punctuated_sst2(0, dimension=300, data_dir=data)
    (data / "sst2" / "dev.tsv").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"data has neither sst2/train.tsv with sst2/dev.tsv nor SST-2.zip; .* METAIRM_DATA",
    ):
        small(data)
    with pytest.raises(TypeError, match="data_dir is 7; give the path of a folder"):
        small(7)


def test_damaged_packings(data):
    vectors = data / "glove" / "glove.6B.50d.txt"
    vectors.unlink()
    packed = gzip.compress(glove())
    for content in (packed[:-100], b"no gzip", packed[:500] + b"zzz" + packed[503:]):
        write(data, {"glove/glove.6B.50d.txt.gz": content})
        with pytest.raises(ValueError, match=r"glove.6B.50d.txt.gz (cannot be read|is damaged)"):
            small(data)
    (data / "glove" / "glove.6B.50d.txt.gz").unlink()
    zip_of(data / "glove.6B.zip", {"glove.6B.100d.txt": glove(100)})
    with pytest.raises(
        ValueError,
        match=r"glove.6B.zip/glove.6B.50d.txt cannot be read \(.*no item named.*; get the file again",
    ):
        small(data)
    zip_of(data / "glove.6B.zip", {"glove.6B.50d.txt": glove()})
    whole = (data / "glove.6B.zip").read_bytes()
    for content in (whole[:-100], whole[:500] + b"zzz" + whole[503:], b""):
        write(data, {"glove.6B.zip": content})
        with pytest.raises(
            ValueError, match=r"glove.6B.zip/glove.6B.50d.txt (cannot be read|is damaged)"
        ):
            small(data)


def test_a_damaged_line_is_found_through_the_packing(data):
    (data / "glove" / "glove.6B.50d.txt").unlink()
    write(data, {"glove/glove.6B.50d.txt.gz": gzip.compress(glove() + b"last 1 2\n")})
    with pytest.raises(
        ValueError,
        match=rf"glove.6B.50d.txt.gz is damaged: line {len(WORDS) + 1} has 2 numbers instead of 50",
    ):
        small(data)


# Downloads


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word, and notes what is asked for."""

    asked = []

    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):  # noqa: N802
        """Note and serve."""
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve small archives in place of the official ones; give the list of what was asked for."""
    pooch = pytest.importorskip(
        "pooch", reason="downloads need pooch, pip install 'metairm-np[text]'"
    )
    served = tmp_path / "served"
    served.mkdir()
    sentences_in_a_zip(served)
    zip_of(served / "glove.6B.zip", {"glove.6B.50d.txt": glove()})
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("METAIRM_DATA", raising=False)
    monkeypatch.setattr(Server, "asked", [])
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Server, directory=str(served))
    ) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        for name in ("SST-2.zip", "glove.6B.zip"):
            monkeypatch.setitem(
                text_data.ADDRESSES, name, f"http://127.0.0.1:{running.server_port}/{name}"
            )
            monkeypatch.setitem(
                text_data.PUBLISHED, name, hashlib.sha256((served / name).read_bytes()).hexdigest()
            )
        yield Server.asked
        running.shutdown()


def test_download_goes_to_the_cache_once_and_gives_the_same_bits(server, data, tmp_path):
    ours, again, theirs = small(None), small(None), small(data)
    assert server == ["/SST-2.zip", "/glove.6B.zip"]
    assert sorted(path.name for path in (tmp_path / "cache" / "metairm_np").iterdir()) == [
        "SST-2.zip",
        "glove.6B.zip",
    ]
    assert ours.sources == again.sources
    assert ours.verified == ["glove.6B.zip"]
    np.testing.assert_array_equal(ours.train[0].x, theirs.train[0].x)


def test_nothing_is_downloaded_into_a_folder_that_was_named(server, data):
    (data / "glove" / "glove.6B.50d.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match="or none, then it is downloaded from http://.*glove.6B.zip"
    ):
        small(data)
    assert server == []


def test_only_what_is_missing_is_downloaded(server, tmp_path):
    cache = tmp_path / "cache" / "metairm_np"
    cache.mkdir(parents=True)
    sentences_in_a_zip(cache)
    small(None)
    assert server == ["/glove.6B.zip"]


def test_download_of_another_file_is_refused_and_leaves_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setitem(text_data.PUBLISHED, "glove.6B.zip", "0" * 64)
    with pytest.raises(
        ValueError,
        match=r"glove.6B.zip gave a file whose SHA-256 is not 0{64}; try again, or get it by hand",
    ):
        small(None)
    assert server == ["/SST-2.zip", "/glove.6B.zip"]
    assert [path.name for path in (tmp_path / "cache" / "metairm_np").iterdir()] == ["SST-2.zip"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/SST-2.zip", "gone"])
def test_download_says_when_it_fails(server, tmp_path, monkeypatch, address):
    if address == "gone":
        address = text_data.ADDRESSES["SST-2.zip"] + ".gone"
    monkeypatch.setitem(text_data.ADDRESSES, "SST-2.zip", address)
    with pytest.raises(
        OSError,
        match=r"cannot download http://127.0.0.1:.*; get it by hand, put it into .*cache.* METAIRM_DATA$",
    ) as caught:
        small(None)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).partition(" (")[2].partition("); get it by hand")[0]) <= 160
    assert not list((tmp_path / "cache" / "metairm_np").glob("*"))


def test_without_pooch(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("METAIRM_DATA", raising=False)
    assert len(small(data).test(0.9)) == 2  # no need of it
    with pytest.raises(
        FileNotFoundError, match=r"--data-dir .* METAIRM_DATA, .* pip install 'metairm-np\[text\]'"
    ):
        small(None)
