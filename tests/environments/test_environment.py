"""Environments: what they refuse, and that groups of painted ones hold the dense environment."""

import copy
import pickle

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


@pytest.fixture(params=range(9))
def env(request):
    """Return an environment, made in one of the ways to make one."""
    plain = Environment(np.ones((9, 3)), np.arange(9) % 2, name="a", p_e=0.1)
    painted = Environment.painted(np.ones((9, 2)), np.arange(9) % 2, 2, np.arange(9) % 2, name="a")
    envs = [plain, painted, Environment.resampled(painted, [8, 0, 0] * 3, plain.y, name="a")]
    envs += [*(e.astype("float32") for e in envs), *(e.take([5, 1, 8]) for e in envs)]
    return envs[request.param]


def arrays_of(env):
    """Return all arrays of an environment."""
    blocks = [array for group in env.groups for block in group.blocks for array in block]
    columns = [g.columns for g in env.groups if isinstance(g.columns, np.ndarray)]
    return [env.x, env.y, *blocks, *columns]


def test_nothing_in_an_environment_can_be_changed(env):
    for array in arrays_of(env):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
        while isinstance(array, np.ndarray):
            assert not array.flags.writeable
            array = array.base
    for sequence in (env.groups, *(group.blocks for group in env.groups)):
        assert isinstance(sequence, tuple)


@pytest.mark.parametrize("name", ["x", "y", "name", "p_e", "shape", "groups", "dtype", "new"])
def test_attributes_cannot_be_set_or_deleted(env, name):
    before = dict(vars(env))
    with pytest.raises(AttributeError, match=f"{name} of an Environment cannot be set.* make ano"):
        setattr(env, name, 1)
    with pytest.raises(AttributeError, match=f"{name} of an Environment cannot be deleted"):
        delattr(env, name)
    assert vars(env) == before


