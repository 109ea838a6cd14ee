"""Sentences made by a grammar and vectors by a formula, in place of SST-2 and GloVe."""

import re

import numpy as np

from metairm_np.environments.text_data import Corpus

N_TRAIN, N_TEST = 4000, 800
WORDS = {
    "thing": "film story cast script camera ending music director dialogue plot zeugmatron".split(),
    "adverb": "rather quite often mostly truly at-times".split(),
    "good": "charming moving funny graceful inventive warm thrilling tender superb sincere".split(),
    "bad": "dull clumsy hollow tedious lazy stale shrill bland dreary forced".split(),
}
TEMPLATES = (  # of a sentence that says "own"; "other" is the opposite
    "the {thing} is {adverb} {own}",
    "a {adverb} {own} {thing} about a {thing}",
    "{own} , {own} and never {other}",
    "the {thing} is {own} and the {thing} {own} , too",
    "a {own} ( and {adverb} {own} ) piece of work",
    "the {thing} is {other} but the {thing} ... {own}",  # from its words alone, nobody can tell
    "not {other} at all",  # says the opposite of its words
    "it 's {own} ! , in its {adverb} {own} way",
    "the {thing} is {adverb} {own} , and its {thing} , {thing} and {thing} are {own} , too",
)
ENDINGS = ("", ".", ".", ".", "!", "?", "...", ". ''", ", --")  # as often for either label
UNKNOWN = "zeugmatron"  # the one word without a vector
SEED = 2020  # of the corpus, which is as fixed as SST-2 is; what a trial draws has the trial's seed


def corpus(dimension):
    """Return the Corpus of 4,000 training and 800 test sentences.

    The last training sentence is nothing but punctuation.
    """
    rng = np.random.default_rng(SEED)
    train, test = draw(rng, N_TRAIN - 1), draw(rng, N_TEST)
    train = [*train[0], [")"]], np.append(train[1], 0)
    words = {word for sentence in [*train[0], *test[0]] for word in sentence} | {"!", "."}
    return Corpus(train, test, make_vectors(sorted(words - {UNKNOWN}), dimension), {})


def draw(rng, n):
    """Draw n sentences, lists of words, and their labels (n,)."""

    def any_of(options):
        return options[rng.integers(len(options))]

    def sentence(label):
        own, other = ("bad", "good")[:: 1 - 2 * label]
        kinds = {**WORDS, "own": WORDS[own], "other": WORDS[other]}
        text = re.sub(r"{(\w+)}", lambda slot: any_of(kinds[slot[1]]), any_of(TEMPLATES))
        return [*text.split(), *any_of(ENDINGS).split()]

    labels = rng.integers(2, size=n)
    return [sentence(label) for label in labels], labels


def make_vectors(words, dimension):
    """Return each word's vector: normal noise, with the word's tone added to the first number."""
    noise = np.random.default_rng(SEED).standard_normal((len(words), dimension))
    tone = np.array([2 * ((word in WORDS["good"]) - (word in WORDS["bad"])) for word in words])
    noise[:, 0] = 0.3 * noise[:, 0] + tone
    return dict(zip(words, noise))
