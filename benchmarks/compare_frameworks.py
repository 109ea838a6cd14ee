"""Time one step's gradient in this project, PyTorch and JAX, side by side.

python benchmarks/compare_frameworks.py [--only TEXT] [--rounds N] [--out DIR] [--table]

Each backend runs in a process of its own, with as many threads as there are cores; PyTorch also
with one, which is faster where the work is small. The processes take turns in each of N rounds, so
that what else the machine does hits all alike; a turn is one step and then steps for a tenth of a
second or longer, whose median counts. Printed and written to DIR/results.json and DIR/results.md:
medians; ratios to `fast` (the median over the rounds of the ratio within a round); the peak memory
beyond the data and the parameters; the largest difference from the gradient of `fast`, relative to
its largest entry; and the share of the measured GEMM rate, see `minimal_work`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DEFAULT = {
    "objective": "meta_irm",
    "data": "Colored MNIST",
    "classes": 2,
    "n": 25_000,
    "envs": 2,
    "inner_steps": 1,
    "hidden": [256],
}
VARIANTS = [
    {},
    {"classes": 10},
    {"n": 100, "hidden": [32]},
    {"n": 250},
    {"objective": "irmv1"},
    {"objective": "v_rex"},
    {"n": 2_500},
    {"envs": 8, "n": 2_500},
    {"hidden": [256, 256]},
    {"data": "dense, 100 columns", "n": 30_000, "hidden": [300]},
    {"inner_steps": 5},
    {"classes": 5},
    {"n": 100_000},
]
DTYPES = ("float32", "float64")
CASES = [{**DEFAULT, **variant, "dtype": dtype} for variant in VARIANTS for dtype in DTYPES]
TIMED = ("fast", "PyTorch eager", "PyTorch 1 thread", "torch.compile", "JAX jit", "autograd")
COMPILED = [case for case in CASES if case["n"] == DEFAULT["n"]]  # it takes half a minute a case
TURN = 0.1  # seconds, at least


# ---- one backend in its own process --------------------------------------------------------------


def memory(field):
    """Return VmRSS or VmHWM of this process in MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


def work(name, case, folder):
    """Answer "step" on standard input with seconds, and "finish" with MiB; save the gradient."""
    import numpy as np
    from backends import BACKENDS

    step = BACKENDS[name](case)
    before = memory("VmRSS")
    gradient = step()  # compiles what has to be compiled
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew, without compiling
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            break
        gradient, seconds = step(), []
        while sum(seconds) < TURN:
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
        print(json.dumps(statistics.median(seconds)), flush=True)
    if gradient:
        entries = [part.ravel().astype(np.float64) for part in gradient]
        np.save(Path(folder) / f"{name}.npy", np.concatenate(entries))
    print(json.dumps(memory("VmHWM") - before), flush=True)


class Worker:
    """A backend in a process of its own."""

    def __init__(self, name, case, folder, threads):
        limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
        self.log = open(Path(folder) / f"{name}.log", "w+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", name, json.dumps(case), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **limits, "JAX_PLATFORMS": "cpu"},
        )

    def answer(self):
        """Return the worker's next answer, or None if it failed."""
        line = self.process.stdout.readline()
        return json.loads(line) if line.strip() else None

    def ask(self, question):
        """Return the answer to a question."""
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.answer()

    def reason(self):
        """Return the last line of what a failed worker wrote."""
        self.process.wait()
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip()]
        return lines[-1][:200] if lines else "it ended without a word"


# ---- one case ------------------------------------------------------------------------------------


