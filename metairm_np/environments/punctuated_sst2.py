"""PunctuatedSST-2: sentences whose final mark agrees with a noisy label with an environment's own probability.

Choe, Ham and Park, "An Empirical Study of Invariant Risk Minimization", 2020.
"""

import functools
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np.environments import synthetic_text, text_data
from metairm_np.environments._split import EnvironmentSplit
from metairm_np.environments.environment import Environment

MARKS = ("!", ".")  # what is appended for z = 0 and z = 1


def punctuated_sst2(
    seed,
    train_p=(0.1, 0.2),
    label_noise=0.25,
    n_per_env=None,
    validation=0.2,
    source="glue",
    dimension=100,
    data_dir=None,
    dtype="float64",
):
    """Make one trial of PunctuatedSST-2.

    A sentence loses its final punctuation: all words at its end that have no letter and no digit. A
    mark is appended, " !" for z = 0 and " ." for z = 1, and x is the mean of the vectors of its
    words and the mark. Words are what whitespace separates, in lower case. Those without a vector
    are left out of the mean, and a sentence with none other is dropped.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The trial's seed; equal seeds give equal bits.
    train_p : sequence of float in [0, 1], default (0.1, 0.2)
        One training environment per entry: the probability p_e that the mark is that of z = 1 - y
        instead of z = y.
    label_noise : float in [0, 1] or one per environment, default 0.25
        Probability eta that the label y (0 negative, 1 positive) is not the sentence's own.
    n_per_env : int, optional
        Sentences dealt to each training environment, its validation sentences included; default:
        all, shared out equally.
    validation : float in [0, 1), default 0.2
        Share of each environment's sentences held out for validation.
    source : {"glue", "synthetic"}, default "glue"
        GLUE's SST-2, 67,349 phrases for training and 872 sentences for testing, with GloVe 6B
        vectors; or a made-up corpus of 4,000 and 800 that needs no file.
    dimension : int, default 100
        Columns of x: 50, 100, 200 or 300; any number for the synthetic source.
    data_dir : str or path, optional
        A folder that has train.tsv and dev.tsv in sst2/, in SST-2/, in SST-2.zip or beside these,
        and glove.6B.100d*.txt, glove.6B.100d*.txt.gz or glove.6B.zip, also in glove/. Default: the
        environment variable METAIRM_DATA. Without either SST-2.zip (7 MB) and glove.6B.zip (862 MB)
        are downloaded once, which needs pooch: `pip install 'metairm-np[text]'`.
    dtype : {"float64", "float32"}, default "float64"

    Returns
    -------
    PunctuatedSentences
        With `.train`, `.validation`, `.test(p_e)` and `.greyscale()`.

    Raises
    ------
    ValueError, TypeError
        For a value outside what is listed here, more sentences than there are, or a damaged file.
    FileNotFoundError, OSError
        If a file is missing, or cannot be downloaded.
    """
    _checks.choice("source", source, ("glue", "synthetic"))
    _checks.count("dimension", dimension, 1)
    if source == "glue" and dimension not in text_data.DIMENSIONS:
        raise ValueError(f"dimension is {dimension}; GloVe 6B has 50, 100, 200 and 300")
    files = text_data.locate(dimension, data_dir) if source == "glue" else None
    return PunctuatedSentences(
        embedded(files, int(dimension)),
        seed,
        train_p=train_p,
        label_noise=label_noise,
        n_per_env=n_per_env,
        validation=validation,
        dtype=dtype,
    )


class Bags(NamedTuple):
    """Sentences without their final punctuation, as bags of words, and as they were.

    sums : (n, d) array
        The sum of the vectors of each sentence's words, as far as they have one.
    counts : (n,) array of int
        The number of those words, 1 or more.
    whole : (n, d) array
        The mean of the vectors of each whole sentence's words, its own final punctuation among
        them.
    y : (n,) array of int
        The labels.
    dropped : int
        How many sentences had no such word.
    """

    sums: np.ndarray
    counts: np.ndarray
    whole: np.ndarray
    y: np.ndarray
    dropped: int


class Embedded(NamedTuple):
    """What all trials share: the Bags to train and to test on, the vectors of the MARKS (2, d), and each file's SHA-256."""

    train: Bags
    test: Bags
    marks: np.ndarray
    sources: dict


