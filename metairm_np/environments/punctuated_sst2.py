"""PunctuatedSST-2: sentences whose final mark agrees with a noisy label.

How often it does is the environment's own. Choe, Ham and Park, "An Empirical Study of Invariant
Risk Minimization", 2020.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import Seed
from metairm_np.environments import _packing, synthetic_text, text_data
from metairm_np.environments._split import EnvironmentSplit
from metairm_np.environments.environment import Environment

MARKS = ("!", ".")  # what is appended for z = 0 and z = 1


def punctuated_sst2(
    seed: Seed,
    train_p: float | Sequence[float] = (0.1, 0.2),
    label_noise: float | Sequence[float] = 0.25,
    n_per_env: int | None = None,
    validation: float = 0.2,
    validation_draws: int = 0,
    validation_words: int = 1,
    source: str = "glue",
    dimension: int = 100,
    data_dir: str | os.PathLike | None = None,
    dtype: str = "float64",
) -> PunctuatedSentences:
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
        Sentences of each training environment, its validation sentences included; default: all,
        shared out equally.
    validation : float in [0, 1), default 0.2
        Share of each environment's sentences held out for validation.
    validation_draws : int >= 0, default 0
        0: what is held out of an environment, as it was drawn, is its validation set. Otherwise the
        sentences held out of all environments are drawn anew so many times, as each environment
        draws, from the same random numbers for all, so that their validation risks differ hardly
        by chance.
    validation_words : int >= 1, default 1
        Of the sentences held out, validation takes those with so many words or more. GLUE trains on
        phrases, half of them of 7 words or fewer, and tests on sentences, half of them of 18 or
        more; the mark weighs the less the more words there are. Of the phrases with 12 words or
        more half have 18 or more.
    source : {"glue", "synthetic"}, default "glue"
        GLUE's SST-2, 67,349 phrases for training and 872 sentences for testing, with GloVe 6B
        vectors; or a made-up corpus of 4,000 and 800 that needs no file.
    dimension : int, default 100
        Columns of x: 50, 100, 200 or 300; any number for the synthetic source.
    data_dir : str or path, optional
        A folder with sst2/train.tsv, sst2/dev.tsv and, for 100 dimensions,
        glove/glove.6B.100d.txt, which may be gzipped or be a part, such as
        glove/glove.6B.100d.sst2.txt.gz. Default: the environment variable METAIRM_DATA. Without
        either SST-2.zip (7 MB) and glove.6B.zip (862 MB) are downloaded once, which needs pooch:
        `pip install 'metairm-np[text]'`.
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
        validation_draws=validation_draws,
        validation_words=validation_words,
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
    """What all trials share.

    train, test : Bags
    marks : (2, d) array
        The vectors of the MARKS.
    sources : dict
        The SHA-256 of each file that was read, by its name.
    """

    train: Bags
    test: Bags
    marks: np.ndarray
    sources: dict


class PunctuatedSentences(EnvironmentSplit):
    """One trial: punctuated sentences as a pure function of the sentences, settings and seed.

    Parameters
    ----------
    sentences : Embedded
    seed, train_p, label_noise, n_per_env, validation, validation_draws, validation_words, dtype
        As for `punctuated_sst2`.

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

    n_classes, samples = 2, "sentences"

    def __init__(self, sentences, seed, validation_words=1, **settings):
        _checks.count("validation_words", validation_words, 1)
        pools = (sentences.train, sentences.test)
        super().__init__(seed, pools, sources=sentences.sources, **settings)
        self._validation_words = validation_words
        self._marks, self._mark = sentences.marks, True
        self.verified = [
            name for name, digest in self.sources.items() if text_data.PUBLISHED.get(name) == digest
        ]
        self.dropped = (sentences.train.dropped, sentences.test.dropped)

    def test(self, p_e: float, label_noise: float | None = None) -> Environment:
        """Return the test environment at `p_e`: the same sentences and labels for every `p_e`.

        Parameters
        ----------
        p_e : float in [0, 1]
        label_noise : float in [0, 1], default the mean over the training environments

        Returns
        -------
        Environment

        Raises
        ------
        ValueError, TypeError
            For a number outside [0, 1].
        """
        return self._test(p_e, label_noise)

    def greyscale(self) -> PunctuatedSentences:
        """Return the same trial with the sentences left alone: no mark, their own punctuation."""
        return self._twin(_mark=False)

    def _fit_to_validate(self, rows):
        words = self._pools[0].counts[rows]
        fit = words >= self._validation_words
        if not fit.any():
            raise ValueError(
                f"validation_words is {self._validation_words}, and the longest of the {len(rows)} "
                f"sentences held out has {words.max()} words; give that or less, or a larger "
                "validation"
            )
        return fit

    def _environment(self, pool, rows, uniforms, *, p_e, label_noise, **about):
        y = pool.y[rows] ^ (uniforms[0] < label_noise)
        if self._mark:
            z = y ^ (uniforms[1] < p_e)
            x = (pool.sums[rows] + self._marks[z]) / (pool.counts[rows] + 1)[:, None]  # (n, d)
        else:
            x = pool.whole[rows]
        x = _packing.locked(x.astype(self.dtype))  # so that the environment takes no other copy
        return Environment(x, y, p_e=p_e, label_noise=label_noise, **about)


@functools.lru_cache(maxsize=2)
def embedded(files, dimension):
    """Embed the sentences in `files`, or without files the synthetic ones, once per process."""
    if files:
        corpus = text_data.read_corpus(files, dimension, MARKS)
    else:
        corpus = synthetic_text.corpus(dimension)
    marks = np.stack([corpus.vectors[mark] for mark in MARKS])
    parts = (embed(*part, corpus.vectors) for part in (corpus.train, corpus.test))
    return Embedded(*parts, marks, corpus.sources)


def embed(sentences, labels, vectors):
    """Return the Bags of sentences (lists of words) and their labels."""
    numbers = {word: number for number, word in enumerate(vectors)}
    matrix = np.stack(list(vectors.values()))  # (n, d)

    def bag(words):
        return [numbers[word] for word in words if word in numbers]

    bags = [(bag(bare(sentence)), bag(sentence)) for sentence in sentences]
    counts = np.array([len(some) for some, _ in bags])
    kept = counts > 0
    if not kept.any():
        raise ValueError(
            "none of the sentences has a word that has a vector; take the vectors from the whole "
            "file"
        )
    sums = np.stack([matrix[some].sum(axis=0) for some, _ in bags if some])  # (n, d)
    whole = np.stack([matrix[every].mean(axis=0) for some, every in bags if some])
    return Bags(sums, counts[kept], whole, labels[kept], int((~kept).sum()))


def bare(words):
    """Return a sentence's words without the words at its end that have no letter and no digit."""
    end = len(words)
    while end and not any(character.isalnum() for character in words[end - 1]):
        end -= 1
    return words[:end]
