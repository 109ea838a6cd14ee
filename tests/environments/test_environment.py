"""Environments: what they refuse, and that groups of painted ones hold the dense environment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metairm_np import Environment
from metairm_np.environments import _packing
from metairm_np.environments._packing import staircase

relaxed = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)
filled = st.tuples(st.integers(1, 20), st.integers(1, 12)).flatmap(
    lambda shape: arrays(bool, shape)
)


@st.composite
def paintings(draw):
    """Draw the arguments of `painted`: images with many zeros, in channels that may have none."""
    n, p, n_channels = draw(st.integers(1, 30)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(seeds))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    filled = rng.random((n, p)) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    grey = (filled * rng.normal(size=(n, p))).astype(dtype)
    used = draw(st.lists(st.integers(0, n_channels - 1), min_size=1, unique=True))
    return grey, rng.choice(used, n), n_channels, rng.integers(5, size=n)


def dense(grey, channel, n_channels):
    """Paint without groups."""
    x = np.zeros((len(grey), n_channels, grey.shape[1]), grey.dtype)
    for s, z in enumerate(channel):
        x[s, z] = grey[s]
    return x.reshape(len(grey), -1)


@pytest.fixture(autouse=True, scope="module")
def short_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_packing, "ROWS", 7)
        yield


def check_groups(env, x):
    """Check the groups of `env`, whose inputs are known to be `x`."""
    rows = [block.rows for group in env.groups for block in group.blocks]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(env)))
    rebuilt = np.zeros_like(x)
    for columns, ones, blocks in env.groups:
        columns = np.arange(x.shape[1])[columns]
        widths = [block.x.shape[1] - ones for block in blocks]
        # `take` may leave out the samples that need the last columns
        assert len(set(columns)) == len(columns) >= widths[-1]
        assert widths == sorted(widths)
        for block, width in zip(blocks, widths):
            assert 0 < len(block.x) == len(block.y) == len(block.rows) <= 7
            if ones:
                np.testing.assert_array_equal(block.x[:, 0], 1)
            rebuilt[np.ix_(block.rows, columns[:width])] = block.x[:, ones:]
            np.testing.assert_array_equal(block.y, env.y[block.rows])
    np.testing.assert_array_equal(rebuilt, x)


# ---- construction --------------------------------------------------------------------------------


def test_environments_are_frozen():
    mine = np.ones((2, 3))
    env = Environment(mine, [0, 1])
    painted = Environment.painted(mine, [0, 1], 2, [0, 1])
    for some in (env, painted, painted.astype("float32"), painted.take([1])):
        for array in (some.x, some.y):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    mine[0, 0] = 2  # the caller's own array stays writable


REFUSED = [
    (([[0.0], [np.nan]], [0, 0]), ValueError, "NaN or infinity in 1 rows, the first is row 1; dr"),
    (([[1, 2]], [-1]), ValueError, "y holds the label -1; give labels"),
    (([[1, 2]], [0, 0]), ValueError, r"x has shape \(1, 2\) and y \(2,\); give"),
    (([[1, 2]], [0.5]), TypeError, "y has dtype float64; give integer labels"),
]


@pytest.mark.parametrize(("samples", "error", "message"), REFUSED)
def test_refused(samples, error, message):
    x, y = map(np.array, samples)
    with pytest.raises(error, match=message):
        Environment(x, y)
    with pytest.raises(error, match=message):
        Environment.painted(x, np.zeros(len(y)), 1, y)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ([-1, 0], "channel holds -1"),
        ([0, 0.5], "channel holds 0.5"),
        ([0, 2], "channel holds 2; give whole numbers from 0 to 1"),
        ([1], r"channel has shape \(1,\); give one number for each of 2 samples"),
    ],
)
def test_painted_refuses_channels_that_are_not_there(channel, message):
    with pytest.raises(ValueError, match=message):
        Environment.painted(np.ones((2, 2)), np.array(channel), 2, np.array([0, 0]))


def test_whole_numbers_become_float64():
    plain, painted = Environment([[0, 3]], [0]), Environment.painted(np.array([[3]]), [1], 2, [0])
    for env in (plain, painted):
        assert env.dtype == env.x.dtype == np.float64
        assert env.x.tolist() == [[0, 3]]


# ---- staircase -----------------------------------------------------------------------------------


@relaxed
@given(filled)
def test_every_row_ends_at_its_width(filled):
    order, widths = staircase(filled)
    np.testing.assert_array_equal(np.sort(order), np.arange(filled.shape[1]))
    assert widths.shape == filled.shape[:1]
    for row, width in zip(filled[:, order], widths):
        assert not row[width:].any()
        assert width == 0 or row[width - 1]


@relaxed
@given(filled)
def test_the_column_filled_in_the_fewest_rows_comes_last(filled):
    order, widths = staircase(filled)
    for place in range(len(order), 0, -1):
        left = filled[widths <= place]
        counts = left.sum(axis=0)
        assert counts[order[place - 1]] == min(counts[order[:place]])


# ---- painted -------------------------------------------------------------------------------------


@relaxed
@given(paintings())
def test_painted_is_the_dense_painting(painting):
    grey, channel, n_channels, y = painting
    env = Environment.painted(*painting, name="a", p_e=0.1)
    x = dense(grey, channel, n_channels)
    assert (env.shape, env.dtype, len(env)) == (x.shape, grey.dtype, len(y))
    assert (env.name, env.p_e) == ("a", 0.1)
    check_groups(env, x)
    assert len(env.groups) == len(set(channel))
    assert env.x.dtype == grey.dtype
    np.testing.assert_array_equal(env.x, x)
    np.testing.assert_array_equal(env.y, y)
    assert env.x is env.x  # put together once


@relaxed
@given(paintings())
def test_a_block_has_no_more_columns_than_it_needs(painting):
    for group in Environment.painted(*painting).groups:
        assert len(group.columns) == group.blocks[-1].x.shape[1] - 1
        for block in group.blocks:
            assert block.x[-1, -1] != 0  # it may be the one of a black image


# ---- take and astype -----------------------------------------------------------------------------


@relaxed
@given(paintings(), st.data())
def test_take(painting, data):
    env = Environment.painted(*painting, name="a", p_e=0.1)
    chosen = data.draw(st.permutations(range(len(env))))
    chosen = np.array(chosen[: data.draw(st.integers(1, len(env)))])
    x = dense(*painting[:3])
    for whole in (env, Environment(x, env.y, name="a", p_e=0.1)):
        if data.draw(st.booleans()):
            whole.x  # noqa: B018 -- put together before
        part = whole.take(chosen)
        check_groups(part, x[chosen])
        np.testing.assert_array_equal(part.x, x[chosen])
        np.testing.assert_array_equal(part.y, env.y[chosen])
        assert (part.shape, part.dtype, len(part)) == (part.x.shape, x.dtype, len(chosen))
        assert (part.name, part.p_e) == ("a", 0.1)
        np.testing.assert_array_equal(whole.x, x)  # the whole is left alone
        twice = part.take(np.arange(len(part))[::-1])
        check_groups(twice, x[chosen[::-1]])


@pytest.mark.parametrize("rows", [[], [0, 0]])
def test_take_refuses_none_and_twice_the_same(rows):
    with pytest.raises(ValueError, match="give one or more, each once"):
        Environment(np.ones((2, 1)), np.zeros(2, int)).take(rows)


@relaxed
@given(paintings(), st.sampled_from(["float32", "float64"]))
def test_astype(painting, dtype):
    x = dense(*painting[:3])
    for env in (Environment.painted(*painting, name="a"), Environment(x, painting[3], name="a")):
        twin = env.astype(dtype)
        assert (twin is env) == (x.dtype == dtype)
        assert (twin.shape, twin.name, twin.dtype) == (x.shape, "a", dtype)
        assert twin.x.dtype == dtype
        check_groups(twin, x.astype(dtype))
        np.testing.assert_array_equal(twin.x, x.astype(dtype))
        assert twin.y is env.y
        assert env.dtype == x.dtype