class PunctuatedSentences(EnvironmentSplit):
    """One trial: environments of punctuated sentences as a pure function of the sentences, the settings and the seed.

    `sentences` is Embedded; the other parameters are those of `punctuated_sst2`.

    Attributes
    ----------
    train, validation : list of Environment
        With x (n, dimension).
    n_classes : int
        2.
    sources : dict
        The SHA-256 of each file that was read, by the file's name: of train.tsv and dev.tsv
        themselves, even if they are in a zip file, and of the file of vectors as it is on the disk.
        Empty for the synthetic source.
    verified : list of str
        Those of the files whose SHA-256 is the published one.
    dropped : tuple of int
        How many training and test sentences had no word that has a vector.
    """

    n_classes, things = 2, "sentences"

    def __init__(
        self,
        sentences,
        seed,
        *,
        train_p=(0.1, 0.2),
        label_noise=0.25,
        n_per_env=None,
        validation=0.2,
        dtype="float64",
        mark=True,
    ):
        super().__init__(
            seed, len(sentences.train.y), train_p, label_noise, n_per_env, validation, dtype
        )
        self.mark, self._sentences = mark, sentences
        self.sources = dict(sentences.sources)
        self.verified = [
            name for name, digest in self.sources.items() if text_data.PUBLISHED.get(name) == digest
        ]
        self.dropped = (sentences.train.dropped, sentences.test.dropped)

    def test(self, p_e, label_noise=None):
        """Return the test environment at `p_e`: the same sentences, labels and uniform draws for every `p_e`.

        Parameters
        ----------
        p_e : float in [0, 1]
        label_noise : float in [0, 1], default the mean over the training environments
        """
        _checks.number("p_e", p_e, 0, 1)
        label_noise, bags = self._noise_of_test(label_noise), self._sentences.test
        draws = self._test_draws(len(bags.y))
        return self._environment(bags, slice(None), draws, f"test p_e={p_e:g}", p_e, label_noise)

    def greyscale(self):
        """Return the same trial with the sentences left alone, no mark appended and their own punctuation kept."""
        return self._twin(mark=False)

    def _training_environment(self, rows, draws, e, name):
        return self._environment(
            self._sentences.train, rows, draws, name, self.train_p[e], self.label_noise[e]
        )

    def _environment(self, bags, rows, draws, name, p_e, label_noise):
        y = bags.y[rows] ^ (draws[0] < label_noise)
        z = y ^ (draws[1] < p_e)
        marked = (bags.sums[rows] + self._sentences.marks[z]) / (bags.counts[rows] + 1)[
            :, None
        ]  # (n, d)
        x = (marked if self.mark else bags.whole[rows]).astype(self.dtype)
        return Environment(x, y, name=name, p_e=p_e, label_noise=label_noise)


@functools.lru_cache(maxsize=2)
def embedded(files, dimension):
    """Embed the sentences in `files`, or without files the synthetic ones, once per process."""
    corpus = (
        text_data.read_corpus(files, dimension, MARKS)
        if files
        else synthetic_text.corpus(dimension)
    )
    marks = np.stack([corpus.vectors[mark] for mark in MARKS])
    return Embedded(
        embed(*corpus.train, corpus.vectors),
        embed(*corpus.test, corpus.vectors),
        marks,
        corpus.sources,
    )


def embed(sentences, labels, vectors):
    """Return the Bags of sentences (lists of words) and their labels."""
    numbers, matrix = (
        {word: number for number, word in enumerate(vectors)},
        np.stack(list(vectors.values())),
    )
    known = [[numbers[word] for word in sentence if word in numbers] for sentence in sentences]
    bags = [[numbers[word] for word in bare(sentence) if word in numbers] for sentence in sentences]
    counts = np.array([len(bag) for bag in bags])
    kept = counts > 0
    if not kept.any():
        raise ValueError(
            "none of the sentences has a word that has a vector; take the vectors from the whole file"
        )
    sums = np.stack([matrix[bag].sum(axis=0) for bag in bags if bag])  # (n, d)
    whole = np.stack([matrix[every].mean(axis=0) for every, bag in zip(known, bags) if bag])
    return Bags(sums, counts[kept], whole, labels[kept], int((~kept).sum()))


def bare(words):
    """Return a sentence's words without its final punctuation, the words at the end that have no letter and no digit."""
    end = len(words)
    while end and not any(character.isalnum() for character in words[end - 1]):
        end -= 1
    return words[:end]
