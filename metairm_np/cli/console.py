"""What a sweep says on a terminal: a line for each trial, and bars with the time that is left."""

import sys
from collections import Counter

from tqdm import tqdm

from metairm_np.experiments import tested
from metairm_np.experiments.files import resolved, row_of
from metairm_np.reports import tables
from metairm_np.sweeps import Estimate, Listener
from metairm_np.training import Status
from metairm_np.training.clock import Clock

BAR = "{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} trials done{postfix} [{elapsed}]"


class Console(Listener):
    """Says what becomes of the trials of a sweep.

    Parameters
    ----------
    tasks : list of Task
    folder : path
        Where the trials are, for what is said about failures.
    jobs : int, default 1
        How many trials run side by side.
    """

    def __init__(self, tasks, folder, jobs=1):
        self.jobs, self.folder = jobs, folder
        self.estimate = Estimate(Counter(task.row for task in tasks))
        self.clock = Clock()  # of the trials carried out
        self.n_reused, self.running, self.waits = 0, 0, False
        self.bad = {status: [] for status in Status if not status.usable}
        self.bar = tqdm(total=len(tasks), bar_format=BAR, dynamic_ncols=True, disable=None)
        self.steps = Steps()

    def say(self, line, file=None):
        """Print a line above the bars."""
        file = file or sys.stdout
        with tqdm.external_write_mode(file=file):
            print(line, file=file, flush=True)

    def show(self, advance=0):
        """Bring the bar up to date."""
        failed = len(self.bad[Status.FAILED])
        left = self.bar.total - self.bar.n - advance - self.running - failed
        jobs = max(self.jobs, self.running)  # Dask may have more workers than we know
        seconds = self.estimate.remaining(jobs)
        about = f", about {tqdm.format_interval(seconds)} to go" if seconds is not None else ""
        self.bar.set_postfix_str(
            f"{self.running} running, {failed} failed, {left} left{about}", refresh=False
        )
        self.bar.update(advance)
        self.bar.refresh()

    def note(self, record):
        """Keep the names of trials whose numbers are not usable."""
        if record["status"] in self.bad:
            self.bad[record["status"]].append(record["name"])

    def reused(self, record):  # noqa: D102
        self.n_reused += 1
        self.estimate.take(record)
        self.note(record)
        self.bar.update(1)

    def begun(self, task):  # noqa: D102
        self.say_reused()
        self.running += 1
        self.show()

    def say_reused(self):
        """Say how many trials were there before."""
        if self.n_reused:
            self.say(f"reused: {self.n_reused} finished trial{'s' * (self.n_reused > 1)}")
            self.n_reused = 0

    def lost(self, task):  # noqa: D102
        self.running -= 1
        self.say(
            f"{task.name}: a worker process died (killed, or out of memory); it will run again",
            sys.stderr,
        )
        self.show()

    def finished(self, record):  # noqa: D102
        self.steps.close()
        self.running -= 1
        self.estimate.take(record)
        self.clock.add(record["seconds_of"])
        self.note(record)
        test = record["test_accuracy"]
        names = record["watched_p_e"]
        found = ", ".join(f"{100 * test[tested.key(p)]:.1f} {tested.where(p)}" for p in names)
        self.say(f"{tables.trial_line(record)}; test accuracy {found}")
        self.show(advance=1)

    def failed(self, record):  # noqa: D102
        self.steps.close()
        self.running -= 1
        self.estimate.drop(row_of(record["algorithm"], record["case"]))
        self.note(record)
        self.say(f"failed: {record['name']}: {record['message']}", sys.stderr)
        self.show()

    def waiting(self, n):  # noqa: D102
        self.say_reused()
        if not self.waits:
            self.say(
                f"waiting for {n} trial{'s' * (n > 1)} that another command runs in {self.folder}",
                sys.stderr,
            )
        self.waits = True

    def interrupted(self):  # noqa: D102
        what = "the trial that runs" if self.jobs == 1 else "the trials that run"
        self.say(f"\nfinishing {what}; Ctrl-C again stops now", sys.stderr)

    def on_trial(self, task):
        """Open the bar of a trial, and return what shows its steps."""
        settings = resolved(task.config).algorithms[task.algorithm].settings
        return self.steps.start(
            tables.trial_name(task.row, task.trial, task.setting), settings.steps
        )

    def close(self):
        """Take the bars away."""
        self.say_reused()
        self.steps.close()
        self.bar.close()

    def conclusion(self):
        """Name the trials that cannot be used; return the exit status."""
        for status, names in self.bad.items():
            if names:
                print(
                    f"{status.value}: {', '.join(names)}; see {self.folder}/trials", file=sys.stderr
                )
        return 1 if any(self.bad.values()) else 0


class Steps:
    """A bar for the trial under way: step, risks, sigma and accuracies, on terminals only."""

    NAMES = {
        "risk": "risk",
        "sigma": "sigma",
        "validation_sigma": "val_sigma",
        "accuracy": "train",
        "test_accuracy": "test",
    }

    def __init__(self):
        self.bar, self.shown = None, {}

    def start(self, label, steps):
        """Open a bar, and return the function that takes the rows of the history."""
        self.bar = tqdm(
            total=steps, desc=label, unit="step", leave=False, dynamic_ncols=True, disable=None
        )
        self.shown = {}
        return self.step

    def step(self, row):
        """Show a row of the history, and what an earlier row had and this one has not."""
        for key, name in self.NAMES.items():
            if key in row:
                value = row[key]
                self.shown[name] = (
                    "/".join(f"{v:.3f}" for v in value)
                    if isinstance(value, list)
                    else f"{value:.4f}"
                )
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(row["step"] - self.bar.n)

    def close(self):
        """Take the bar away, if there is one."""
        if self.bar is not None:
            self.bar.close()
