"""What a run folder holds: done, failed, running, left."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from metairm_np import _storage
from metairm_np.experiments.files import row_of
from metairm_np.reports import tables
from metairm_np.sweeps import Contents, Estimate, Folder
from metairm_np.sweeps.plan import names_in, size_of

LOOK = 10_000  # trials in a row that nobody runs, after which no more are looked for


def status(path: str | Path) -> str:
    """Say how far a run folder, or each of those in a folder, has come.

    Nothing is changed in them. One that cannot be used is logged and left out.

    Parameters
    ----------
    path : path

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If there is no run folder.
    ValueError
        If none can be used.
    """
    return "\n\n".join(_status(path, contents) for path, contents in usable(run_folders(path)))


def run_folders(path):
    """Return the run folder `path`, or those in it, or raise FileNotFoundError."""
    path = Path(path)
    if _is_run_folder(path):
        return [path]
    folders = sorted(p for p in path.glob("*/") if _is_run_folder(p) and not p.is_symlink())
    if not folders:
        raise FileNotFoundError(
            f"{path} is no run folder and holds none; "
            "give one, such as runs/cmnist-0123456789, or runs"
        )
    return folders


def _is_run_folder(path):
    return any((path / name).is_file() for name in ("plan.json", "config.json"))


def usable(paths):
    """Return the run folders that can be used, with their contents; log why others cannot.

    Raise ValueError, which says why, if none can.
    """
    found, reasons = [], []
    for path in paths:
        try:
            Folder(path).check()
            found.append((path, Contents.read(path)))
        except (ValueError, OSError) as error:
            reasons.append(str(error))
    if not found:
        raise ValueError(reasons[0])
    for reason in reasons:
        _storage.log.warning(reason)
    return found


def _status(path, contents):
    folder, rows = Folder(path, read_only=True), []
    plan = {row: one for row, one in folder.planned().items() if row in contents.rows}
    failures = [r for r in folder.failures() if row_of(r["algorithm"], r["case"]) in plan]
    estimate, running = Estimate({row: size_of(plan[row]) for row in plan}), 0
    groups = tables.by_row(folder.summaries(contents))
    with folder.reading_claims() as is_claimed:
        for row in plan:
            records = groups.get(row, [])
            done = {record["name"] for record in records}
            under_way = claimed((n for n in names_in(plan, row) if n not in done), is_claimed)
            failed = (
                {r["name"] for r in failures if row_of(r["algorithm"], r["case"]) == row}
                - done
                - set(under_way)
            )
            for record in records:
                estimate.take(record)
            for _ in failed:
                estimate.drop(row)
            running += len(under_way)
            ended = len(records) + len(failed)
            left = max(size_of(plan[row]) - ended - len(under_way), 0)
            unusable = len(records) - len(tables.usable(records))
            seconds = [record["seconds"] for record in records]
            each = f"{sum(seconds) / len(seconds):.1f}" if seconds else ""
            rows.append(
                [row, *map(str, (len(records), unusable, len(failed), len(under_way), left)), each]
            )
    head = ["trials of", "done", "of them unusable", "failed", "running", "left", "seconds each"]
    reasons = [f"failed: {r['name']}: {r['message']}" for r in failures]
    seconds = estimate.remaining(max(running, 1))
    togo = (
        [f"about {tqdm.format_interval(seconds)} to go with {max(running, 1)} running"]
        if seconds
        else []
    )
    title = contents.study.title
    return "\n".join([f"{path}: {title}", "", tables.markdown(head, rows), *reasons, *togo])


def claimed(names, is_claimed):
    """Return those of `names` that commands run; these take trials in their order."""
    found, free = [], 0
    for name in names:
        if is_claimed(name):
            found.append(name)
            free = 0
        else:
            free += 1
        if free == LOOK:
            break
    return found
