"""Time one step's gradient in this project, PyTorch and JAX, side by side.

python benchmarks/compare_frameworks.py [--only TEXT] [--rounds N] [--out DIR] [--table]

Each backend runs in a process of its own, with as many threads as there are cores. The processes
take turns in each of N rounds, so that what else the machine does hits all alike; of a turn's two
steps the second counts. Printed and written to DIR/results.json and DIR/results.md: medians; ratios
to `fast` (the median over the rounds of the ratio within a round); the peak memory beyond the data
and the parameters; the largest difference from the gradient of `fast`, relative to its largest
entry; and the share of the measured GEMM rate, see `minimal_work`.
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
DEFAULT = {"objective": "meta_irm", "classes": 2, "n": 25_000, "envs": 2, "inner_steps": 1}
VARIANTS = [
    {},
    {"classes": 10},
    {"objective": "irmv1"},
    {"objective": "v_rex"},
    {"n": 2_500},
    {"inner_steps": 5},
    {"envs": 8, "n": 2_500},
    {"classes": 5},
    {"n": 100_000},
]
CASES = [
    {**DEFAULT, **variant, "dtype": dtype}
    for variant in VARIANTS
    for dtype in ("float32", "float64")
]
TIMED = ("fast", "PyTorch eager", "torch.compile", "JAX jit", "autograd")
COMPILED = CASES[:8]  # torch.compile takes half a minute a case


# ---- one backend in its own process --------------------------------------------------------------


def memory(field):
    """Return VmRSS or VmHWM of this process in MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


def work(name, case, folder):
    """Answer each line of standard input: "step" with seconds, "finish" with MiB, leaving the gradient in `folder`."""
    import numpy as np
    from backends import BACKENDS

    step = BACKENDS[name](case)
    before = memory("VmRSS")
    gradient = step()  # compiles what has to be compiled
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # the peak starts anew, so that compiling does not count
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            break
        step()
        began = time.perf_counter()
        gradient = step()
        print(json.dumps(time.perf_counter() - began), flush=True)
    if gradient:
        np.save(
            Path(folder) / f"{name}.npy",
            np.concatenate([part.ravel().astype(np.float64) for part in gradient]),
        )
    print(json.dumps(memory("VmHWM") - before), flush=True)


