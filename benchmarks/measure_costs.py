"""Measure what docs/scale.md says of a trial's cost, fit its model, and print its tables.

python benchmarks/measure_costs.py [--rounds N] [--out DIR] [--table]

All runs with one thread, as in a sweep with one job per core. What is measured takes turns in random order. Beside each
measurement stands the rate of a matrix product, and its seconds are those that it would have taken at the run's median rate.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, replace
from pathlib import Path

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))  # before NumPy is loaded

import numpy as np
from backends import HYPER, problem
from compare_frameworks import memory
from cost_model import PIXELS, Case, case_of, columns_of, fit, tables

from metairm_np import blas, fast, init_mlp, storage, sweep, trials
from metairm_np.audit import Audit
from metairm_np.environments import colored_mnist
from metairm_np.environments.mnist import load_mnist14
from metairm_np.experiments import load
from metairm_np.folder import Folder
from metairm_np.training import random_hyper

HERE = Path(__file__).resolve().parent
STEPS = 40  # of the trials that are measured
IN_MEMORY = (0, 14, 19, 22, 26, 36)  # the cases of `grid` whose memory is measured


def grid():
    """Give the cases whose gradients are measured, their columns yet unknown."""
    rows = [
        ("erm", 25_000, (256,)), ("erm", 25_000, (64,)), ("erm", 20_000, (83, 83)), ("erm", 5_000, (390, 390)),
        ("erm", 1_000, (256,)), ("erm", 10_000, (256,), 10), ("erm", 1_000, (256,), 10), ("v_rex", 25_000, (256,)),
        ("v_rex", 10_000, (390,), 2, 3), ("v_rex", 2_500, (64,), 2, 6), ("v_rex", 1_000, (64,), 5, 4),
        ("mm_rex", 20_000, (128,)), ("mm_rex", 10_000, (256,), 5), ("mm_rex", 2_500, (256,), 10, 3), ("irmv1", 25_000, (256,)),
        ("irmv1", 20_000, (390,)), ("irmv1", 5_000, (128, 128)), ("irmv1", 10_000, (256,), 10), ("irmv1", 2_000, (64,), 2, 4),
        ("meta_irm", 20_000, (256,)), ("meta_irm", 10_000, (64,)), ("meta_irm", 10_000, (256,), 5),
        ("meta_irm", 10_000, (256,), 10), ("meta_irm", 10_000, (390,), 2, 2, 2), ("meta_irm", 10_000, (128, 128), 2, 2, 2),
        ("meta_irm", 5_000, (256,), 2, 2, 3), ("meta_irm", 5_000, (390, 390)), ("meta_irm", 2_500, (256,), 2, 4),
        ("meta_irm", 2_000, (128,), 2, 6), ("meta_irm", 2_000, (83, 83), 5, 5), ("meta_irm", 1_000, (256,)),
        ("meta_irm", 1_000, (64,), 2, 3, 3), ("meta_irm", 1_000, (64, 64), 2, 6), ("meta_irm", 1_000, (64,), 10),
        ("erm", 10_000, (256,), 2, 2, 1, "float64"), ("irmv1", 5_000, (128,), 2, 2, 1, "float64"),
        ("meta_irm", 10_000, (256,), 2, 2, 1, "float64"), ("meta_irm", 2_500, (83, 83), 2, 3, 1, "float64"),
        ("meta_irm", 5_000, (256,), 10, 2, 1, "float64"),
    ]  # fmt: skip
    return [replace(case, channels=case.classes) for case in (Case(*row) for row in rows)]


class Meter:
    """Measures seconds, and beside them the rate of the matrix products of a first layer, forward and back."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x, self.W, self.h = (rng.random(shape, np.float32) for shape in ((12_500, 196), (196, 256), (12_500, 256)))
        self.rates = []

    def rate(self):
        """Give flops per second now."""
        began = time.perf_counter()
        np.dot(self.x, self.W, out=self.h)
        np.dot(self.x.T, self.h)
        self.rates.append(4 * self.x.size * 256 / (time.perf_counter() - began))
        return self.rates[-1]

    def __call__(self, call):
        """Give [seconds, rate] of the second call of `call`."""
        call()
        before, began = self.rate(), time.perf_counter()
        call()
        return [time.perf_counter() - began, (before + self.rate()) / 2]


def parameters(case):
    """Make parameters for a case."""
    return init_mlp((PIXELS * case.channels, *case.hidden, case.outputs), 0, case.dtype, "fan_in")


def prepare(case):
    """Give a case with its columns, what computes its gradient, and what audits it."""
    envs, params, audit = problem(asdict(case))[1], parameters(case), Audit(fast, 0)
    hyper = {"erm": {}, "mm_rex": {"lambda_min": -1e3}, **HYPER}[case.objective]
    hyper = {**hyper, "inner_steps": case.inner_steps} if case.objective == "meta_irm" else hyper
    return (
        replace(case, columns=columns_of(envs)),
        lambda: fast.value_and_grad(case.objective, params, envs, **hyper),
        lambda: audit.passes(case.objective, params, envs, **hyper),
    )


def make_images():
    """Make the 140,000 images of a trial of cmnist."""
    data = colored_mnist(1, dtype="float32")
    return data.train, data.validation, [data.test(p / 10) for p in range(1, 10)]


