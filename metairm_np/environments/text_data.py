"""SST-2 as in GLUE and the GloVe 6B vectors: where the files are, fetched if asked for, and read with every line checked.

Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank",
2013; Wang et al., "GLUE", 2019; Pennington et al., "GloVe: Global Vectors for Word Representation",
2014.
"""

import codecs
import gzip
import hashlib
import io
import os
import textwrap
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

DIMENSIONS = (50, 100, 200, 300)  # of GloVe 6B
ADDRESSES = {
    "SST-2.zip": "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip",
    "glove.6B.zip": "https://nlp.stanford.edu/data/glove.6B.zip",
}
PUBLISHED = {  # SHA-256 of the files that are known by it; other copies are as welcome
    "SST-2.zip": "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
    "train.tsv": "48eac26399f8456935f81dd9e3a745c1430adb6c62e233ccfe22db4a0d15d1d1",
    "dev.tsv": "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0",
    "glove.6B.zip": "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
    "glove.6B.50d.txt": "d8f717f8dd4b545cb7f418ef9f3d0c3e6e68a6f48b97d32f8b7aae40cb31f96f",
}


class File(NamedTuple):
    """A file, or with `member` a part of a zip file."""

    path: Path
    member: str | None = None

    @property
    def name(self):
        """What users call it."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)


class Corpus(NamedTuple):
    """Sentences and the vectors of their words.

    train, test : pair
        A list of sentences, each a list of lower-case words, and their labels (n,), 1 for positive
        and 0 for negative.
    vectors : dict
        The vector (dimension,) of each word that has one.
    sources : dict
        The SHA-256 of each file that was read, by its name.
    """

    train: tuple
    test: tuple
    vectors: dict
    sources: dict


def read_corpus(files, dimension, extra_words=()):
    """Read what `locate` found.

    Parameters
    ----------
    files : triple of File
        The training sentences, the test sentences and the vectors.
    dimension : int
    extra_words : sequence of str
        Words that must have vectors.

    Returns
    -------
    Corpus

    Raises
    ------
    ValueError
        For a damaged file, with the number of the line, or one without a vector for one of
        `extra_words`.
    """
    parts, sources = [], {}
    for file in files[:2]:
        with opened(file) as stream:
            data = stream.read()
        sources[Path(file.member or file.path).name] = hashlib.sha256(data).hexdigest()
        parts.append(read_sentences(data, file.name))
    words = {word for sentences, _ in parts for sentence in sentences for word in sentence}
    with opened(files[2]) as stream:
        vectors = read_vectors(stream, words.union(extra_words), dimension, files[2].name)
    for word in extra_words:
        if word not in vectors:
            raise ValueError(f"{files[2].name} has no vector for {word!r}; get the whole file")
    sources[files[2].path.name] = sha256_of(files[2].path)
    return Corpus(*parts, vectors, sources)


def read_sentences(data, name):
    """Read the bytes of a TSV file with the columns sentence and label, without quoting: sentences in words, and labels."""
    try:
        lines = (
            data.removeprefix(codecs.BOM_UTF8).decode().split("\n")
        )  # splitlines would split at rarer characters, too
    except UnicodeDecodeError as error:
        raise _damaged(
            name, error.object.count(b"\n", 0, error.start) + 1, "is not UTF-8"
        ) from None
    header, *rows = [line.removesuffix("\r").split("\t") for line in lines]
    if rows and rows[-1] == [""]:
        del rows[-1]  # after the last line's end
    for column in ("sentence", "label"):
        if column not in header:
            raise _damaged(name, 1, f"has no column {column!r}")
    if not rows:
        raise _damaged(name, 1, "is the last; there are no sentences")
    text, label = header.index("sentence"), header.index("label")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise _damaged(name, number, f"has {len(row)} columns instead of {len(header)}")
        if row[label] not in ("0", "1"):
            raise _damaged(name, number, f"has the label {row[label]!r}, which is neither 0 nor 1")
    return [row[text].lower().split() for row in rows], np.array([int(row[label]) for row in rows])


def read_vectors(lines, words, dimension, name):
    """Read the vectors of those `words` that have one, a dict, from lines of bytes: a word and numbers, with single spaces."""
    wanted, vectors = {word.encode(): word for word in words}, {}
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.count(b" ") != dimension:
            raise _damaged(name, number, f"has {line.count(b' ')} numbers instead of {dimension}")
        word = line[: line.index(b" ")]
        if word in wanted:
            try:
                vector = np.array([float(field) for field in line.split(b" ")[1:]])
            except ValueError as error:
                raise _damaged(name, number, f"is wrong ({error})") from None
            if not np.isfinite(vector).all():
                raise _damaged(name, number, "has a number that is not finite")
            vectors[wanted[word]] = vector
    return vectors


def _damaged(name, number, reason):
    return ValueError(f"{name} is damaged: line {number} {reason}; get the file again")


@contextmanager
def opened(file):
    """Open a File, packed or not, as a stream of bytes; ValueError if it cannot be opened or unpacked."""
    try:
        if file.member:
            with zipfile.ZipFile(file.path) as archive, archive.open(file.member) as stream:
                yield io.BufferedReader(stream, 2**20)
        else:
            with (gzip.open if file.path.suffix == ".gz" else open)(file.path, "rb") as stream:
                yield stream
    except (OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{file.name} cannot be read ({error}); get the file again") from None


def sha256_of(path):
    """Return the SHA-256 of a file, as it is on the disk."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def locate(dimension, data_dir=None):
    """Find the sentences and the vectors, or fetch them if no folder is named.

    Parameters
    ----------
    dimension : {50, 100, 200, 300}
    data_dir : str or path, optional
        The folder that has them; default: the environment variable METAIRM_DATA. Without either it
        is the cache that pooch has for this project, into which SST-2.zip (7 MB) and glove.6B.zip
        (862 MB) are downloaded once.

    Returns
    -------
    triple of File
        The training sentences, the test sentences (GLUE's train.tsv and dev.tsv) and the vectors.

    Raises
    ------
    FileNotFoundError
        If something is missing in the folder that is named, or none is named and pooch is not
        installed.
    OSError, ValueError
        If a download fails, or gives another file than it should.
    """
    folder, named = data_folder(data_dir)
    sentences, vectors = find_sentences(folder), find_vectors(folder, dimension)
    if not sentences:
        _fetch_or_raise("SST-2.zip", folder, named, "sst2/train.tsv with sst2/dev.tsv")
        sentences = find_sentences(folder)
    if not vectors:
        _fetch_or_raise(
            "glove.6B.zip",
            folder,
            named,
            f"glove.6B.{dimension}d.txt, glove.6B.{dimension}d.txt.gz",
        )
        vectors = find_vectors(folder, dimension)
    return *sentences, vectors


