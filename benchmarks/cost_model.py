"""The cost of a gradient and of a trial: its work, counted, and the seconds of a unit of work, fitted to measurements.

docs/scale.md explains the model and has the tables that are made here; measure_costs.py measures and prints them.
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from scipy.optimize import nnls

from metairm_np import report
from metairm_np.audit import SAMPLES
from metairm_np.environments.environment import ROWS
from metairm_np.fast.network import ARENA_BYTES
from metairm_np.fast.sums import CHUNK_BYTES, KEPT_BYTES, PARTS

PIXELS = 196
TERMS = {  # what is counted: the unit in which its coefficient is printed, and that unit in seconds
    "flops": ("of the time at the GEMM rate", 1), "cache bytes": ("ns per kB", 1e-12), "memory bytes": ("ns per kB", 1e-12),
    "outputs": ("ns each", 1e-9), "calls": ("µs each", 1e-6),
}  # fmt: skip


# ---- the model ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What decides the cost of a gradient.

    Each of `envs` environments has n samples in `channels` groups, each with columns of its own: a group per class for coloured
    images, one otherwise. On average `columns` columns of x are multiplied, that of ones included.
    """

    objective: str
    n: int
    hidden: tuple
    classes: int = 2
    envs: int = 2
    inner_steps: int = 1
    dtype: str = "float32"
    channels: int = 2
    columns: float = 94.0

    @property
    def itemsize(self):
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def outputs(self):
        """Outputs of the network."""
        return 1 if self.classes == 2 else self.classes

    @property
    def layers(self):
        """Weights of each layer that a sample meets."""
        widths = (self.columns, *self.hidden, self.outputs)
        return [a * b for a, b in zip(widths, widths[1:])]

    @property
    def size(self):
        """Parameters."""
        widths = (PIXELS * self.channels, *self.hidden, self.outputs)
        return sum((a + 1) * b for a, b in zip(widths, widths[1:]))

    @property
    def chunks(self):
        """Chunks of an environment whose groups are equally large."""
        rows = max(16, CHUNK_BYTES // (max(self.hidden) * self.itemsize))
        blocks, rest = divmod(self.n / self.channels, ROWS)
        return self.channels * (blocks * ceil(ROWS / rows) + ceil(rest / rows))

    @property
    def parts(self):
        """Parts of an environment."""
        return min(self.channels * ceil(PARTS / self.channels), self.chunks)

    @property
    def kept(self):
        """Share of the hidden activations for which there is room."""
        return min(1, KEPT_BYTES / (self.n * sum(self.hidden) * self.itemsize))


def case_of(facts):
    """Give the case of a dict that comes from JSON."""
    return Case(**{**facts, "hidden": tuple(facts["hidden"])})


def columns_of(envs):
    """Give the columns that are multiplied on average, that of ones included."""
    return sum(block.x.size for env in envs for group in env.groups for block in group.blocks) / sum(map(len, envs))


def work(flops=0.0, cache=0.0, memory=0.0, outputs=0.0, calls=0.0):
    """Give amounts of work in the order of `TERMS`."""
    return np.array([flops, cache, memory, outputs, calls])


def one_pass(case, gradient=0, vectors=0, known=0.0, stored=0.0, curves=0):
    """Count a pass over one environment that gives its risk, 0 or 1 `gradient` and Hessian products with `vectors`.

    For the share `known` of the samples the hidden activations are read instead of computed, for the share `stored` they are
    written. `curves` is how often line (6) of docs/derivation.md is computed, beyond once for each vector.
    """
    n, b, L, hidden = case.n, case.itemsize, len(case.layers), sum(case.hidden)
    first, *above = case.layers
    totals = gradient + vectors
    p = 1 + gradient + 2 * vectors  # products with the first layer
    q = 1 + 2 * gradient + 6 * vectors  # with each layer above
    r = 7 + 6 * gradient + 12 * vectors  # times that a hidden value is read or written
    products = p * first + q * sum(above) + vectors * sum(above[1:]) - known * (first + sum(above[:-1]))
    values = (p - 1) * case.columns + (r - 4 * known) * hidden + (2 + 13 * vectors) * sum(case.hidden[1:])
    weights = sum(case.layers)
    copies = 5 * totals * case.parts + 2 * (1 + vectors) * case.channels  # of the weights, beside the chunks
    return work(
        flops=2 * n * products,
        cache=b * (n * values + case.chunks * (p + 4 * totals) * weights),
        memory=b * (n * (case.columns + (known + stored) * hidden) + copies * weights + 4 * totals * case.size),
        outputs=n * case.outputs * (1 + vectors + curves),
        calls=case.chunks * (20 + (4 + 6 * gradient + 18 * vectors) * L + 4 * vectors)
        + case.parts * (10 + 6 * L * totals)
        + 10 * case.channels,
    )


def on_parameters(case, times):
    """Count arithmetic on whole parameter vectors that reads or writes each number so many times."""
    return work(memory=times * case.itemsize * case.size, calls=times * len(case.layers))


def gradient_work(case):
    """Count the gradient of an objective."""
    E, K, kept, plus = case.envs, case.inner_steps, case.kept, on_parameters(case, 5)
    if case.objective == "irmv1":
        return E * (one_pass(case, stored=kept) + one_pass(case, 1, known=kept, curves=1) + plus)
    if case.objective != "meta_irm":
        return E * (one_pass(case, 1) + plus)
    v = 1 if E == 2 else 2
    inner, outer = one_pass(case, 1, stored=kept) + 2 * plus, one_pass(case, 1) + 2 * plus
    back = one_pass(case, 0, v, known=kept) + (K - 1) * one_pass(case, 0, v, stored=kept) + 2 * K * v * plus
    return E * (K * inner + (E - 1) * outer + back + 2 * plus)


def observation_work(case, validation, test):
    """Count what the history gets every 10 steps; `validation` and `test` are cases with the sizes of those sets."""
    E, K = case.envs, case.inner_steps
    total = E * one_pass(case) + E * one_pass(validation) + 3 * one_pass(test)
    if case.objective == "meta_irm":
        return total + E * (K * one_pass(case, 1) + (E - 1) * one_pass(case))
    return total + (2 if case.objective == "irmv1" else 1) * E * one_pass(case)


def trial_work(case, validation, test, steps):
    """Count a trial's training and last evaluation, without data and audits."""
    adam = on_parameters(case, 45)  # and L2, and the search for what is not finite
    each, watched = gradient_work(case) + adam + case.envs * one_pass(validation), work()
    if case.objective == "meta_irm":  # its stopping rule takes in the training samples' risks
        watched = case.envs * one_pass(case)
    last = case.envs * (one_pass(case) + 3 * one_pass(validation)) + 9 * one_pass(test)
    return (
        steps * each
        + (steps + 1) * watched
        + (steps // 10 + 1 + (steps % 10 > 0)) * observation_work(case, validation, test)
        + last
    )


def audited(case):
    """Give the case whose gradient an audit takes from autograd."""
    return replace(case, n=min(SAMPLES, case.n), dtype="float64", channels=1, columns=1 + PIXELS * case.channels)


def data_bytes(case):
    """Give the bytes of one environment: x, labels (twice) and row numbers."""
    return case.n * (case.columns * case.itemsize + 24)


def gradient_bytes(case):
    """Give the bytes that a gradient takes beyond data and parameters."""
    kept = case.kept * case.n * sum(case.hidden) * case.itemsize if case.objective in ("irmv1", "meta_irm") else 0
    copies = {"v_rex": case.envs + 2, "mm_rex": case.envs + 2, "meta_irm": case.inner_steps + 8}.get(case.objective, 3)
    return ARENA_BYTES + kept + copies * case.size * case.itemsize


# ---- the fit -----------------------------------------------------------------------------------------------------------


def seconds_of(measured, gemm):
    """Give the median of the seconds that [seconds, rate] would have been at the rate `gemm`."""
    return float(np.median([seconds * rate / gemm for seconds, rate in measured["runs"]]))


def terms(case, amounts, gemm):
    """Give the terms of the model without their coefficients; the first is seconds at the GEMM rate, float64 at half of it."""
    return amounts * [case.itemsize / 4 / gemm, 1, 1, 1, 1]


def solve(rows, seconds):
    """Give the coefficients >= 0 that make the sum of the squared relative errors smallest."""
    relative = rows / seconds[:, None]
    scale = np.linalg.norm(relative, axis=0)
    return nnls(relative / scale, np.ones(len(rows)))[0] / scale


def fit(results):
    """Give the coefficients, the seconds the model says for each gradient, and those it says if fitted without that one."""
    gemm, measured = results["gemm"], results["gradients"]
    cases, seconds = [case_of(m["case"]) for m in measured], np.array([seconds_of(m, gemm) for m in measured])
    rows = np.array([terms(case, gradient_work(case), gemm) for case in cases])
    found, others = solve(rows, seconds), ~np.eye(len(rows), dtype=bool)
    unseen = [float(row @ solve(rows[other], seconds[other])) for row, other in zip(rows, others)]
    audits = [audited(case_of(m["case"])) for m in results["audits"]]
    factors = [seconds_of(m, gemm) / (terms(c, gradient_work(c), gemm) @ found) for m, c in zip(results["audits"], audits)]
    return {"coefficients": found.tolist(), "predicted": (rows @ found).tolist(), "unseen": unseen, "audits": factors}


def trial_seconds(results, trial, steps):
    """Give the seconds of so many steps of a trial of cmnist: for training and evaluation, for audits, for making images."""
    shapes, gemm, found = list(map(case_of, trial["shapes"])), results["gemm"], np.array(results["fit"]["coefficients"])
    case, one = shapes[0], audited(shapes[0])
    audit = np.median(results["fit"]["audits"]) * (terms(one, gradient_work(one), gemm) @ found)
    noise = seconds_of(results["noise"], gemm) * steps * (trial["dropgrad"] > 0)
    training = terms(case, trial_work(*shapes, steps), gemm) @ found + noise
    return training, audit * (steps // 50 + 1 + (steps % 50 > 0)), seconds_of(results["images"], gemm)


# ---- tables ------------------------------------------------------------------------------------------------------------


def tables(results):
    """Give the tables of docs/scale.md, a dict of Markdown."""
    gemm, found = results["gemm"], results["fit"]
    coefficients = [[term, f"{c / unit:.3g}", name] for c, (term, (name, unit)) in zip(found["coefficients"], TERMS.items())]
    seconds = np.array([seconds_of(m, gemm) for m in results["gradients"]])
    wrong, unseen = (np.array(found[key]) / seconds - 1 for key in ("predicted", "unseen"))
    errors = [["of the fit", *spread(wrong)], ["each case left out once", *spread(unseen)]]
    shown = sorted({*range(0, len(seconds), 6), *np.argsort(np.abs(wrong))[-4:].tolist()})
    gradients = []
    for i in shown:
        case = case_of(results["gradients"][i]["case"])
        numbers = f"{1e3 * seconds[i]:.1f}", f"{1e3 * found['predicted'][i]:.1f}", f"{wrong[i]:+.0%}", f"{unseen[i]:+.0%}"
        parts = terms(case, gradient_work(case), gemm) * found["coefficients"]
        gradients.append([*described(case), *numbers, " ".join(f"{100 * part:.0f}" for part in parts / parts.sum())])
    memories = []
    for m in results["memory"]:
        case = case_of(m["case"])
        model = (case.envs * data_bytes(case) + gradient_bytes(case)) / 2**20
        memories.append([*described(case), f"{m['peak'] - m['start']:.0f}", f"{model:.0f}"])
    case = ["objective", "n", "c", "widths", "k", "E", "K", "dtype"]
    return {
        "coefficients": report.markdown(["counted", "takes", "unit"], coefficients),
        "errors": report.markdown(["relative error", "median", "9 of 10 below", "worst"], errors),
        "gradients": report.markdown([*case, "measured, ms", "model, ms", "error", "left out", "shares, %"], gradients),
        "trials": trial_table(results),
        "memory": report.markdown([*case, "measured, MiB", "model, MiB"], memories),
        "process": report.markdown(["of a process", "measured"], process_rows(results)),
    }


def trial_table(results):
    """Give the table of trials: short ones measured and in the model, whole ones in the model."""
    rows = []
    for name, trial in results["trials"].items():
        measured = seconds_of(trial, results["gemm"])
        short, whole = (sum(trial_seconds(results, trial, trial[key])) for key in ("steps", "all_steps"))
        row = [name, str(trial["steps"]), f"{measured:.2f}", f"{short:.2f}", f"{short / measured - 1:+.0%}"]
        row += [str(trial["all_steps"]), f"{whole:.1f}", f"{whole / 3600 * 1e6:,.0f}", f"{trial['record_bytes'] / 1e3:.0f}"]
        rows.append(row)
    head = [
        "algorithm",
        "steps",
        "measured, s",
        "model, s",
        "error",
        "all steps",
        "model, s",
        "core hours for 10^6",
        "JSON, kB",
    ]
    return report.markdown(head, rows)


def process_rows(results):
    """Give what was measured of a worker's memory and of the process that runs a sweep."""
    train, validation, test = (case_of(facts) for facts in results["trials"]["meta_irm"]["shapes"])
    data = train.envs * (data_bytes(train) + data_bytes(validation)) + 9 * data_bytes(test)
    worker, client, trial = results["trial_memory"], results["client"], results["trials"]["meta_irm"]
    (seconds, alone), (busy, rate) = trial["runs"][0], np.mean(results["side_by_side"], axis=0)
    model = sum(trial_seconds(results, trial, trial["steps"])) * results["gemm"] / rate
    return [
        [f"worker: {trial['steps']} steps of meta_irm alone, at G = {alone / 1e9:.0f}", f"{seconds:.1f} s"],
        [f"worker: with one on each of {len(results['side_by_side'])} cores, at G = {rate / 1e9:.0f}", f"{busy:.1f} s"],
        ["... in the model, at that G", f"{model:.1f} s"],
        ["worker: memory with all imported and the images loaded", f"{worker['start']:.0f} MiB"],
        ["worker: peak in a trial of meta_irm", f"{worker['peak']:.0f} MiB"],
        ["... in the model: that start, data, gradient", f"{worker['start'] + (data + gradient_bytes(train)) / 2**20:.0f} MiB"],
        ["command: store a record and begin the next trial", f"{1e3 * client['store']:.1f} ms"],
        ["command: find a trial finished, its file in the page cache", f"{1e3 * client['look_up']:.2f} ms"],
        ["command: look through 10,000 trials under way", f"{1e3 * client['wait']:.0f} ms"],
        ["network: a task, pickled", f"{client['task_bytes'] / 1e3:.1f} kB"],
    ]


def spread(errors):
    """Give the median, the ninth decile and the largest of absolute relative errors, as text."""
    return [f"{value:.1%}" for value in (np.median(np.abs(errors)), np.quantile(np.abs(errors), 0.9), np.abs(errors).max())]


def described(case):
    """Give a case's cells."""
    numbers = map(str, (case.classes, case.envs, case.inner_steps))
    return [case.objective, f"{case.n:,}", f"{case.columns:.0f}", ", ".join(map(str, case.hidden)), *numbers, case.dtype]