class Worker:
    """A backend in a process of its own."""

    def __init__(self, name, case, folder, threads):
        environment = {
            **os.environ,
            **dict.fromkeys(THREAD_VARIABLES, str(threads)),
            "JAX_PLATFORMS": "cpu",
        }
        command = [sys.executable, __file__, "--worker", name, json.dumps(case), str(folder)]
        self.log = open(Path(folder) / f"{name}.log", "w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
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
        return ([line.strip() for line in self.log if line.strip()] or ["it ended without a word"])[
            -1
        ][:200]


# ---- one case ------------------------------------------------------------------------------------


def measure(case, rounds, threads):
    """Run all backends on one case, and give what was measured."""
    seconds, failed, difference, peak = {}, {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        workers = {}
        for name in (
            *TIMED,
            "GEMM",
        ):  # one after the other: making data and compiling keep all cores busy
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
    """Return each backend's largest difference from the gradient of `fast`, relative to its largest entry."""
    import numpy as np

    gradients = {name: np.load(Path(folder) / f"{name}.npy") for name in workers if name != "GEMM"}
    ours = gradients["fast"]
    return {
        name: float(np.abs(g - ours).max() / np.abs(ours).max()) for name, g in gradients.items()
    }


def minimal_work(case):
    """Return the floating-point operations of the first layer's products: on 196 columns, and on those that `fast` takes."""
    from backends import HIDDEN, problem

    _, envs = problem({**case, "dtype": "float32"})
    E, T = case["envs"], case["inner_steps"]
    products = E * (2 * T + 2 * (E - 1) + 2 * T) if case["objective"] == "meta_irm" else 2 * E
    lit = sum(
        block.x.size - len(block.y)
        for env in envs
        for group in env.groups
        for block in group.blocks
    )  # without ones
    columns = lit / sum(map(len, envs))
    each = 2 * case["n"] * HIDDEN
    return {
        "products": products,
        "greyscale": products * each * 196,
        "columns": columns,
        "taken": products * each * columns,
    }


def rows_of(result):
    """Return a case's rows of the table."""
    case, seconds = result["case"], result["seconds"]
    rate = 2 * 2 * 25_000 * 196 * 256 / statistics.median(seconds["GEMM"])
    for name in [name for name in TIMED if name in {**seconds, **result["failed"]}]:
        if name in result["failed"]:
            yield [describe(case), case["dtype"], name, "failed", "", "", "", ""]
            continue
        ratio = statistics.median(
            other / ours for other, ours in zip(seconds[name], seconds["fast"])
        )
        shares = [
            result["work"][key] / rate / statistics.median(seconds["fast"])
            for key in ("greyscale", "taken")
        ]
        share = "{:.0%} / {:.0%}".format(*shares) if name == "fast" else ""
        yield [
            describe(case),
            case["dtype"],
            name,
            f"{statistics.median(seconds[name]):.3f}",
            f"{ratio:.1f}",
            f"{result['peak_mib'][name]:.0f}",
            f"{result['difference'][name]:.0e}",
            share,
        ]


def summary(results):
    """Return one row a case: seconds of `fast`, and how many times as long the others take."""
    head = [
        "one step's gradient",
        "dtype",
        "fast, s",
        *(f"{name} x" for name in TIMED[1:]),
        "share of GEMM rate",
        "peak MiB",
    ]
    rows = []
    for result in results["cases"]:
        cells = {row[2]: row for row in rows_of(result)}
        ratios = [cells[name][4] if name in cells else "" for name in TIMED[1:]]
        peaks = " / ".join(
            cells[name][5] for name in ("fast", "PyTorch eager", "JAX jit") if name in cells
        )
        rows.append(
            [
                describe(result["case"]),
                result["case"]["dtype"],
                cells["fast"][3],
                *ratios,
                cells["fast"][7],
                peaks,
            ]
        )
    return head, rows


def describe(case):
    """Name a case by what is not the default."""
    names = {"n": "images each", "envs": "environments"}
    words = [f"{case[key]:,} {text}" for key, text in names.items() if case[key] != DEFAULT[key]]
    words += [f"{case['classes']} classes"] * (case["classes"] != 2) + ["5 inner steps"] * (
        case["inner_steps"] == 5
    )
    name = {"meta_irm": "meta-IRM", "irmv1": "IRMv1", "v_rex": "V-REx"}[case["objective"]]
    return ", ".join([name, *words])


# ---- all cases -----------------------------------------------------------------------------------


def machine(threads):
    """Return what the times depend on."""
    from importlib.metadata import version

    from metairm_np.sweeps.trial import machine as facts

    return {
        **facts(),
        "threads": threads,
        **{name: version(name) for name in ("torch", "jax")},
        "system": platform.system(),
    }


def write(results, folder):
    """Write results.json and results.md."""
    from metairm_np import _storage
    from metairm_np.reports import tables

    head = [
        "step",
        "dtype",
        "backend",
        "seconds",
        "ratio",
        "peak MiB",
        "difference",
        "share of GEMM rate",
    ]
    table = tables.markdown(head, [row for result in results["cases"] for row in rows_of(result)])
    _storage.write_json(folder / "results.json", results, indent=1)
    _storage.write(folder / "results.md", f"{tables.markdown(*summary(results))}\n\n{table}\n")


def main():
    """Run the command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    p.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only cases whose name and dtype hold this text; others stay",
    )
    p.add_argument(
        "--rounds",
        type=int,
        default=7,
        metavar="N",
        help="how often each backend has its turn (default: 7)",
    )
    p.add_argument(
        "--out",
        type=Path,
        default=HERE,
        metavar="DIR",
        help="where results go (default: beside this script)",
    )
    p.add_argument(
        "--table", action="store_true", help="only write results.md again, from results.json"
    )
    args = p.parse_args()
    if args.worker:
        name, case, folder = args.worker
        work(name, json.loads(case), folder)
        return
    from metairm_np import _storage
    from metairm_np.fast import _blas

    threads = _blas.cores()
    before = _storage.read_json(args.out / "results.json") or {"cases": []}
    results = {
        "machine": before["machine"] if args.table else machine(threads),
        "cases": before["cases"],
    }
    for case in [] if args.table else CASES:
        if args.only not in f"{describe(case)} {case['dtype']}":
            continue
        result = measure(case, args.rounds, threads)
        others = [other for other in results["cases"] if other["case"] != case]
        results["cases"] = sorted([*others, result], key=lambda one: CASES.index(one["case"]))
        write(results, args.out)
        for row in rows_of(result):
            print(" | ".join(row), flush=True)
        for name, reason in result["failed"].items():
            print(f"{name} failed: {reason}", flush=True)
    write(results, args.out)


if __name__ == "__main__":
    main()
