"""What histories of training say about the step at which a model is invariant."""


def crossing(history, warmup=30):
    """Return the first logged step at which a model is as accurate on the last test environment as on the first.

    Parameters
    ----------
    history : list of dict
        What `metairm_np.training.train` gives.
    warmup : int, default 30
        Earlier steps do not count.

    Returns
    -------
    dict
        step : int, or None if there is none; accuracy : the mean of both then, in per cent, or None; lingers : the number of
        steps at which they differ by 5 points at most.
    """
    rows = [row for row in history if "test_accuracy" in row and row["step"] >= warmup]
    every = rows[1]["step"] - rows[0]["step"] if len(rows) > 1 else 1
    pairs = [
        (row["step"], 100 * row["test_accuracy"][0], 100 * row["test_accuracy"][-1]) for row in rows
    ]
    lingers = every * sum(abs(first - last) <= 5 for _, first, last in pairs)
    met = next(
        ((step, (first + last) / 2) for step, first, last in pairs if last >= first), (None, None)
    )
    return {"step": met[0], "accuracy": met[1], "lingers": lingers}
