"""PunctuatedSST-2: its statistics, its purity, its vectors by hand, and what it refuses."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metairm_np import fast, init_mlp, spec
from metairm_np.environments import punctuated_sst2, synthetic_text
from metairm_np.environments.punctuated_sst2 import bare, embed


def made_up(seed, dimension=8, **options):
    """Make a trial that needs no file."""
    return punctuated_sst2(seed, source="synthetic", dimension=dimension, **options)


@pytest.fixture(scope="module")
def real():
    """Return the folder of the real data."""
    folder = Path(os.environ.get("METAIRM_DATA", "."))
    if not (folder / "sst2").is_dir() or not (folder / "glove").is_dir():
        pytest.skip(
            f"needs the real sst2/ and glove/ in {folder}: set METAIRM_DATA to the folder that has them"
        )
    return folder


@pytest.fixture(params=["synthetic", "glue"])
def make(request):
    """Return a maker of trials, on the made-up corpus and on the real one."""
    if request.param == "synthetic":
        return made_up
    folder = request.getfixturevalue("real")
    return lambda seed, **options: punctuated_sst2(seed, dimension=50, data_dir=folder, **options)


def unmarked(trial):
    """Return the same trial without marks and without final punctuation."""
    twin = trial.greyscale()
    bags = [
        bags._replace(whole=bags.sums / bags.counts[:, None])
        for bags in (trial._sentences.train, trial._sentences.test)
    ]
    twin._sentences = trial._sentences._replace(train=bags[0], test=bags[1])
    return twin


def marks_of(env, grey, marks):
    """Tell which mark each sentence has: x is between the mark and x without it, at one part in the number of words and it."""
    found = np.full((2, len(env)), False)
    for z, mark in enumerate(marks):
        way = mark - grey.x
        share = ((env.x - grey.x) * way).sum(axis=1) / (way**2).sum(axis=1)
        found[z] = np.abs(env.x - grey.x - share[:, None] * way).max(axis=1) < 1e-12
        assert np.abs(1 / share[found[z]] - np.round(1 / share[found[z]])).max(initial=0) < 1e-6
        assert (share[found[z]] < 0.5 + 1e-9).all()  # one word or more besides the mark
    assert (found[0] ^ found[1]).all()
    return found[1].astype(int)


def within(count, n, p, sigmas=5):
    """Return whether a binomial count lies within so many standard deviations of its mean."""
    return abs(count - n * p) <= sigmas * max((n * p * (1 - p)) ** 0.5, 1e-9)


def all_environments(trial):
    return [*trial.train, *trial.validation, trial.test(0.1), trial.test(0.9)]


# Statistics


def test_labels_and_marks_follow_their_probabilities_and_each_other_not(make):
    trial = make(3, train_p=(0.1, 0.2, 0.6), label_noise=(0.25, 0.2, 0.3), validation=0.1)
    clean = make(3, train_p=(0.1, 0.2, 0.6), label_noise=0, validation=0.1)
    twin, marks = unmarked(trial), trial._sentences.marks
    etas, ps = [0.25, 0.2, 0.3] * 2 + [0.25] * 2, [0.1, 0.2, 0.6] * 2 + [0.1, 0.9]
    for env, grey, quiet, eta, p_e in zip(*map(all_environments, (trial, twin, clean)), etas, ps):
        noisy, z = env.y != quiet.y, marks_of(env, grey, marks)
        turned, n = z != env.y, len(env)
        assert (env.p_e, env.label_noise) == (p_e, pytest.approx(eta))
        assert within(noisy.sum(), n, eta)
        assert within(turned.sum(), n, p_e)
        assert within((noisy & turned).sum(), n, eta * p_e)
        assert within(noisy[quiet.y == 1].sum(), (quiet.y == 1).sum(), eta)
        assert within(turned[env.y == 1].sum(), (env.y == 1).sum(), p_e)


def test_environments_have_their_own_draws():
    trial = made_up(0, train_p=(0.5, 0.5), label_noise=0.5, validation=0.5)
    clean = made_up(0, train_p=(0.5, 0.5), label_noise=0, validation=0.5)
    flips = [
        env.y != quiet.y
        for env, quiet in zip([*trial.train, *trial.validation], [*clean.train, *clean.validation])
    ]
    for i, a in enumerate(flips):
        for b in flips[:i]:
            assert within((a[:999] == b[:999]).sum(), 999, 0.5)


def test_sizes():
    assert [len(env) for env in all_environments(made_up(0))] == [1599, 1599, 400, 400, 800, 800]
    assert [len(env) for env in all_environments(made_up(0, n_per_env=100, validation=0.25))] == [
        75,
        75,
        25,
        25,
        800,
        800,
    ]
    assert made_up(0, validation=0).validation == []
    assert [len(env) for env in made_up(0, train_p=(0.1, 0.2, 0.3), validation=0).train] == [
        1333
    ] * 3
    assert made_up(0, train_p=0.3).train_p == [0.3]
    assert {env.shape[1] for env in all_environments(made_up(0, dimension=3))} == {3}


def test_sizes_of_the_real_data(real):
    dropped = {50: 373, 100: 393}
    for dimension in (50, 100):
        trial = punctuated_sst2(0, dimension=dimension, data_dir=real)
        assert trial.dropped == (dropped[dimension], 0)
        assert (
            sum(len(env) for env in trial.train + trial.validation) == 67_349 - dropped[dimension]
        )
        assert len(trial.test(0.9)) == 872
        assert trial.test(0.9).shape[1] == dimension


def test_names():
    trial = made_up(0)
    assert [env.name for env in all_environments(trial)] == [
        "train p_e=0.1",
        "train p_e=0.2",
        "validation p_e=0.1",
        "validation p_e=0.2",
        "test p_e=0.1",
        "test p_e=0.9",
    ]
    assert (trial.n_classes, trial.train_p, trial.label_noise, trial.dropped) == (
        2,
        [0.1, 0.2],
        [0.25, 0.25],
        (1, 0),
    )
    assert (trial.sources, trial.verified) == ({}, [])


# Which sentence is where


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**64), st.sampled_from([0, 0.2, 0.5]))
def test_each_sentence_is_dealt_once(seed, validation):
    trial = unmarked(made_up(seed, train_p=(0.1, 0.2, 0.3), label_noise=0, validation=validation))
    dealt = [
        (x.tobytes(), y) for env in trial.train + trial.validation for x, y in zip(env.x, env.y)
    ]
    pool = trial._sentences.train
    assert sorted(dealt) == sorted(
        (x.tobytes(), y) for x, y in zip(pool.sums / pool.counts[:, None], pool.y)
    )


def test_training_and_validation_are_shuffled():
    trial, other = (unmarked(made_up(seed, label_noise=0, validation=0.5)) for seed in (0, 1))
    pool = trial._sentences.train.sums / trial._sentences.train.counts[:, None]
    for env, again in zip(trial.train + trial.validation, other.train + other.validation):
        assert (env.x != again.x).any(axis=1).mean() > 0.9
        assert (env.x != pool[: len(env)]).any(axis=1).mean() > 0.9


def test_test_sentences_are_those_of_the_test_file_in_its_order():
    corpus = synthetic_text.corpus(8)
    test = unmarked(made_up(0)).test(0.3, label_noise=0)
    np.testing.assert_array_equal(test.y, corpus.test[1])
    for x, sentence in zip(test.x, corpus.test[0]):
        known = [corpus.vectors[word] for word in bare(sentence) if word != "zeugmatron"]
        np.testing.assert_allclose(x, sum(known) / len(known), rtol=0, atol=1e-14)


def test_test_environments_share_sentences_labels_and_draws(make):
    trial = make(0)
    grey, marks = unmarked(trial).test(0.5), trial._sentences.marks
    turned = {
        p_e: marks_of(trial.test(p_e), grey, marks) != grey.y for p_e in (0.0, 0.1, 0.5, 0.9, 1.0)
    }
    assert not turned[0.0].any()
    assert turned[1.0].all()
    for low, high in ((0.1, 0.5), (0.5, 0.9)):
        np.testing.assert_array_equal(trial.test(low).y, trial.test(high).y)
        assert not (turned[low] & ~turned[high]).any()
        assert within((turned[high] & ~turned[low]).sum(), len(grey), 0.4)


def test_label_noise_of_a_test_environment():
    trial = made_up(0, label_noise=(0.1, 0.4))
    assert trial.test(0.9).label_noise == pytest.approx(0.25)
    assert trial.test(0.9, label_noise=0.1).label_noise == 0.1
    clean, few, many = (trial.test(0.9, label_noise=eta).y for eta in (0, 0.25, 1))
    np.testing.assert_array_equal(few, trial.test(0.1).y)
    np.testing.assert_array_equal(clean, 1 - many)
    np.testing.assert_array_equal(clean, synthetic_text.corpus(8).test[1])


# The vectors


def test_vectors_by_hand(tmp_path):
    axes = dict(zip(["a", "fine", "film", "n't", ".", "!"], np.eye(50)))
    (tmp_path / "glove.6B.50d.txt").write_text(
        "".join(f"{w} {' '.join(f'{v:g}' for v in x)}\n" for w, x in axes.items())
    )
    train = [
        "A fine , fine film ... '' . \t1",
        "n't ! fine ?!\t0",
        "zzz yyy --\t0",
        ". \t0",
        "\t0",
        "zzz a\t1",
    ]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *train]))
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\nfilm .\t0\nfine u.s. .\t1\n")
    options = {"label_noise": 0, "validation": 0, "dimension": 50, "data_dir": tmp_path}
    agree, differ = (punctuated_sst2(5, train_p=(p_e,), **options) for p_e in (0, 1))
    assert agree.dropped == (3, 0)
    first = axes["a"] + 2 * axes["fine"] + axes["film"]  # the comma has no vector
    second = axes["n't"] + axes["!"] + axes["fine"]
    third = axes["a"]
    rows = {1: [(first, 4), (third, 1)], 0: [(second, 3)]}
    for trial, marks in ((agree, "!."), (differ, ".!")):
        want = [(*(s + axes[marks[y]]) / (n + 1), y) for y in rows for s, n in rows[y]]
        assert sorted((*x, y) for x, y in zip(trial.train[0].x, trial.train[0].y)) == sorted(want)
        bare_ones, grey = unmarked(trial).train[0], trial.greyscale().train[0]
        found = sorted((*x, y) for x, y in zip(bare_ones.x, bare_ones.y))
        assert found == sorted((*s / n, y) for y in rows for s, n in rows[y])
        whole = [
            ((first + axes["."]) / 5, 1),
            (third, 1),
            (second / 3, 0),
        ]  # with its own full stop
        assert sorted((*x, y) for x, y in zip(grey.x, grey.y)) == sorted((*x, y) for x, y in whole)
        test = [(axes["film"] + axes[marks[0]]) / 2, (axes["fine"] + axes[marks[1]]) / 2]
        np.testing.assert_array_equal(trial.test(trial.train_p[0]).x, test)


def test_a_real_sentence_by_hand(real):
    vectors = {}
    with gzip.open(
        next((real / "glove").glob("glove.6B.50d*.txt.gz")), "rt", encoding="utf-8"
    ) as file:
        for line in file:
            word, *numbers = line.rstrip("\n").split(" ")
            vectors[word] = np.array(numbers, dtype=float)
    with open(real / "sst2" / "dev.tsv", encoding="utf-8") as file:
        sentence, label = file.readlines()[1].rstrip("\n").split("\t")
    words = "it 's a charming and often affecting journey".split()
    assert (sentence.split(), label) == ([*words, "."], "1")
    trial = punctuated_sst2(0, dimension=50, data_dir=real)
    for p_e, mark in ((0, "."), (1, "!")):
        want = np.mean([vectors[word] for word in [*words, mark]], axis=0)
        np.testing.assert_allclose(trial.test(p_e, label_noise=0).x[0], want, rtol=0, atol=1e-15)
    grey = trial.greyscale().test(0).x[0]
    np.testing.assert_allclose(
        grey, np.mean([vectors[word] for word in [*words, "."]], axis=0), rtol=0, atol=1e-15
    )


def test_greyscale_leaves_no_trace_of_the_mark(make):
    one, other = make(2, train_p=(0.1, 0.2)), make(2, train_p=(0.9, 0.5))
    for a, b in zip(all_environments(one.greyscale()), all_environments(other.greyscale())):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
    np.testing.assert_array_equal(one.greyscale().test(0.1).x, one.greyscale().test(0.9).x)
    for env, grey in zip(all_environments(one), all_environments(one.greyscale())):
        np.testing.assert_array_equal(env.y, grey.y)
        assert (env.name, env.p_e, env.label_noise, env.dtype) == (
            grey.name,
            grey.p_e,
            grey.label_noise,
            grey.dtype,
        )
        assert (env.x != grey.x).any(
            axis=1
        ).mean() > 0.4  # all but those that ended with that very mark


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
    assert bare(kept) == kept
    assert bare([*sentence, *marks]) == kept
    assert bare([*sentence, *marks, "film"]) == [*sentence, *marks, "film"]


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("a journey .", "a journey"),
        ("a journey ! ? ... -- '' )", "a journey"),
        ("wait , what ?!?", "wait , what"),
        ("( a ) journey , no", "( a ) journey , no"),
        ("in the u.s. .", "in the u.s."),
        ("rock 'n' roll '", "rock 'n' roll"),
        ("no. 2", "no. 2"),
        (". .", ""),
        ("", ""),
    ],
)
def test_examples_of_final_punctuation(sentence, kept):
    assert bare(sentence.split()) == kept.split()


def test_words_without_vectors_count_for_nothing():
    vectors = {"a": np.array([1.0, 0.0]), ".": np.array([0.0, 4.0])}
    bags = embed([["a", "x", ".", "a"], ["x"], ["."], ["a"]], np.array([0, 0, 0, 1]), vectors)
    assert (bags.sums.tolist(), bags.counts.tolist(), bags.y.tolist(), bags.dropped) == (
        [[2, 4], [1, 0]],
        [3, 1],
        [0, 1],
        2,
    )
    with pytest.raises(
        ValueError, match="none of the sentences has a word that has a vector; take"
    ):
        embed([["x", "."], []], np.array([0, 1]), vectors)


# Purity


def test_same_seed_same_bits_in_any_order_of_calls(make):
    one, two, other = make(7), make(np.random.SeedSequence(7)), make(8)
    first = one.test(0.9)
    one.greyscale().train  # noqa: B018
    two.test(0.1)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    for a, b in [
        (first, two.test(0.9)),
        *zip(one.train + one.validation, two.train + two.validation),
    ]:
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
    np.testing.assert_array_equal(state, np.random.get_state()[1])
    assert (one.train[0].y != other.train[0].y).any()
    assert (one.test(0.9).y != other.test(0.9).y).any()


def test_more_environments_leave_the_draws_of_the_first_alone():
    short, long = (
        made_up(0, train_p=p, n_per_env=50, validation=0) for p in ((0.1, 0.2), (0.1, 0.2, 0.3))
    )
    for a, b in zip(short.train, long.train):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)


def test_dtypes_agree():
    wide, narrow = (made_up(0, dtype=dtype) for dtype in ("float64", "float32"))
    for a, b in zip(all_environments(wide), all_environments(narrow)):
        assert (a.dtype, b.dtype) == (np.float64, np.float32)
        np.testing.assert_array_equal(a.x.astype("float32"), b.x)


def test_what_trials_share_stays_as_it_is():
    trial = made_up(0)
    before = [
        array.copy()
        for array in (
            *trial._sentences.train[:3],
            *trial._sentences.test[:3],
            trial._sentences.marks,
        )
    ]
    all_environments(trial)
    all_environments(trial.greyscale())
    after = (*trial._sentences.train[:3], *trial._sentences.test[:3], trial._sentences.marks)
    assert all((a == b).all() for a, b in zip(before, after))
    assert made_up(1)._sentences is trial._sentences


# What can be learnt


def least_squares_accuracy(train, tests):
    """Fit a plane to the labels and give the accuracies of its sign."""
    x, y = np.concatenate([env.x for env in train]), np.concatenate([env.y for env in train])
    plane = np.linalg.lstsq(np.c_[x, np.ones(len(x))], 2 * y - 1, rcond=None)[0]
    return [((np.c_[env.x, np.ones(len(env))] @ plane > 0) == env.y).mean() for env in tests]


@pytest.mark.parametrize("dimension", [1, 8, 50])
def test_synthetic_sentences_tell_most_of_their_labels(dimension):
    clean = made_up(0, dimension, label_noise=0).greyscale()
    assert 0.75 < least_squares_accuracy(clean.train, [clean.test(0.9)])[0] < 0.9


def test_synthetic_marks_mislead():
    trial = made_up(0, 50)
    low, high = least_squares_accuracy(trial.train, [trial.test(0.1), trial.test(0.9)])
    assert low > 0.85
    assert high < 0.15


def test_real_sentences_tell_most_of_their_labels_and_marks_mislead(real):
    clean = punctuated_sst2(0, label_noise=0, dimension=50, data_dir=real).greyscale()
    assert 0.65 < least_squares_accuracy(clean.train, [clean.test(0.9)])[0] < 0.8
    trial = punctuated_sst2(0, dimension=50, data_dir=real)
    low, high = least_squares_accuracy(trial.train, [trial.test(0.1), trial.test(0.9)])
    assert low > 0.65
    assert high < 0.45


def test_both_engines_take_the_environments():
    trial, params = made_up(0, n_per_env=60), init_mlp((8, 5, 1), 0)
    ours, theirs = (
        engine.value_and_grad("meta_irm", params, trial.train, inner_lr=0.5, std_weight=0.3)
        for engine in (fast, spec)
    )
    assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
    np.testing.assert_allclose(ours[1][0][0], theirs[1][0][0], rtol=1e-9, atol=1e-14)


# What is refused


BAD = {
    "source": ({"source": "glu"}, ValueError, "unknown source 'glu'; did you mean 'glue'"),
    "dimension": ({"dimension": 0}, ValueError, "dimension is 0; give a whole number >= 1"),
    "dimension of GloVe": (
        {"source": "glue", "dimension": 64},
        ValueError,
        "dimension is 64; GloVe 6B has 50, 100, 200 and 300",
    ),
    "dimension of another type": (
        {"dimension": 5.0},
        TypeError,
        "dimension is 5.0; give a whole number",
    ),
    "p_e": (
        {"train_p": (0.1, 1.2)},
        ValueError,
        "train_p is 1.2; give a finite number from 0 to 1",
    ),
    "no environments": ({"train_p": ()}, ValueError, "train_p has 0 values"),
    "noise": (
        {"label_noise": (0.1, 0.2, 0.3)},
        ValueError,
        "label_noise has 3 values for 2 environments",
    ),
    "noise of another type": (
        {"label_noise": "much"},
        TypeError,
        "label_noise is 'much'; give a number",
    ),
    "too many sentences": (
        {"n_per_env": 2000},
        ValueError,
        "there are 3999 sentences to deal; give 1999 or fewer",
    ),
    "no sentences": ({"n_per_env": 0}, ValueError, "n_per_env is 0; give a whole number >= 1"),
    "more environments than sentences": ({"train_p": [0.1] * 4000}, ValueError, "n_per_env is 0"),
    "all held out": (
        {"validation": 1.0},
        ValueError,
        "validation is 1.0; give a finite number from 0 to",
    ),
    "dtype": ({"dtype": "float16"}, ValueError, "dtype is 'float16'; give float32 or float64"),
    "seed": ({"seed": "x"}, ValueError, "seed is 'x'; give an integer >= 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        punctuated_sst2(**{"seed": 0, "source": "synthetic", **options})


def test_refused_at_test_time():
    trial = made_up(0)
    with pytest.raises(ValueError, match="p_e is -0.1"):
        trial.test(-0.1)
    with pytest.raises(ValueError, match="label_noise is 1.5"):
        trial.test(0.1, label_noise=1.5)
