"""The made-up sentences: what they hold."""

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