def measure(case, rounds, threads):
    """Run all backends on one case, and return what was measured."""
    workers, seconds, failed, peak = {}, {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (*TIMED, "GEMM"):  # one at a time: making data and compiling take all cores
            if name == "torch.compile" and case not in COMPILED:
                continue
            worker = Worker(name, case, folder, threads)
            if worker.answer() == "ready":
                workers[name], seconds[name] = worker, []
            else:
                failed[name] = worker.reason()
        for r in range(rounds):
            for name, worker in workers.items():
                if name != "autograd" or r < 2:  # it is slow, and its ratio far from any other's
                    seconds[name].append(worker.ask("step"))
        for name, worker in workers.items():
            peak[name] = worker.ask("finish")
            worker.process.wait()
        difference = differences(folder, workers)
    return {
        "case": case,
        "rounds": rounds,
        "seconds": seconds,
        "peak_mib": peak,
        "difference": difference,
        "failed": failed,
        "work": minimal_work(case),
    }


def differences(folder, workers):
    """Return each backend's largest difference from `fast`, relative to the largest entry."""
    import numpy as np

    gradients = {name: np.load(Path(folder) / f"{name}.npy") for name in workers if name != "GEMM"}
    ours = gradients["fast"]
    return {
        name: float(np.abs(g - ours).max() / np.abs(ours).max()) for name, g in gradients.items()
    }


def minimal_work(case):
    """Return the flops of the first layer's products, on 196 columns and on those `fast` takes."""
    from backends import problem

    _, envs = problem({**case, "dtype": "float32"})
    E, T = case["envs"], case["inner_steps"]
    products = E * (2 * T + 2 * (E - 1) + 2 * T) if case["objective"] == "meta_irm" else 2 * E
    blocks = [block for env in envs for group in env.groups for block in group.blocks]
    ones = [group.ones for env in envs for group in env.groups for _ in group.blocks]
    entries = sum(b.x.size - one * len(b.y) for b, one in zip(blocks, ones))
    columns = entries / sum(map(len, envs))
    each = products * 2 * case["n"] * case["hidden"][0]
    width = 196 if case["data"] == DEFAULT["data"] else columns
    sizes = {"greyscale": each * width, "taken": each * columns}
    return {"products": products, "columns": columns, **sizes}


# ---- tables --------------------------------------------------------------------------------------


def cells(result, name):
    """Return what was measured of a backend: seconds, ratio, peak MiB, difference and share."""
    if name in result["failed"]:
        return ["failed", "", "", "", ""]
    seconds, ours = result["seconds"][name], result["seconds"]["fast"]
    ratio = statistics.median(other / one for other, one in zip(seconds, ours))
    peak, difference = result["peak_mib"][name], result["difference"][name]
    share = shares(result) if name == "fast" else ""
    middle = statistics.median(seconds)
    return [
        f"{middle:.{3 if middle > 0.01 else 5}f}",
        f"{ratio:.1f}",
        f"{peak:.0f}",
        f"{difference:.0e}",
        share,
    ]


def shares(result):
    """Return the shares of the GEMM rate that `fast` reaches, on 196 columns and those it takes."""
    rate = 2 * 2 * 25_000 * 196 * 256 / statistics.median(result["seconds"]["GEMM"])
    fast = statistics.median(result["seconds"]["fast"])
    return " / ".join(f"{result['work'][key] / rate / fast:.0%}" for key in ("greyscale", "taken"))


def rows_of(result):
    """Return a case's rows of the table."""
    for name in TIMED:
        if name in {**result["seconds"], **result["failed"]}:
            yield [describe(result["case"]), result["case"]["dtype"], name, *cells(result, name)]


def timed(results):
    """Return the backends that any case was measured with."""
    known = [{*result["seconds"], *result["failed"]} for result in results["cases"]]
    return [name for name in TIMED if name in set().union(*known)]


def summary_row(result, names):
    """Return a case's row of the summary: `fast`, and how many times as long the others take."""
    found = {name: cells for _, _, name, *cells in rows_of(result)}
    ratios = [found[name][1] if name in found else "" for name in names[1:]]
    peaks = [found[name][2] for name in ("fast", "PyTorch eager", "JAX jit") if name in found]
    start = [describe(result["case"]), result["case"]["dtype"], found["fast"][0]]
    return [*start, *ratios, found["fast"][4], " / ".join(peaks)]


def describe(case):
    """Name a case by what is not the default."""
    case = {**DEFAULT, **case}
    words = [{"meta_irm": "meta-IRM", "irmv1": "IRMv1", "v_rex": "V-REx"}[case["objective"]]]
    words += [case["data"]] * (case["data"] != DEFAULT["data"])
    for key, text in (
        ("n", "images each" if case["data"] == DEFAULT["data"] else "samples each"),
        ("envs", "environments"),
        ("classes", "classes"),
        ("inner_steps", "inner steps"),
    ):
        words += [f"{case[key]:,} {text}"] * (case[key] != DEFAULT[key])
    words += [f"hidden {'-'.join(map(str, case['hidden']))}"] * (case["hidden"] != [256])
    return ", ".join(words)


# ---- all cases -----------------------------------------------------------------------------------


def machine(threads):
    """Return what the times depend on."""
    from importlib.metadata import version
    from importlib.util import find_spec

    from metairm_np.sweeps.trial import machine as facts

    return {
        **facts(),
        "threads": threads,
        **{name: version(name) for name in ("torch", "jax") if find_spec(name)},
        "system": platform.system(),
    }


def write(results, folder):
    """Write results.json and results.md."""
    from metairm_np import _storage
    from metairm_np.reports.tables import markdown

    ratios = [f"{name} x" for name in timed(results)[1:]]
    share = "share of GEMM rate"
    short = ["one step's gradient", "dtype", "fast, s", *ratios, share, "peak MiB"]
    summary = markdown(short, [summary_row(result, timed(results)) for result in results["cases"]])
    head = ["step", "dtype", "backend", "seconds", "ratio", "peak MiB", "difference", share]
    whole = markdown(head, [row for result in results["cases"] for row in rows_of(result)])
    _storage.write_json(folder / "results.json", results, indent=1)
    _storage.write(folder / "results.md", f"{summary}\n\n{whole}\n")


def main():
    """Run the command line."""
    from metairm_np import _storage
    from metairm_np.fast import _blas

    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    p.add_argument("--only", default="", metavar="TEXT", help="cases whose name and dtype hold it")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each backend")
    p.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="where results go")
    p.add_argument("--table", action="store_true", help="only write results.md from results.json")
    args = p.parse_args()
    if args.worker:
        name, case, folder = args.worker
        work(name, json.loads(case), folder)
        return
    threads = _blas.cores()
    results = _storage.read_json(args.out / "results.json") or {"cases": []}
    if not args.table:
        results["machine"] = machine(threads)
    for case in [] if args.table else CASES:
        if args.only not in f"{describe(case)} {case['dtype']}":
            continue
        result = measure(case, args.rounds, threads)
        others = [one for one in results["cases"] if {**DEFAULT, **one["case"]} != case]
        results["cases"] = sorted(
            [*others, result], key=lambda one: CASES.index({**DEFAULT, **one["case"]})
        )
        write(results, args.out)
        for row in rows_of(result):
            print(" | ".join(row), flush=True)
        for name, reason in result["failed"].items():
            print(f"{name} failed: {reason}", flush=True)
    write(results, args.out)


if __name__ == "__main__":
    main()