def measure(meter, rounds):
    """Measure gradients, audits, a trial's images and a step's DropGrad noise."""
    prepared, rng = [prepare(case) for case in grid()], np.random.default_rng(0)
    settings, params = load("cmnist").algorithms["meta_irm"].settings, parameters(grid()[0])
    calls = {("gradients", i): gradient for i, (_, gradient, _) in enumerate(prepared)}
    calls |= {("audits", i): audit for i, (_, _, audit) in enumerate(prepared) if i % 3 == 0}
    calls |= {("images", 0): make_images, ("noise", 0): lambda: random_hyper(settings, rng, params, 2)}
    runs, keys = {key: [] for key in calls}, list(calls)
    for _ in range(rounds):
        for i in rng.permutation(len(keys)):
            runs[keys[i]].append(meter(calls[keys[i]]))
    found = {"gradients": [], "audits": []}
    for kind, i in keys[:-2]:
        found[kind].append({"case": asdict(prepared[i][0]), "runs": runs[kind, i]})
    return {**found, "images": {"runs": runs["images", 0]}, "noise": {"runs": runs["noise", 0]}}


def task_of(experiment, algorithm, trial=0):
    """Give the task of a trial with seed 0."""
    return trials.Task(json.dumps(experiment.config), algorithm, experiment.case, trial, 0, "float32")


def measure_trial(meter, algorithm):
    """Carry out a short trial of cmnist; give what it took, what decides that, and the record of a whole trial."""
    experiment, whole, spent, first = load("cmnist", [f"steps={STEPS}"]), load("cmnist"), [], len(meter.rates)

    def on_step(row):
        if row["step"] % 4 == 0:
            began = time.perf_counter()
            meter.rate()
            spent.append(time.perf_counter() - began)

    load_mnist14()  # once per process
    trials.data_of.cache_clear()
    began = time.perf_counter()
    record, _ = trials.carry_out(task_of(experiment, algorithm), on_step)
    seconds = time.perf_counter() - began - sum(spent)
    settings, data = whole.algorithms[algorithm].settings, experiment.data(0, "float32")
    data = data.greyscale() if settings.greyscale else data
    case = Case(settings.objective, 0, tuple(settings.hidden), channels=1 if settings.greyscale else 2)
    shapes = [replace(case, n=len(e[0]), columns=columns_of(e)) for e in (data.train, data.validation, [data.test(0.1)])]
    steps, rows = record["last_step"], record["history"]
    record["history"] = (rows[:10] * (settings.steps // 10 + 1))[: settings.steps + 1]
    facts = {"shapes": list(map(asdict, shapes)), "dropgrad": settings.dropgrad, "steps": steps, "all_steps": settings.steps}
    return {**facts, "runs": [[seconds, np.median(meter.rates[first:])]], "record_bytes": len(json.dumps(record))}, record


def measure_client(record):
    """Measure what the process that runs a sweep does for each trial: store it, look it up, wait for it among others."""
    tasks = [task_of(load("cmnist"), record["algorithm"], trial) for trial in range(300)]
    pending, seconds = [Future() for _ in range(10_000)], []
    with tempfile.TemporaryDirectory() as path:
        for _ in range(2):
            began = time.perf_counter()
            sweep.run(tasks, Folder(path), call=lambda task: ({**record, "name": task.name}, None))
            seconds.append((time.perf_counter() - began) / len(tasks))
    began = time.perf_counter()
    wait(pending, 0, FIRST_COMPLETED)
    waited = time.perf_counter() - began
    return {"store": seconds[0], "look_up": seconds[1], "wait": waited, "task_bytes": len(pickle.dumps(tasks[0]))}


def print_memory(what):
    """Print in MiB what a process takes before its data and at its peak: in a gradient, or else in a whole trial of cmnist."""
    load_mnist14()
    facts = {"start": memory("VmRSS")}
    if what == "trial":
        trials.carry_out(task_of(load("cmnist", ["steps=2"]), "meta_irm"))
    else:
        case, gradient, _ = prepare(case_of(json.loads(what)))
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: making data does not count
        gradient()
        facts["case"] = asdict(case)
    print(json.dumps({**facts, "peak": memory("VmHWM")}))


def answers(n, *arguments):
    """Give what n processes of this script print, that run side by side."""
    command = [sys.executable, __file__, *arguments]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(n)]
    return [json.loads(worker.communicate()[0]) for worker in workers]


def main():
    """Run the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--memory", help=argparse.SUPPRESS)
    p.add_argument("--trial", help=argparse.SUPPRESS)
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="how often each gradient is measured (default: 5)")
    p.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="where cost_model.json goes (default: here)")
    p.add_argument("--table", action="store_true", help="only fit and print again what cost_model.json holds")
    args = p.parse_args()
    if args.memory:
        print_memory(args.memory)
        return
    if args.trial:
        print(json.dumps(measure_trial(Meter(), args.trial)[0]["runs"][0]))
        return
    if args.table:
        results = json.loads((args.out / "cost_model.json").read_text())
    else:
        meter = Meter()
        results = {"machine": trials.machine(), **measure(meter, args.rounds), "trials": {}}
        for algorithm in load("cmnist").algorithms:
            results["trials"][algorithm], record = measure_trial(meter, algorithm)
        results.update(gemm=float(np.median(meter.rates)), client=measure_client(record))
        results["memory"] = [answers(1, "--memory", json.dumps(asdict(grid()[i])))[0] for i in IN_MEMORY]
        results["trial_memory"] = answers(1, "--memory", "trial")[0]
        results["side_by_side"] = answers(blas.cores(), "--trial", "meta_irm")
    results["fit"] = fit(results)
    storage.write_json(args.out / "cost_model.json", results, indent=1)
    print("\n\n".join(tables(results).values()))


if __name__ == "__main__":
    main()
