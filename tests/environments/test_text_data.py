"""The files of SST-2 and GloVe: where they are found, how they are fetched, what is refused."""

import gzip
import hashlib
import http.server
import sys
import threading
import zipfile
from functools import partial

import numpy as np
import pytest

from metairm_np.environments import punctuated_sst2, text_data
from metairm_np.environments.text_data import locate, read_sentences, read_vectors

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
    vectors = [[f"{v:.5f}" for v in rng.standard_normal(dimension)] for _ in words]
    return "".join(f"{w} {' '.join(numbers)}\n" for w, numbers in zip(words, vectors)).encode()


def zip_of(path, members):
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write(folder, files):
    """Write files into a folder, and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_sentences(folder):
    return write(folder, {f"sst2/{part}.tsv": tsv(part) for part in SENTENCES})


@pytest.fixture
def data(tmp_path):
    """Return a folder with small files."""
    return write(write_sentences(tmp_path / "data"), {"glove/glove.6B.50d.txt": glove()})


def small(data_dir):
    """Return a trial of the small files."""
    return punctuated_sst2(0, train_p=(0.1,), validation=0, dimension=50, data_dir=data_dir)


def test_the_real_sentences(real):
    rows = {}
    for file, n, positive in zip(locate(50, real), (67_349, 872), (37_569, 444)):
        sentences, labels = read_sentences(file.path.read_bytes(), file.name)
        assert (len(sentences), len(labels), labels.sum()) == (n, n, positive)
        rows[n] = sentences
    assert [sentence for sentence in rows[67_349] if sentence in (["("], [")"])] == [["("], [")"]]
    assert [sum(map(len, sentences)) for sentences in rows.values()] == [633_724, 17_046]


def test_the_real_files_are_the_published_ones(real):
    trial = punctuated_sst2(0, dimension=50, data_dir=real)
    assert trial.verified == ["train.tsv", "dev.tsv"]
    (vectors,) = trial.sources.keys() - trial.verified
    content = (real / "glove" / vectors).read_bytes()
    assert hashlib.sha256(content).hexdigest() == trial.sources[vectors]


# Sentences


@pytest.mark.parametrize(
    "content",
    [
        tsv("train"),
        b"\xef\xbb\xbf" + tsv("train").replace(b"\n", b"\r\n"),
        tsv("train").removesuffix(b"\n"),
    ],
)
def test_byte_order_mark_and_line_ends_make_no_difference(content):
    sentences, labels = read_sentences(content, "x")
    assert sentences == [line.split("\t")[0].split() for line in SENTENCES["train"]]
    assert labels.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('" so " he said \t1', ['"', "so", '"', "he", "said"]),  # quotes are words like others
        ('say "no\t1', ["say", '"no']),
        ("2\u00a01/2 hours\t1", ["2", "1/2", "hours"]),
        ("a\u2028b\t1", ["a", "b"]),  # rare line separators do not end rows
        ("c\u0085d\x0be\x1cf\t1", ["c", "d", "e", "f"]),
        ("A FINE \u00c9clair\t1", ["a", "fine", "\u00e9clair"]),
    ],
)
def test_words_of_sentences(line, words):
    sentences, labels = read_sentences(tsv("", [line, "next\t0"]), "x")
    assert sentences == [words, ["next"]]
    assert labels.tolist() == [1, 0]


def test_columns_go_by_their_names():
    sentences, labels = read_sentences(b"idx\tlabel\tsentence\n0\t1\ta b\n", "x")
    assert (sentences, labels.tolist()) == ([["a", "b"]], [1])


HEADER = b"sentence\tlabel\n"
BAD_SENTENCES = {
    HEADER
    + b"a\t1\nb\tc\t0\n": "x.tsv is damaged: line 3 has 3 columns instead of 2; get the file",
    HEADER + b"a\t1\nb\n": "line 3 has 1 columns",
    HEADER + b"\na\t1\n": "line 2 has 1 columns",
    HEADER + b"a\t1\nb\t2\n": "line 3 has the label '2', which is neither 0 nor 1",
    b"a\t1\nb\t0\n": "line 1 has no column 'sentence'",
    b"sentence\ttarget\na\t1\n": "line 1 has no column 'label'",
    b"": "line 1 has no column",
    HEADER: "there are no sentences",
    HEADER + b"a\t1\ncaf\xe9\t1\n": "line 3 is not UTF-8",
}


@pytest.mark.parametrize(("content", "message"), BAD_SENTENCES.items())
def test_damaged_sentences(content, message):
    with pytest.raises(ValueError, match=message):
        read_sentences(content, "x.tsv")


# Vectors


def found(content, words, dimension):
    """Return the vectors in the lines of `content` as lists."""
    vectors = read_vectors(content.splitlines(keepends=True), words, dimension, "x.txt")
    return {word: vector.tolist() for word, vector in vectors.items()}


def test_only_the_vectors_of_words_that_occur_are_kept():
    table = {line.split()[0]: line.split()[1:] for line in glove(3).decode().splitlines()}
    want = {word: list(map(float, table[word])) for word in ("fine", "zyx")}
    assert found(glove(3), {"fine", "zyx", "absent"}, 3) == want


def test_words_of_vectors_end_at_the_first_space_only():
    content = "\u00e9t\u00e9 1 2\n2\u00a01/2 3 4\n. 5 6".encode()
    want = {"\u00e9t\u00e9": [1, 2], "2\u00a01/2": [3, 4], ".": [5, 6]}
    assert found(content, {*want, "2"}, 2) == want


def test_vectors_with_a_byte_order_mark_and_other_line_ends():
    plain = found(glove(3), WORDS, 3)
    assert plain == found(b"\xef\xbb\xbf" + glove(3).replace(b"\n", b"\r\n"), WORDS, 3)
    assert plain.keys() == set(WORDS)


BAD_VECTORS = {
    b"a 1 2 3\nb 1 2\n": "x.txt is damaged: line 2 has 2 numbers instead of 3; get the file again",
    b"a 1 2 3\nunused 1 2 3 4\n": "line 2 has 4 numbers instead of 3",
    b"a 1 2 3\n\nb 1 2 3\n": "line 2 has 0 numbers",
    b"a 1 2 3\nb 1 2 x\n": "line 2 is wrong .*b'x",
    b"a 1 2 3\nb 1 nan 3\n": "line 2 has a number that is not finite",
}


@pytest.mark.parametrize(("content", "message"), BAD_VECTORS.items())
def test_damaged_vectors(content, message):
    with pytest.raises(ValueError, match=message):
        found(content, {"a", "b"}, 3)


def test_the_marks_need_vectors_but_not_to_occur_in_the_sentences(data):
    write(data, {f"sst2/{part}.tsv": tsv("", ["fine film\t1", "bad\t0"]) for part in SENTENCES})
    write(data, {"glove/glove.6B.50d.txt": glove(words=[word for word in WORDS if word != "!"])})
    with pytest.raises(ValueError, match=r"50d.txt has no vector for '!'; get the whole file"):
        small(data)
    write(data, {"glove/glove.6B.50d.txt": glove()})
    assert len(small(data).test(0.9)) == 2


# Folders


@pytest.mark.parametrize("name", ["50d.txt.gz", "50d.some.txt", "50d.some.txt.gz"])
def test_packed_and_partial_vectors_give_the_same_bits(name, data, tmp_path):
    content = gzip.compress(glove()) if name.endswith(".gz") else glove()
    folder = write(write_sentences(tmp_path / "packed"), {f"glove/glove.6B.{name}": content})
    ours, theirs = small(folder), small(data)
    digests = [hashlib.sha256(some).hexdigest() for some in (tsv("train"), tsv("dev"), content)]
    assert [*ours.sources.values()] == digests
    assert ours.verified == []
    for a, b in zip([*ours.train, ours.test(0.9)], [*theirs.train, theirs.test(0.9)]):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)


def test_the_whole_set_goes_before_a_part(tmp_path):
    write_sentences(tmp_path)
    for name in ("50d.b.txt", "50d.a.txt.gz", "50d.a.txt", "50d.txt.gz", "50d.txt"):
        write(tmp_path / "glove", {f"glove.6B.{name}": b""})
        assert locate(50, tmp_path)[2].path.name == f"glove.6B.{name}"


def test_data_dir_goes_before_the_environment_variable(data, tmp_path, monkeypatch):
    other = data.rename(tmp_path / "other")
    write(write_sentences(data), {"glove/glove.6B.50d.txt": glove()})
    monkeypatch.setenv("METAIRM_DATA", str(other))
    monkeypatch.setenv("HOME", str(tmp_path))
    for data_dir, folder in ((None, other), (str(data), data), ("~/data", data)):
        assert locate(50, data_dir)[2].path == folder / "glove" / "glove.6B.50d.txt"


def test_what_is_missing_is_named(data):
    for dimension, name in ((300, "glove/glove.6B.300d.txt"), (50, "sst2/dev.tsv")):
        with pytest.raises(FileNotFoundError, match=f"data has no {name}; .* METAIRM_DATA, or na"):
            punctuated_sst2(0, dimension=dimension, data_dir=data)
        (data / "sst2" / "dev.tsv").unlink(missing_ok=True)
    with pytest.raises(TypeError, match="data_dir is 7; give the path of a folder"):
        small(7)


def damaged(whole):
    """Return damaged copies of a packed file."""
    return whole[:-100], whole[:500] + b"zzz" + whole[503:], b"no such thing"


def test_damaged_packings(data):
    (data / "glove" / "glove.6B.50d.txt").unlink()
    for content in damaged(gzip.compress(glove())):
        write(data, {"glove/glove.6B.50d.txt.gz": content})
        with pytest.raises(ValueError, match=r"glove.6B.50d.txt.gz (cannot be read|is damaged)"):
            small(data)
    write(data, {"glove/glove.6B.50d.txt.gz": gzip.compress(glove() + b"last 1 2\n")})
    message = rf"50d.txt.gz is damaged: line {len(WORDS) + 1} has 2 numbers instead of 50"
    with pytest.raises(ValueError, match=message):
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


def write_archives(folder):
    folder.mkdir(parents=True)
    zip_of(folder / "SST-2.zip", {f"SST-2/{part}.tsv": tsv(part) for part in SENTENCES})
    vectors = {f"glove.6B.{dimension}d.txt": glove(dimension) for dimension in (50, 100)}
    zip_of(folder / "glove.6B.zip", vectors)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of downloads, and serve small archives in place of the official ones."""
    pooch = pytest.importorskip(
        "pooch", reason="downloads need pooch, pip install 'metairm-np[text]'"
    )
    served = tmp_path / "served"
    write_archives(served)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("METAIRM_DATA", raising=False)
    monkeypatch.setattr(Server, "asked", [])
    handler = partial(Server, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        for name in ("SST-2.zip", "glove.6B.zip"):
            address = f"http://127.0.0.1:{running.server_port}/{name}"
            digest = hashlib.sha256((served / name).read_bytes()).hexdigest()
            monkeypatch.setitem(text_data.ADDRESSES, name, address)
            monkeypatch.setitem(text_data.PUBLISHED, name, digest)
        yield tmp_path / "cache" / "metairm_np"
        running.shutdown()


def test_download_goes_to_the_cache_once_and_gives_the_same_bits(cache, data):
    ours, again, theirs = small(None), small(None), small(data)
    assert Server.asked == ["/SST-2.zip", "/glove.6B.zip"]
    assert sorted(path.name for path in cache.iterdir()) == ["SST-2.zip", "glove.6B.zip"]
    assert ours.sources == again.sources
    assert ours.sources["dev.tsv"] == hashlib.sha256(tsv("dev")).hexdigest()
    assert ours.verified == ["glove.6B.zip"]
    np.testing.assert_array_equal(ours.train[0].x, theirs.train[0].x)
    (cache / "glove.6B.zip").unlink()
    locate(50)  # only what is missing is downloaded again
    assert Server.asked == ["/SST-2.zip", "/glove.6B.zip", "/glove.6B.zip"]


def test_nothing_is_downloaded_into_a_folder_that_was_named(cache, data):
    (data / "glove" / "glove.6B.50d.txt").unlink()
    with pytest.raises(FileNotFoundError, match="or name none, then they are downloaded"):
        small(data)
    assert Server.asked == []


def test_damaged_archives(cache):
    write_archives(cache)
    for content in damaged((cache / "glove.6B.zip").read_bytes()):
        write(cache, {"glove.6B.zip": content})
        message = r"glove.6B.zip/glove.6B.50d.txt (cannot be read|is damaged)"
        with pytest.raises(ValueError, match=message):
            small(None)
    zip_of(cache / "glove.6B.zip", {"glove.6B.100d.txt": glove(100)})
    with pytest.raises(ValueError, match=r"50d.txt cannot be read \(.*no item named.*; get the fi"):
        small(None)


def test_download_of_another_file_is_refused_and_leaves_nothing(cache, monkeypatch):
    monkeypatch.setitem(text_data.PUBLISHED, "glove.6B.zip", "0" * 64)
    message = r"glove.6B.zip is a file whose SHA-256 is not 0{64}; try again, or get it by hand"
    with pytest.raises(ValueError, match=message):
        small(None)
    assert Server.asked == ["/SST-2.zip", "/glove.6B.zip"]
    assert [path.name for path in cache.iterdir()] == ["SST-2.zip"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/SST-2.zip", "gone"])
def test_download_says_when_it_fails(cache, monkeypatch, address):
    if address == "gone":
        address = text_data.ADDRESSES["SST-2.zip"] + ".gone"
    monkeypatch.setitem(text_data.ADDRESSES, "SST-2.zip", address)
    message = rf"cannot download {address} \(.{{1,160}}\); get it by hand and put it into {cache}$"
    with pytest.raises(OSError, match=message):
        small(None)
    assert not list(cache.glob("*"))


def test_without_pooch(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("METAIRM_DATA", raising=False)
    assert len(small(data).test(0.9)) == 2  # no need of it
    message = r"--data-dir .* METAIRM_DATA, .* pip install 'metairm-np\[text\]'"
    with pytest.raises(FileNotFoundError, match=message):
        small(None)
