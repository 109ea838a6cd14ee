"""Time sweeps: parallel efficiency, each executor's overhead, resuming a large run folder.

python benchmarks/sweep.py [--only efficiency,overhead,resume] [--rounds N] [--empty N]
                           [--finished N] [--out DIR]

- efficiency: the same trials by one process of one thread, one of all threads, and one process of
  one thread per core, in turn, each time from the start of the sweep to its end, starting the
  processes included. Efficiency is the throughput of a way over that of the first, divided by the
  number of cores that it uses; the median over the rounds.
- overhead: seconds per trial of N trials that do nothing, storing their records and all, on each
  executor, with one worker per core.
- resume: seconds until a command finds that N trials are finished, seconds until it has written
  their table and figure, and peak memory. The records are copies of a real one of the default run;
  their files may be in the system's cache.

Printed, and written to DIR/sweep.json and DIR/sweep.md.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metairm_np import _storage, cli, sweeps
from metairm_np.cli.console import Console
from metairm_np.experiments import load
from metairm_np.fast.sums import THREAD_VARIABLES
from metairm_np.sweeps.plan import name_of

HERE = Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))
TRIALS = {"n_per_env": 5000, "algorithms": ["erm", "meta_irm"], "trials": 10, "steps": 60}
WARM_UP = 20  # trials that are not counted, while workers start
EXECUTORS = {
    "serial": sweeps.serial,
    "threads": lambda: sweeps.given(ThreadPoolExecutor(CORES), CORES),
    "processes": lambda: sweeps.processes(CORES),
    "dask local": lambda: sweeps.dask("local", CORES),
}


# ---- each measurement in a process of its own ----------------------------------------------------


def efficiency(jobs):
    """Carry out the trials with `jobs` processes, and return the seconds."""
    experiment = load("cmnist", [f"n_per_env={TRIALS['n_per_env']}", f"steps={TRIALS['steps']}"])
    tasks = sweeps.tasks_of(experiment, TRIALS["algorithms"], range(TRIALS["trials"]))
    with tempfile.TemporaryDirectory() as path:
        began = time.perf_counter()
        workers = sweeps.processes(jobs) if jobs > 1 else sweeps.serial()
        sweeps.run(tasks, sweeps.Folder(path), workers)
        return time.perf_counter() - began


def nothing(task):
    """Carry out an empty trial."""
    record = {"name": task.name, "algorithm": task.algorithm, "trial": task.trial}
    return {**record, "status": "completed"}, None


class Clock(sweeps.Listener):
    """Keeps when trials ended."""

    def __init__(self):
        self.times = []

    def finished(self, record):
        """Keep the time."""
        self.times.append(time.perf_counter())


def overhead(name, n):
    """Return the seconds per trial of `n` empty trials on an executor, starting it not included."""
    clock, tasks = Clock(), sweeps.tasks_of(load("cmnist"), ["erm"], range(n))
    with tempfile.TemporaryDirectory() as path:
        sweeps.run(tasks, sweeps.Folder(path), EXECUTORS[name](), clock, call=nothing)
    return (clock.times[-1] - clock.times[WARM_UP]) / (n - 1 - WARM_UP)


def resume(path):
    """Run the command on a folder all of whose trials are finished.

    Return the seconds until that is found, and in all, and MiB.
    """
    found, close = [], Console.close

    def closed(self):
        found.append(time.perf_counter())
        close(self)

    Console.close = closed
    n = len(os.listdir(path / "trials"))
    began = time.perf_counter()
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    line = ["cmnist", "--algorithms", "irmv1", "--trials", str(n), "--out", str(path.parent)]
    status = cli.main(line)
    sys.stdout = out
    assert status == 0
    return {
        "trials": n,
        "found": found[0] - began,
        "reported": time.perf_counter() - began,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def fill(parent, n):
    """Make a run folder of `n` finished trials in `parent`, copies of a real one."""
    experiment = load("cmnist")
    folder = sweeps.Folder(parent / f"cmnist-{experiment.hash(0, 'float32')}")
    (task,) = sweeps.tasks_of(experiment, ["irmv1"], [0])
    folder.store(task.name, sweeps.carry_out(task)[0])
    whole = folder.record_path(task.name).read_bytes()
    body = whole[: whole.rindex(b", ")]
    # as _storage.write_record would write them, without making the same JSON each time
    for trial in range(1, n):
        name = name_of("irmv1", trial)
        copy = body.replace(task.name.encode(), name.encode())
        copy = copy.replace(b'"trial": 0', b'"trial": %d' % trial)
        _storage.write(folder.record_path(name), copy + _storage.seal(copy))
    return {"path": str(folder.path), "bytes": len(whole)}


# ---- all of them ---------------------------------------------------------------------------------


def measure(call, *arguments, threads=1):
    """Call a function of this file in a fresh process with so many threads; return its result."""
    env = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    command = [sys.executable, __file__, "--call", call, *map(str, arguments)]
    process = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(process.stdout.splitlines()[-1])


CALLS = {
    "efficiency": lambda jobs: efficiency(int(jobs)),
    "overhead": lambda name, n: overhead(name, int(n)),
    "fill": lambda parent, n: fill(Path(parent), int(n)),
    "resume": lambda path: resume(Path(path)),
}


def measure_efficiency(rounds):
    """Return the seconds of each way of sharing the cores, a list over rounds."""
    ways = {
        "1 job, 1 thread": (1, 1),
        f"1 job, {CORES} threads": (1, CORES),
        f"{CORES} jobs, 1 thread each": (CORES, 1),
    }
    seconds = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (jobs, threads) in ways.items():
            seconds[way].append(measure("efficiency", jobs, threads=threads))
            print(f"{way}: {seconds[way][-1]:.1f} s", file=sys.stderr)
    return {**TRIALS, "seconds": seconds}


def measure_overhead(n):
    """Return the milliseconds per empty trial of each executor."""
    found = {}
    for name in EXECUTORS:
        found[name] = 1000 * measure("overhead", name, n)
        print(f"{name}: {found[name]:.2f} ms a trial", file=sys.stderr)
    return {"trials": n, "milliseconds": found}


def measure_resume(n):
    """Return seconds and MiB of resuming and reporting `n` finished trials, twice."""
    with tempfile.TemporaryDirectory() as parent:
        made = measure("fill", parent, n, threads=CORES)
        times = [measure("resume", made["path"], threads=CORES) for _ in range(2)]
    print(times, file=sys.stderr)
    return {"bytes": made["bytes"], "times": times}


def table(head, rows):
    """Format a table as Markdown."""
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    )


def efficiency_table(found):
    """Return seconds, throughput and efficiency of each way of sharing the cores."""
    n, rows = found["trials"] * len(found["algorithms"]), []
    first = next(iter(found["seconds"].values()))
    for way, seconds in found["seconds"].items():
        gain = statistics.median(a / b for a, b in zip(first, seconds))
        cores = 1 if seconds is first else CORES
        median = statistics.median(seconds)
        rows.append(
            [way, f"{median:.1f}", f"{3600 * n / median:.0f}", f"{gain:.2f}", f"{gain / cores:.0%}"]
        )
    caption = (
        f"{n} trials ({' and '.join(found['algorithms'])}, "
        f"{found['n_per_env']} images an environment, {found['steps']} steps), "
        f"median of {len(first)} rounds:"
    )
    head = ["", "seconds", "trials an hour", "times as fast as the first", "efficiency"]
    return f"{caption}\n\n{table(head, rows)}"


def overhead_table(found):
    """Return the overhead of each executor."""
    rows = [[name, f"{ms:.2f}"] for name, ms in found["milliseconds"].items()]
    return f"{found['trials']} empty trials:\n\n{table(['executor', 'milliseconds a trial'], rows)}"


def resume_table(found):
    """Return the times on a folder of finished trials."""
    rows = [
        [str(t["trials"]), f"{t['found']:.1f}", f"{t['reported']:.1f}", f"{t['MiB']:.0f}"]
        for t in found["times"]
    ]
    head = ["trials", "seconds to find them finished", "seconds with table and figure", "peak MiB"]
    size = f"{found['bytes'] / 1000:.0f} kB each"
    return f"A folder of finished trials, {size}, twice:\n\n{table(head, rows)}"


PARTS = {
    "efficiency": (measure_efficiency, efficiency_table),
    "overhead": (measure_overhead, overhead_table),
    "resume": (measure_resume, resume_table),
}


def tables(results):
    """Return the results as Markdown."""
    machine = f"{results['cores']} cores of an {results['processor']}"
    parts = [f"Measured with Python {results['python']} on {machine}."]
    parts += [show(results[name]) for name, (_, show) in PARTS.items() if name in results]
    return "\n\n".join(parts) + "\n"


def main():
    """Measure, print and write."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--only", default="efficiency,overhead,resume")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--empty", type=int, default=10_000)
    p.add_argument("--finished", type=int, default=100_000)
    p.add_argument("--out", type=Path, default=HERE)
    p.add_argument("--call", nargs="+", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.call:
        print(json.dumps(CALLS[args.call[0]](*args.call[1:])))
        return
    path = args.out / "sweep.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    cpus = [
        line.split(":")[1].strip()
        for line in open("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    results.update(python=platform.python_version(), cores=CORES, processor=cpus[0])
    sizes = {"efficiency": args.rounds, "overhead": args.empty, "resume": args.finished}
    for part in args.only.split(","):
        results[part] = PARTS[part][0](sizes[part])
        path.write_text(json.dumps(results, indent=1) + "\n")
        (args.out / "sweep.md").write_text(tables(results))
    print(tables(results))


if __name__ == "__main__":
    main()