def views_of(array):
    """Return arrays that look like `array`, and what to write into to change their memory."""
    base, owner, buffer = array.copy(), array.copy(), bytearray(array.tobytes())
    read_only = base[...]
    read_only.flags.writeable = False
    lent = np.frombuffer(memoryview(buffer).toreadonly(), array.dtype).reshape(array.shape)
    return [
        (owner, owner),
        (read_only, base),
        (read_only.view(), base),
        (owner.reshape(array.shape[::-1]).reshape(array.shape), owner),
        (lent, np.frombuffer(buffer, array.dtype).reshape(array.shape)),
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", range(5))
def test_what_the_caller_still_has_changes_nothing(k, dtype):
    x, mine = views_of(np.ones((4, 3), dtype))[k]
    y, my_labels = views_of(np.array([0, 1, 1, 0]))[k]
    envs = [Environment(x, y), Environment.painted(x, [0, 1, 0, 1], 2, y)]
    before = [[array.copy() for array in arrays_of(env)] for env in envs]
    mine += 1  # what is the caller's stays writable
    my_labels += 1
    for env, old in zip(envs, before):
        for array, copied in zip(arrays_of(env), old):
            np.testing.assert_array_equal(array, copied)


def test_what_nobody_can_change_is_not_copied():
    x = np.ones((4, 3))
    x.flags.writeable = False
    env = Environment(x, [0, 1, 1, 0])
    for same in (env, Environment(env.x, env.y), Environment(env.x[1:], env.y[1:])):
        assert np.shares_memory(same.x, x)
        assert np.shares_memory(same.groups[0].blocks[0].x, x)
    assert np.shares_memory(Environment(env.x, env.y).y, env.y)


def test_a_copy_has_the_order_of_the_original():
    for x in (np.ones((4, 3)), np.ones((3, 4)).T, np.ones((8, 3))[::2]):
        assert Environment(x, [0] * 4).x.flags.f_contiguous == x.flags.f_contiguous


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_the_same_and_read_only(env, protocol):
    for asked in (False, True):
        if asked:
            env.x  # noqa: B018 -- put together before
        twin = pickle.loads(pickle.dumps(env, protocol))
        for array, copied in zip(arrays_of(twin), arrays_of(env), strict=True):
            assert array.dtype == copied.dtype
            np.testing.assert_array_equal(array, copied)
        assert (twin.name, twin.p_e, twin.shape) == (env.name, env.p_e, env.shape)
        test_nothing_in_an_environment_can_be_changed(twin)
        with pytest.raises(AttributeError, match="cannot be set"):
            twin.y = env.y


def test_resampled_has_the_rows_of_another_and_labels_of_its_own():
    source = Environment(np.arange(6.0).reshape(3, 2), [0, 0, 0])
    env = Environment.resampled(source, [2, 0, 2, 2], [0, 1, 1, 0], name="b", p_e=0.3)
    np.testing.assert_array_equal(env.x, [[4, 5], [0, 1], [4, 5], [4, 5]])
    assert (env.shape, env.dtype, env.name, env.p_e) == ((4, 2), np.float64, "b", 0.3)
    assert env.astype("float32").drawn_from[0].dtype == env.astype("float32").x.dtype == np.float32
    np.testing.assert_array_equal(env.take([1, 3]).x, [[0, 1], [4, 5]])


def test_pickled_together_resampled_ones_share_what_they_are_drawn_from():
    x, y = np.random.default_rng(0).normal(size=(100, 50)), np.arange(1000) % 2
    source, rows = Environment(x, y[:100]), np.arange(1000) % 100
    envs = [Environment.resampled(source, rows, y), Environment.resampled(source, rows[::-1], y)]
    data = pickle.dumps(envs)
    assert len(data) < 2 * x.nbytes
    one, two = pickle.loads(data)
    assert one.drawn_from[0] is two.drawn_from[0]
    np.testing.assert_array_equal(two.x, envs[1].x)


@pytest.mark.parametrize("rows", [[0, 2], [-1, 0], [0, 0.5]])
def test_resampled_refuses_rows_that_are_not_there(rows):
    source = Environment([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match=rf"rows holds ({rows[0]}|{rows[1]}); give .* from 0 to 1"):
        Environment.resampled(source, rows, [0, 1])
    with pytest.raises(ValueError, match=r"rows has shape \(1,\); give one number for each of 2 s"):
        Environment.resampled(source, rows[:1], [0, 1])


def test_a_pickle_holds_the_inputs_once():
    rng, y = np.random.default_rng(0), np.arange(1000) % 2
    x = rng.normal(size=(1000, 50))
    plain, painted = Environment(x, y), Environment.painted(x, y, 2, y)
    for env in (plain, painted):
        env.x  # noqa: B018 -- put together
        assert len(pickle.dumps(env)) < 1.3 * x.nbytes


def test_pickled_buffers_that_others_can_write_into_are_copied():
    buffers: list = []
    env = Environment(np.ones((4, 3)), [0, 1, 1, 0])
    data = pickle.dumps(env, 5, buffer_callback=buffers.append)
    lent = [bytearray(buffer.raw()) for buffer in buffers]
    twin = pickle.loads(data, buffers=lent)
    for buffer in lent:
        buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(twin.x, env.x)
    np.testing.assert_array_equal(twin.y, env.y)


def test_a_copy_is_the_environment_itself(env):
    assert copy.copy(env) is env
    assert copy.deepcopy([env])[0] is env


REFUSED = [
    (([[0.0], [np.nan]], [0, 0]), ValueError, "NaN or infinity in 1 rows, the first is row 1; dr"),
    (([[1, 2]], [-1]), ValueError, "y holds the label -1; give labels"),
    (([[1, 2]], [0, 0]), ValueError, r"x has shape \(1, 2\) and y \(2,\); give"),
    (([[1, 2]], [0.5]), TypeError, "y has dtype float64; give integer labels"),
    (([[1, 2]], [2**63]), ValueError, "y holds the label 9223372036854775808; give labels 0..C"),
    (([[1, 2]], [2**64 - 1]), ValueError, "y holds the label 18446744073709551615; give labels"),
    (([[1, 2]], [2**70]), TypeError, "y has dtype object; give integer labels"),
    (([[1j, 2]], [0]), TypeError, "x has dtype complex128; give real numbers"),
    (([[None, 2]], [0]), TypeError, "x has dtype object; give real numbers"),
    (([["a", "b"]], [0]), TypeError, "x has dtype <U1; give real numbers"),
    ((np.ma.array([[1.0, 2.0]]), [0]), TypeError, "x is a masked array, .*; give a plain array, f"),
    (([[1, 2]], np.ma.array([0], mask=[1])), TypeError, r"y is a masked array, .* y.filled\(0\)"),
]


@pytest.mark.parametrize(("samples", "error", "message"), REFUSED)
def test_refused(samples, error, message):
    x, y = map(np.asanyarray, samples)
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
        (np.ma.array([0, 1]), "channel is a masked array"),
    ],
)
def test_painted_refuses_channels_that_are_not_there(channel, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Environment.painted(np.ones((2, 2)), np.asanyarray(channel), 2, np.array([0, 0]))


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


def test_its_repr_says_what_is_known_of_it():
    env = Environment(np.zeros((3, 2), np.float32), [0, 2, 1], name="lab a", p_e=0.1)
    text = "Environment(3 samples, 2 columns of float32, labels up to 2, name='lab a', p_e=0.1)"
    assert repr(env) == text
    unnamed = Environment(np.zeros((3, 2)), [0, 0, 0])
    assert repr(unnamed) == "Environment(3 samples, 2 columns of float64, labels up to 0)"
    painted = Environment.painted(np.eye(2), [0, 1], 2, [0, 1], label_noise=0.0)
    assert repr(painted).endswith("labels up to 1, label_noise=0.0)")
    assert "x" not in vars(painted)  # which is put together only when it is asked for
