"""How long a sweep still takes."""

from collections import Counter

from metairm_np.experiments.files import row_of


class Estimate:
    """How long trials take, by row of the tables, learnt from those that are finished.

    Parameters
    ----------
    left : dict
        Of each row, the number of trials that are not finished.
    """

    def __init__(self, left):
        self.left, self.seconds, self.finished = Counter(left), Counter(), Counter()

    def take(self, record):
        """Take in a record, of this sweep or an earlier one."""
        row = row_of(record["algorithm"], record["case"])
        self.left[row] -= 1
        self.seconds[row] += record["seconds"]
        self.finished[row] += 1

    def drop(self, row):
        """Take in that a trial of a row has failed."""
        self.left[row] -= 1

    def remaining(self, jobs):
        """Return the seconds that `jobs` workers will need, or None; a row that is new takes as long as the others do."""
        if not self.finished:
            return None
        overall = self.seconds.total() / self.finished.total()
        each = {
            name: self.seconds[name] / self.finished[name] if self.finished[name] else overall
            for name in self.left
        }
        return sum(max(n, 0) * each[name] for name, n in self.left.items()) / jobs
