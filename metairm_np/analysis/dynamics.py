"""What histories of training say about the step at which a model is invariant."""

from __future__ import annotations


def crossing(history: list[dict], warmup: int = 30) -> dict:
    """Return the first logged step as accurate on the last test environment as on the first.

    Parameters
    ----------
    history : list of dict
        As `metairm_np.training.train` returns it.
    warmup : int, default 30
        Earlier steps do not count.

    Returns
    -------
    dict
        step : int, or None if there is none; accuracy : the mean of both then, in per cent, or
        None; lingers : the number of steps at which they differ by 5 points at most.
    """
    rows = [row for row in history if "test_accuracy" in row and row["step"] >= warmup]
    every = rows[1]["step"] - rows[0]["step"] if len(rows) > 1 else 1
    pairs = [
        (row["step"], 100 * row["test_accuracy"][0], 100 * row["test_accuracy"][-1]) for row in rows
    ]
    lingers = every * sum(abs(first - last) <= 5 for _, first, last in pairs)
    crossed = ((step, (first + last) / 2) for step, first, last in pairs if last >= first)
    step, accuracy = next(crossed, (None, None))
    return {"step": step, "accuracy": accuracy, "lingers": lingers}
