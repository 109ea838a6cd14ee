"""PunctuatedSST-2: its statistics, which sentence is where, its vectors, what it teaches."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import within

from metairm_np.environments import punctuated_sst2, synthetic_text
from metairm_np.environments.punctuated_sst2 import bare, embed

on_both = pytest.mark.parametrize("make", ["sentences", "real sentences"], indirect=True)


def made_up(seed, dimension=8, **options):
    """Return a trial that needs no file."""
    return punctuated_sst2(seed, source="synthetic", dimension=dimension, **options)


def bare_means(bags):
    """Return the means of the vectors of sentences without final punctuation."""
    return bags.sums / bags.counts[:, None]


def unmarked(trial):
    """Return the same trial without marks and without final punctuation."""
    twin = trial.greyscale()
    twin._pools = [pool._replace(whole=bare_means(pool)) for pool in trial._pools]
    return twin


def marks_of(env, grey, marks):
    """Return which mark each sentence has.

    x is between the mark and x without it, at one part in the number of words and it.
    """
    found = np.full((2, len(env)), False)
    for z, mark in enumerate(marks):
        way = mark - grey.x
        share = ((env.x - grey.x) * way).sum(axis=1) / (way**2).sum(axis=1)
        found[z] = np.abs(env.x - grey.x - share[:, None] * way).max(axis=1) < 1e-12
        assert np.abs(1 / share[found[z]] - np.round(1 / share[found[z]])).max(initial=0) < 1e-6
        assert (share[found[z]] < 0.5 + 1e-9).all()  # one word or more besides the mark
    assert (found[0] ^ found[1]).all()
    return found[1].astype(int)


def everything(trial):
    return [*trial.train, *trial.validation, trial.test(0.1), trial.test(0.9)]


# Statistics


@on_both
def test_labels_and_marks_follow_their_probabilities_and_each_other_not(make):
    options = {"train_p": (0.1, 0.2, 0.6), "validation": 0.1}
    trial, clean = (
        make(3, label_noise=(0.25, 0.2, 0.3), **options),
        make(3, label_noise=0, **options),
    )
    etas, ps = [0.25, 0.2, 0.3] * 2 + [0.25] * 2, [0.1, 0.2, 0.6] * 2 + [0.1, 0.9]
    parts = zip(*map(everything, (trial, unmarked(trial), clean)), etas, ps, strict=True)
    for env, grey, quiet, eta, p_e in parts:
        noisy, turned, n = env.y != quiet.y, marks_of(env, grey, trial._marks) != env.y, len(env)
        assert (env.p_e, env.label_noise) == (p_e, pytest.approx(eta))
        assert within(noisy.sum(), n, eta)
        assert within(turned.sum(), n, p_e)
        assert within((noisy & turned).sum(), n, eta * p_e)
        assert within(noisy[quiet.y == 1].sum(), (quiet.y == 1).sum(), eta)
        assert within(turned[env.y == 1].sum(), (env.y == 1).sum(), p_e)


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "dropped"), [(50, 373), (100, 393)])
def test_sizes_of_the_real_data(real, dimension, dropped):
    trial = punctuated_sst2(0, dimension=dimension, data_dir=real)
    assert trial.dropped == (dropped, 0)
    assert sum(map(len, trial.train + trial.validation)) == 67_349 - dropped
    assert trial.test(0.9).shape == (872, dimension)


def test_made_up_sentences_have_no_sources():
    trial = made_up(0)
    assert (trial.sources, trial.verified, trial.dropped) == ({}, [], (1, 0))


# Which sentence is where


def test_test_sentences_are_those_of_the_test_file_in_its_order():
    corpus = synthetic_text.corpus(8)
    test = unmarked(made_up(0)).test(0.3, label_noise=0)
    np.testing.assert_array_equal(test.y, corpus.test[1])
    for x, sentence in zip(test.x, corpus.test[0]):
        known = [corpus.vectors[word] for word in bare(sentence) if word != "zeugmatron"]
        np.testing.assert_allclose(x, sum(known) / len(known), rtol=0, atol=1e-14)


@on_both
def test_test_environments_share_sentences_labels_and_draws(make):
    trial, ps = make(0), (0.0, 0.1, 0.5, 0.9, 1.0)
    grey, tests = unmarked(trial).test(0.5), {p_e: trial.test(p_e) for p_e in ps}
    turned = {p_e: marks_of(tests[p_e], grey, trial._marks) != grey.y for p_e in ps}
    assert not turned[0.0].any()
    assert turned[1.0].all()
    for low, high in ((0.1, 0.5), (0.5, 0.9)):
        np.testing.assert_array_equal(tests[low].y, tests[high].y)
        assert not (turned[low] & ~turned[high]).any()
        assert within((turned[high] & ~turned[low]).sum(), len(grey), 0.4)


@on_both
@pytest.mark.parametrize("draws", [0, 2])
def test_validation_of_long_sentences_leaves_out_the_short_ones_and_training_alone(make, draws):
    options = {"n_per_env": 300, "validation": 0.5, "validation_draws": draws}
    every, some = make(0, **options), make(0, validation_words=12, **options)
    for one, other in zip(every.train, some.train, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)
    held = every._rows(slice(150))
    for e, (one, other) in enumerate(zip(every.validation, some.validation, strict=True)):
        rows = np.tile(np.concatenate(held), draws) if draws else held[e]
        fit = every._pools[0].counts[rows] >= 12
        assert 0 < fit.sum() < len(fit)
        assert len(other) == fit.sum()
        if not draws:
            np.testing.assert_array_equal(other.x, one.x[fit])
            np.testing.assert_array_equal(other.y, one.y[fit])
    longest = np.array(every._pools[0].counts)[np.concatenate(held)].max()
    with pytest.raises(ValueError, match=f"the longest of the .* held out has {longest} words"):
        _ = make(0, validation_words=129, **options).validation


# The vectors


def rows(xs, ys):
    """Return samples in an order that does not depend on where they were."""
    return sorted((*x, y) for x, y in zip(xs, ys))


def test_vectors_by_hand(tmp_path):
    axes = dict(zip(["a", "fine", "film", "n't", ".", "!"], np.eye(50)))
    train = [
        "A fine , fine film ... '' . \t1",
        "n't ! fine ?!\t0",
        "zzz yyy --\t0",
        ". \t0",
        "\t0",
        "zzz a\t1",
    ]
    vectors = [f"{word} {' '.join(f'{v:g}' for v in x)}\n" for word, x in axes.items()]
    for name, text in {
        "glove/glove.6B.50d.txt": "".join(vectors),
        "sst2/train.tsv": "\n".join(["sentence\tlabel", *train]),
        "sst2/dev.tsv": "sentence\tlabel\nfilm .\t0\nfine u.s. .\t1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    first = axes["a"] + 2 * axes["fine"] + axes["film"]  # the comma has no vector
    second = axes["n't"] + axes["!"] + axes["fine"]
    bags, labels = [(first, 4), (second, 3), (axes["a"], 1)], [1, 0, 1]
    for p_e, marks in ((0, "!."), (1, ".!")):
        options = {"label_noise": 0, "validation": 0, "dimension": 50, "data_dir": tmp_path}
        trial = punctuated_sst2(5, train_p=(p_e,), **options)
        assert trial.dropped == (3, 0)
        (env,), (bare_one,), (grey,) = trial.train, unmarked(trial).train, trial.greyscale().train
        marked = [(s + axes[marks[y]]) / (n + 1) for (s, n), y in zip(bags, labels)]
        assert rows(env.x, env.y) == rows(marked, labels)
        assert rows(bare_one.x, bare_one.y) == rows([s / n for s, n in bags], labels)
        whole = [(first + axes["."]) / 5, second / 3, axes["a"]]  # with its own full stop
        assert rows(grey.x, grey.y) == rows(whole, labels)
        test = [(axes["film"] + axes[marks[0]]) / 2, (axes["fine"] + axes[marks[1]]) / 2]
        np.testing.assert_array_equal(trial.test(p_e).x, test)


def test_a_real_sentence_by_hand(real):
    path = next((real / "glove").glob("glove.6B.50d*.txt.gz"))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(" ") for line in file]
    vectors = {word: np.array(numbers, dtype=float) for word, *numbers in lines}
    with open(real / "sst2" / "dev.tsv", encoding="utf-8") as file:
        sentence, label = file.readlines()[1].rstrip("\n").split("\t")
    words = "it 's a charming and often affecting journey".split()
    assert (sentence.split(), label) == ([*words, "."], "1")
    trial = punctuated_sst2(0, dimension=50, data_dir=real)
    for env, mark in (
        (trial.test(0, label_noise=0), "."),
        (trial.test(1, label_noise=0), "!"),
        (trial.greyscale().test(0), "."),
    ):
        want = np.mean([vectors[word] for word in [*words, mark]], axis=0)
        np.testing.assert_allclose(env.x[0], want, rtol=0, atol=1e-15)


@on_both
def test_greyscale_leaves_no_trace_of_the_mark(make):
    one, other = make(2, train_p=(0.1, 0.2)), make(2, train_p=(0.9, 0.5))
    greys, others = everything(one.greyscale()), everything(other.greyscale())
    for env, a, b in zip(everything(one), greys, others):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
        np.testing.assert_array_equal(env.y, a.y)
        for key in ("name", "p_e", "label_noise", "dtype"):
            assert getattr(env, key) == getattr(a, key)
        # all but those that ended with that very mark
        assert (env.x != a.x).any(axis=1).mean() > 0.4
    np.testing.assert_array_equal(greys[-1].x, greys[-2].x)


words = st.lists(
    st.one_of(
        st.sampled_from(["film", "'s", "u.s.", ".", "!", "''", "...", "$", "\u2014", "2"]),
        st.text(min_size=1),
    )
)
punctuation = st.lists(
    st.text(st.sampled_from(".,!?'`\"-()[];:*+&/$#%=<>~\u2026\u201d\u2014\u00bf"), min_size=1)
)


@given(words, punctuation)
def test_final_punctuation_goes_and_nothing_else(sentence, marks):
    kept = bare(sentence)
    removed = sentence[len(kept) :]
    assert kept == sentence[: len(kept)]
    assert not any(character.isalnum() for word in removed for character in word)
    assert not kept or any(character.isalnum() for character in kept[-1])
    assert bare([*sentence, *marks]) == kept
    assert bare([*sentence, *marks, "film"]) == [*sentence, *marks, "film"]


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("a journey ! ? ... -- '' )", "a journey"),
        ("wait , what ?!?", "wait , what"),
        ("( a ) journey , no", "( a ) journey , no"),
        ("in the u.s. .", "in the u.s."),
        ("rock 'n' roll '", "rock 'n' roll"),
        ("no. 2", "no. 2"),
        (". .", ""),
    ],
)
def test_examples_of_final_punctuation(sentence, kept):
    assert bare(sentence.split()) == kept.split()


def test_words_without_vectors_count_for_nothing():
    vectors = {"a": np.array([1.0, 0.0]), ".": np.array([0.0, 4.0])}
    bags = embed([["a", "x", ".", "a"], ["x"], ["."], ["a"]], np.array([0, 0, 0, 1]), vectors)
    assert (bags.sums.tolist(), bags.counts.tolist()) == ([[2, 4], [1, 0]], [3, 1])
    assert (bags.y.tolist(), bags.dropped) == ([0, 1], 2)
    with pytest.raises(ValueError, match="none of the sentences has a word that has a vector; ta"):
        embed([["x", "."], []], np.array([0, 1]), vectors)


def test_what_trials_share_stays_as_it_is():
    trial = made_up(0)
    train, test = trial._pools
    shared = [*train[:4], *test[:4], trial._marks]
    before = [array.copy() for array in shared]
    everything(trial)
    everything(trial.greyscale())
    assert all((a == b).all() for a, b in zip(before, shared))
    assert made_up(1)._pools[0] is train


# What can be learnt


def least_squares_accuracy(train, tests):
    """Return the accuracies of the sign of a plane fitted to the labels."""
    x, y = np.concatenate([env.x for env in train]), np.concatenate([env.y for env in train])
    plane = np.linalg.lstsq(np.c_[x, np.ones(len(x))], 2 * y - 1, rcond=None)[0]
    return [((np.c_[env.x, np.ones(len(env))] @ plane > 0) == env.y).mean() for env in tests]


@pytest.mark.parametrize(
    ("make", "options", "best", "low_at_least", "high_at_most"),
    [
        ("sentences", {"dimension": 1}, (0.75, 0.9), 0, 1),
        ("sentences", {"dimension": 50}, (0.75, 0.9), 0.85, 0.15),
        ("real sentences", {}, (0.65, 0.8), 0.65, 0.45),
    ],
    indirect=["make"],
)
def test_sentences_tell_most_of_their_labels_and_marks_mislead(
    make, options, best, low_at_least, high_at_most
):
    clean, trial = make(0, label_noise=0, **options).greyscale(), make(0, **options)
    assert best[0] < least_squares_accuracy(clean.train, [clean.test(0.9)])[0] < best[1]
    low, high = least_squares_accuracy(trial.train, [trial.test(0.1), trial.test(0.9)])
    assert low > low_at_least
    assert high < high_at_most
