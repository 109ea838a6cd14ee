"""Time one meta-IRM step as the work grows, beside PyTorch, JAX and NumPy's matmul alone.

python benchmarks/scaling.py [--out DIR] [--draw]
python benchmarks/scaling.py --quick --out DIR [--draw]

One figure of four panels: samples in each environment, environments, inner steps and width of the
hidden layer, each with the others as in BASE; with --quick two small points a panel. The lines are
seconds for

- `metairm_np.fast`, JAX with `jit`, and eager PyTorch, with one thread or one for each core,
  whichever is faster;
- the GEMM bound: NumPy's matmul alone on the multiplications with the first layer that a step
  cannot do without, on the columns that `fast` takes, timed on at most ROWS samples.

Each is a process of its own; they take turns, and the least of the rounds counts. Written to
DIR/scaling.json, after each point, and DIR/scaling.svg: the same command goes on where it was
stopped, unless the machine or a version is another. What would take more than SECONDS, by the
point before it, more than GIB of memory, or more than START seconds until the first step is done
(JAX compiles each pair of environments) is left out; scaling.json says so.
"""

import argparse
import select
import tempfile
from pathlib import Path
from typing import NamedTuple

from compare_frameworks import DEFAULT, HERE, Worker, machine, minimal_work

from metairm_np import _storage
from metairm_np.fast import _blas
from metairm_np.reports.figures import new_figure, render

MARKERS = "osD^v"  # of the lines
BASE = {**DEFAULT, "n": 2_500, "dtype": "float32"}
FEW = 250  # samples in each of many environments


class Panel(NamedTuple):
    """What grows, its values, how the work grows with it, and what else is not as in BASE."""

    label: str
    values: list
    quick: list
    power: int = 1
    others: dict = {}


