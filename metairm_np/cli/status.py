"""What a run folder holds: done, failed, running, left."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from metairm_np import _storage
from metairm_np.experiments.files import row_of
from metairm_np.reports import tables
from metairm_np.sweeps import Estimate, Folder


def status(path: str | Path) -> str:
    """Say how far a run folder, or each of those in a folder, has come.

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
    """
    return "\n\n".join(map(_status, run_folders(path)))


def run_folders(path):
    """Return the run folder `path`, or those in it, or raise FileNotFoundError."""
    path = Path(path)
    folders = (
        [path]
        if (path / "plan.json").is_file()
        else sorted(p.parent for p in path.glob("*/plan.json"))
    )
    if not folders:
        raise FileNotFoundError(
            f"{path} is no run folder and holds none; "
            "give one, such as runs/cmnist-0123456789, or runs"
        )
    return folders


def _status(path):
    folder, rows = Folder(path), []
    config = _storage.read_json(path / "config.json") or {}
    plan, failures = folder.planned(), folder.failures()
    estimate, running = Estimate({name: len(folder.planned_names(name)) for name in plan}), 0
    groups = tables.by_row(folder.summaries(plan))
    with folder.reading_claims() as is_claimed:
        for row in plan:
            records = groups.get(row, [])
            done = {record["name"] for record in records}
            unfinished = [name for name in folder.planned_names(row) if name not in done]
            under_way = [name for name in unfinished if is_claimed(name)]
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
            left = len(unfinished) - len(under_way) - len(failed)
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
    return "\n".join(
        [f"{path}: {config.get('title', '')}", "", tables.markdown(head, rows), *reasons, *togo]
    )