def data_folder(data_dir):
    """Return the folder, and whether the user named it; else it is pooch's cache."""
    if data_dir is not None and not isinstance(data_dir, (str, os.PathLike)):
        raise TypeError(f"data_dir is {data_dir!r}; give the path of a folder")
    named = data_dir or os.environ.get("METAIRM_DATA")
    return (
        (Path(named).expanduser(), True)
        if named
        else (Path(_pooch().os_cache("metairm_np")), False)
    )


def find_sentences(folder):
    """Return the Files of the training and the test sentences, or None."""
    for place in (folder / "sst2", folder / "SST-2", folder):
        files = File(place / "train.tsv"), File(place / "dev.tsv")
        if all(file.path.is_file() for file in files):
            return files
    archive = folder / "SST-2.zip"
    return (
        (File(archive, "SST-2/train.tsv"), File(archive, "SST-2/dev.tsv"))
        if archive.is_file()
        else None
    )


def find_vectors(folder, dimension):
    """Return the File of the vectors, the whole set rather than a part of it, or None."""
    whole = f"glove.6B.{dimension}d.txt"
    part = f"glove.6B.{dimension}d*.txt"
    for pattern in (whole, f"{whole}.gz", "glove.6B.zip", part, f"{part}.gz"):
        for place in (folder, folder / "glove"):
            for path in sorted(place.glob(pattern)):
                return File(path, whole if path.suffix == ".zip" else None)
    return None


def _fetch_or_raise(archive, folder, named, others):
    if named:
        raise FileNotFoundError(
            f"{folder} has neither {others} nor {archive}; name another folder with --data-dir (data_dir in Python) or "
            f"METAIRM_DATA, or none, then it is downloaded from {ADDRESSES[archive]}"
        )
    fetch(archive, folder)


def fetch(archive, folder):
    """Download one of the two archives into `folder`, with a bar on terminals, and check its SHA-256."""
    pooch, address = _pooch(), ADDRESSES[archive]
    by_hand = f"get it by hand, put it into {folder} or another folder, and name that with --data-dir or METAIRM_DATA"
    pooch.get_logger().setLevel("ERROR")  # what it would tell is in the messages here
    try:
        # total=1: pooch sets the right one, but before that it asks for the truth of the bar, which
        # is that of total
        with tqdm(
            desc=archive, total=1, unit="B", unit_scale=True, dynamic_ncols=True, disable=None
        ) as bar:
            pooch.retrieve(
                address,
                f"sha256:{PUBLISHED[archive]}",
                fname=archive,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=2**20),
            )
    except OSError as error:  # requests' errors are among these
        raise OSError(
            f"cannot download {address} ({textwrap.shorten(str(error), 160)}); {by_hand}"
        ) from None
    except ValueError:
        raise ValueError(
            f"{address} gave a file whose SHA-256 is not {PUBLISHED[archive]}; try again, or {by_hand}"
        ) from None


def _pooch():
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(
            "the sentences of SST-2 and the GloVe vectors do not come with the project; name a folder that has them with "
            "--data-dir (data_dir in Python) or METAIRM_DATA, install pooch to download them, pip install 'metairm-np[text]', "
            "or take made-up ones with --source synthetic"
        ) from None
    return pooch