PANELS = {
    "n": Panel(
        "samples in each environment",
        [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
        [100, 200],
    ),
    "envs": Panel("environments", [2, 3, 5, 10, 20, 50], [2, 3], 2, {"n": FEW}),
    "inner_steps": Panel("inner steps", [1, 2, 3, 5, 10], [1, 2]),
    "hidden": Panel("hidden units", [16, 64, 256, 1_024, 4_096], [8, 16]),
}
SMALL = {"n": 100, "hidden": [8]}  # with --quick
LINES = {  # label: backends, of which the fastest counts
    "metairm_np fast": ["fast"],
    "PyTorch": ["PyTorch eager", "PyTorch 1 thread"],
    "JAX": ["JAX jit"],
    "GEMM bound": ["products"],
}
NAMES = [name for some in LINES.values() for name in some]
SECONDS, GIB, START, ROWS, ROUNDS = 10, 6, 180, 25_000, 3
PASSES = 12  # arrays (n, hidden) that automatic differentiation keeps for an inner step, about


def cases(quick=False):
    """Return the cases of each panel, in the order of the values."""
    found = {}
    for key, panel in PANELS.items():
        base = {**BASE, **panel.others, **(SMALL if quick else {})}
        values = panel.quick if quick else panel.values
        found[key] = [{**base, key: [v] if key == "hidden" else v} for v in values]
    return found


def value(case, key):
    """Return what grows."""
    return case[key][0] if key == "hidden" else case[key]


def gib(name, case):
    """Return about how much memory a backend needs, in GiB."""
    samples = case["n"] * case["envs"]
    if name in ("fast", "products"):
        return samples * 4 * 500 / 2**30  # images are drawn and sorted
    each = PASSES * case["hidden"][0] * (case["inner_steps"] + case["envs"] - 1)
    return samples * 4 * (392 * 2 + each) / 2**30


def why_not(name, before, key, case):
    """Return why a backend is left out at a point; None if it is not."""
    if gib(name, case) > GIB:
        return f"about {gib(name, case):.0f} GiB"
    if before is None:
        return None
    if name not in before["seconds"]:
        return before["left_out"][name]
    growth = (value(case, key) / value(before["case"], key)) ** PANELS[key].power
    return f"more than {SECONDS} s" if before["seconds"][name] * growth > SECONDS else None


def started(worker):
    """Return whether a worker has done its first step in time; it is ended if not."""
    if not select.select([worker.process.stdout], [], [], START)[0]:
        worker.process.kill()
        print(f"not ready in {START} s", file=worker.log)
    return worker.answer() == "ready"


def measure(names, case, rounds, threads):
    """Return the least seconds of each backend, and why any failed."""
    few = {**case, "n": min(case["n"], ROWS)}
    work = minimal_work(few)
    few["columns"] = round(work["columns"])
    workers, seconds, failed = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            worker = Worker(name, few if name == "products" else case, folder, threads)
            if started(worker):
                workers[name] = worker
            else:
                failed[name] = worker.reason()
        for _ in range(rounds):
            for name, worker in list(workers.items()):
                again = worker.ask("step")
                if again is None:  # for want of memory, perhaps
                    failed[name] = workers.pop(name).reason()
                    seconds.pop(name, None)
                else:
                    seconds[name] = min(seconds.get(name, again), again)
        for worker in workers.values():
            worker.ask("finish")
            worker.process.wait()
    if "products" in seconds:  # of one environment, there and back
        seconds["products"] *= work["products"] / 2 * case["n"] / few["n"]
    return seconds, failed


def measure_all(results, quick, save):
    """Measure the points that are not in `results` yet, and call `save` after each."""
    for key, many in cases(quick).items():
        before = None
        for case in many:
            point = next((point for point in results["points"] if point["case"] == case), None)
            if point is None:
                left_out = {name: why_not(name, before, key, case) for name in NAMES}
                left_out = {name: reason for name, reason in left_out.items() if reason}
                wanted = [name for name in NAMES if name not in left_out]
                rounds = 1 if quick else ROUNDS
                seconds, failed = measure(wanted, case, rounds, results["machine"]["cores"])
                point = {"case": case, "seconds": seconds, "left_out": {**left_out, **failed}}
                results["points"].append(point)
                save(results)
                print(key, value(case, key), {name: f"{s:.2g}" for name, s in seconds.items()})
            before = point


def draw(results, quick=False):
    """Return the figure."""
    figure = new_figure(11, 8)
    for axes, (key, many) in zip(figure.subplots(2, 2).flat, cases(quick).items()):
        points = [point for case in many for point in results["points"] if point["case"] == case]
        for index, (label, names) in enumerate(LINES.items()):
            line = [
                (value(point["case"], key), min(known))
                for point in points
                if (known := [point["seconds"][name] for name in names if name in point["seconds"]])
            ]
            style = {"linestyle": "--", "color": "0.5"} if label == "GEMM bound" else {}
            if line:
                style = {"marker": MARKERS[index], "markersize": 4, "label": label, **style}
                axes.loglog(*zip(*line), **style)
        few = f", of {many[0]['n']} samples" if PANELS[key].others else ""
        axes.set(xlabel=PANELS[key].label + few, ylabel="seconds a step")
        ticks = [value(case, key) for case in many]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks] if ticks[-1] < 1e4 else None)
        axes.minorticks_off()
        axes.grid(color="0.9")
    figure.axes[0].legend(fontsize=8)
    base, where = {**BASE, **(SMALL if quick else {})}, results["machine"]
    figure.suptitle(
        f"One meta-IRM step in float32 on {where['cores']} cores of an {where['processor']}. "
        f"Colored MNIST; unless varied,\n{base['envs']} environments of {base['n']:,} images, "
        f"{base['inner_steps']} inner step, {base['hidden'][0]} hidden units",
        fontsize=10,
    )
    return figure


def write(results, folder, quick=False):
    """Write scaling.json and scaling.svg."""
    _storage.write_json(folder / "scaling.json", results, indent=1)
    _storage.write(folder / "scaling.svg", render(draw(results, quick))["svg"])


def main(given=None):
    """Run the command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--quick", action="store_true", help="two small points a panel, one round")
    p.add_argument("--out", type=Path, default=HERE.parent / "docs", metavar="DIR")
    p.add_argument("--draw", action="store_true", help="only draw what scaling.json has")
    args = p.parse_args(given)
    if args.quick and args.out == p.get_default("out"):
        p.error("--quick needs --out DIR: it is not what docs/ shows")
    results = _storage.read_json(args.out / "scaling.json") or {}
    if not args.draw:
        here = machine(_blas.cores())
        if results.get("machine") != here:
            results = {"machine": here, "points": []}
        measure_all(results, args.quick, lambda found: write(found, args.out, args.quick))
    write(results, args.out, args.quick)


if __name__ == "__main__":
    main()
