"""SST-2 as in GLUE and the GloVe 6B vectors: found or downloaded, and read line by line.

Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank",
2013; Wang et al., "GLUE", 2019; Pennington et al., "GloVe: Global Vectors for Word Representation",
2014.
"""

from __future__ import annotations

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

DIMENSIONS = (50, 100, 200, 300)  # of GloVe 6B
ADDRESSES = {
    "SST-2.zip": "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip",
    "glove.6B.zip": "https://nlp.stanford.edu/data/glove.6B.zip",
}
PARTS = ("train", "dev")  # of GLUE's sentences: to train and to test on
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
    *texts, table = files
    parts, sources = [], {}
    for file in texts:
        with opened(file) as stream:
            data = stream.read()
        sources[Path(file.member or file.path).name] = hashlib.sha256(data).hexdigest()
        parts.append(read_sentences(data, file.name))
    words = {word for sentences, _ in parts for sentence in sentences for word in sentence}
    with opened(table) as stream:
        vectors = read_vectors(stream, words.union(extra_words), dimension, table.name)
    for word in extra_words:
        if word not in vectors:
            raise ValueError(f"{table.name} has no vector for {word!r}; get the whole file")
    sources[table.path.name] = sha256_of(table.path)
    return Corpus(*parts, vectors, sources)


def read_sentences(data, name):
    """Return sentences, as lists of words, and labels from the bytes of a TSV file.

    It has the columns sentence and label, and no quoting.
    """
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise _damaged(name, number, "is not UTF-8") from None
    lines = text.split("\n")  # splitlines would split at rarer characters, too
    header, *rows = [line.removesuffix("\r").split("\t") for line in lines]
    if rows and rows[-1] == [""]:
        del rows[-1]  # after the last line's end
    for column in ("sentence", "label"):
        if column not in header:
            raise _damaged(name, 1, f"has no column {column!r}")
    if not rows:
        raise _damaged(name, 1, "is the last; there are no sentences")
    sentence, label = header.index("sentence"), header.index("label")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise _damaged(name, number, f"has {len(row)} columns instead of {len(header)}")
        if row[label] not in ("0", "1"):
            raise _damaged(name, number, f"has the label {row[label]!r}, which is neither 0 nor 1")
    labels = np.array([int(row[label]) for row in rows])
    return [row[sentence].lower().split() for row in rows], labels


def read_vectors(lines, words, dimension, name):
    """Return a dict of the vectors of those `words` that have one.

    Each of `lines`, which are bytes, has a word and its numbers, with single spaces.
    """
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
    """Open a File, packed or not, as a stream of bytes, or raise ValueError if that fails."""
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
    """Find the sentences and the vectors, or download them if no folder is named.

    Parameters
    ----------
    dimension : {50, 100, 200, 300}
    data_dir : str or path, optional
        The folder that has them; default: the environment variable METAIRM_DATA. Without either
        SST-2.zip (7 MB) and glove.6B.zip (862 MB) are downloaded once into pooch's cache.

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
        If a download fails, or is another file than it should be.
    """
    if data_dir is not None and not isinstance(data_dir, (str, os.PathLike)):
        raise TypeError(f"data_dir is {data_dir!r}; give the path of a folder")
    whole = f"glove.6B.{dimension}d.txt"
    named = data_dir or os.environ.get("METAIRM_DATA")
    if named:
        return _find(Path(named).expanduser(), whole)
    sentences, vectors = map(download, ADDRESSES)
    return *(File(sentences, f"SST-2/{part}.tsv") for part in PARTS), File(vectors, whole)


def _find(folder, whole):
    """Return the Files in a folder; the whole set of vectors goes before a part of it."""
    part = whole.replace(".txt", "*.txt")
    found = [*folder.glob(f"glove/{part}"), *folder.glob(f"glove/{part}.gz")]
    found.sort(key=lambda path: (path.name.removesuffix(".gz") != whole, path.name))
    files = [folder / "sst2" / f"{name}.tsv" for name in PARTS]
    files.append(found[0] if found else folder / "glove" / whole)
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no {path.relative_to(folder)}; name a folder with sst2/train.tsv, "
                f"sst2/dev.tsv and glove/{part} or glove/{part}.gz by --data-dir (data_dir in "
                "Python) or METAIRM_DATA, or name none, then they are downloaded"
            )
    return tuple(map(File, files))


def download(archive):
    """Return the path of one of the two archives, downloaded and checked if it is not there."""
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(
            "SST-2 and the GloVe vectors do not come with the project; name a folder that has them "
            "by --data-dir (data_dir in Python) or METAIRM_DATA, install pooch to download them, "
            "pip install 'metairm-np[text]', or take made-up ones with --source synthetic"
        ) from None
    folder, address = Path(pooch.os_cache("metairm_np")), ADDRESSES[archive]
    if (folder / archive).is_file():
        return folder / archive
    by_hand = f"get it by hand and put it into {folder}"
    pooch.get_logger().setLevel("ERROR")  # what it would tell is in the messages here
    # total=1: pooch sets the right one, but before that it asks for the truth of the bar, which is
    # that of total
    from tqdm import tqdm  # few need it, and importing takes a while

    bar = tqdm(desc=archive, total=1, unit="B", unit_scale=True, dynamic_ncols=True, disable=None)
    try:
        with bar:
            pooch.retrieve(
                address,
                f"sha256:{PUBLISHED[archive]}",
                fname=archive,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=2**20),
            )
    except OSError as error:  # requests' errors are among these
        reason = textwrap.shorten(str(error), 160)
        raise OSError(f"cannot download {address} ({reason}); {by_hand}") from None
    except ValueError:
        raise ValueError(
            f"{address} is a file whose SHA-256 is not {PUBLISHED[archive]}; try again, or "
            f"{by_hand}"
        ) from None
    return folder / archive
