"""The made-up sentences: what they hold, and that their words tell most of their labels."""

import numpy as np

from metairm_np.environments import synthetic_text


def test_the_synthetic_corpus_is_what_it_says():
    corpus = synthetic_text.corpus(7)
    for (sentences, labels), n in ((corpus.train, 4000), (corpus.test, 800)):
        assert len(sentences) == len(labels) == n
        assert abs(labels.mean() - 0.5) < 0.05
        ending = np.array([not sentence[-1][-1].isalnum() for sentence in sentences])
        assert 0.8 < ending.mean() < 0.95
        assert abs(ending[labels == 0].mean() - ending[labels == 1].mean()) < 0.05
    words = {word for sentence in corpus.train[0] + corpus.test[0] for word in sentence}
    assert words - corpus.vectors.keys() == {"zeugmatron"}
    assert {vector.shape for vector in corpus.vectors.values()} == {(7,)}
    assert corpus.train[0][-1] == [")"]
    good, bad = (
        np.mean([corpus.vectors[word][0] for word in synthetic_text.WORDS[tone]])
        for tone in ("good", "bad")
    )
    assert good > 1.5 > -1.5 > bad
    # the vectors do not depend on the order of a set
    assert list(corpus.vectors) == sorted(corpus.vectors)
    again = synthetic_text.corpus(7)
    assert again.train[0] == corpus.train[0]
    assert all((again.vectors[word] == vector).all() for word, vector in corpus.vectors.items())


def test_synthetic_sentences_speak_for_their_label():
    corpus = synthetic_text.corpus(1)
    good, bad = synthetic_text.WORDS["good"], synthetic_text.WORDS["bad"]
    tones = [[(word in good) - (word in bad) for word in sentence] for sentence in corpus.test[0]]
    said = np.sign(list(map(sum, tones)))
    right = said == 2 * corpus.test[1] - 1
    assert 0.7 < right.mean() < 0.8  # one in eight kinds of sentence is even, one says the opposite
    assert 0.08 < (said == 0).mean() < 0.18
