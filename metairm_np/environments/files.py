"""Environments of one's own, from CSV and npz files."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import DATA, Seed, child
from metairm_np.environments import _packing, _samples
from metairm_np.environments._sources import Named, named, pinned
from metairm_np.environments._split import SPLIT, checksum_of
from metairm_np.environments.environment import Environment

__all__ = ["FileEnvironments", "from_files", "named", "pinned"]


def from_files(
    seed: Seed,
    train: Named = (),
    test: Named = (),
    target: str = "y",
    data: str | None = None,
    environment: str | None = None,
    features: Sequence[str] = (),
    ignore: Sequence[str] = (),
    validation: float = 0.2,
    standardise: bool = True,
    folder: str | os.PathLike = ".",
    sha256: Mapping[str, str] | None = None,
    dtype: str = "float64",
) -> FileEnvironments:
    """Make one trial of data of one's own: whatever is wrong with them is one sentence.

    A CSV file has the names of its columns in its first line; an npz file has arrays (n,), which
    are columns, and (n, d), which are several. The environments' columns are matched by name.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The trial's seed; it decides what is held out.
    train, test : list of str, or dict of str
        The environments: files, each the environment of its name without ending; or a dict of files
        by the environments' names. With `data` they are values of its column `environment`.
    target : str, default "y"
        The column of the labels, whatever these are: texts or numbers.
    data, environment : str, optional
        A file with the samples of all environments, and its column that tells them apart.
    features : list of str, optional
        The columns that are inputs; default: all but `target`, `environment` and `ignore`.
    ignore : list of str, optional
    validation : float in [0, 1), default 0.2
        Share of each training environment's samples held out for validation.
    standardise : bool, default True
        Subtract from all inputs the mean of the trial's training samples, and divide by their
        standard deviation.
    folder : str or path, default "."
        The folder that files are relative to.
    sha256 : dict of str, optional
        By file what its SHA-256 has to be.
    dtype : {"float64", "float32"}, default "float64"

    Returns
    -------
    FileEnvironments
        With `.train`, `.validation` and `.test(name)`.

    Raises
    ------
    ValueError, TypeError
        For a value outside what is listed here, or files that cannot be used.
    FileNotFoundError
        If a file is missing.
    """
    options = {
        "train": train,
        "test": test,
        "target": target,
        "data": data,
        "environment": environment,
        "features": features,
        "ignore": ignore,
        "sha256": sha256,
    }
    samples = _samples.read(json.dumps(pinned(options, folder)))
    return FileEnvironments(samples, seed, validation, standardise, dtype)


class FileEnvironments:
    """One trial: samples from files, of which some are held out, as the seed says.

    Parameters
    ----------
    samples : Samples
    seed, validation, standardise, dtype
        As for `from_files`.

    Attributes
    ----------
    train, validation : list of Environment
    n_classes, n_envs : int
        Of classes and of training environments.
    classes : list of str
        The labels, in the order of their numbers.
    sources : dict of str
        The SHA-256 of each file.
    checksum : str
        Of the sources.
    about : dict
        What a record says of the data.
    """

    def __init__(self, samples, seed, validation=0.2, standardise=True, dtype="float64"):
        _checks.dtype(dtype)
        _checks.number("validation", validation, 0, 1)
        _checks.switch("standardise", standardise)
        self.n_classes, self.n_envs = len(samples.classes), len(samples.train)
        self.classes, self.sources = samples.classes, samples.sources
        self.checksum = checksum_of(self.sources)
        self.dtype = np.dtype(dtype)
        self._samples, self._rows = samples, []
        for e, (name, part) in enumerate(samples.train.items()):
            n = len(part.y)
            held = round(validation * n)
            if held == n or (held == 0 and validation > 0):
                raise ValueError(
                    f"validation is {validation!r}, which holds out {held} of the {n} samples of "
                    f"{name!r}; give a share that leaves some for both, or 0"
                )
            order = np.random.default_rng(child(seed, DATA, SPLIT, e)).permutation(n)
            self._rows.append((order[held:], order[:held]))
        self._mean, self._std = self._scale() if standardise else (0.0, 1.0)

    @property
    def about(self) -> dict:
        """What a record says of the data."""
        samples = {
            what: {name: len(part.y) for name, part in getattr(self._samples, what).items()}
            for what in ("train", "test")
        }
        return {"data": {"sha256": self.sources, "classes": self.classes, "samples": samples}}

    def in_each_colour(self, env: Environment) -> list:
        """Return no x: what is spurious in one's own data is not known."""
        return []

    @functools.cached_property
    def train(self) -> list[Environment]:
        """The training environments."""
        return self._training("train", 0)

    @functools.cached_property
    def validation(self) -> list[Environment]:
        """The held-out parts of the training environments; an empty list if their share is 0."""
        return self._training("validation", 1) if len(self._rows[0][1]) else []

    def test(self, name: str) -> Environment:
        """Return a test environment.

        Parameters
        ----------
        name : str

        Returns
        -------
        Environment

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        _checks.choice("test environment", name, self._samples.test)
        part = self._samples.test[name]
        return self._environment(part.x, part.y, f"test {name}")

    def greyscale(self) -> FileEnvironments:
        """Raise ValueError: only images made here have a twin without colour."""
        raise ValueError("greyscale is for images in colour; leave it out for data from files")

    def _training(self, what, which):
        return [
            self._environment(part.x[rows[which]], part.y[rows[which]], f"{what} {name}")
            for rows, (name, part) in zip(self._rows, self._samples.train.items())
        ]

    @np.errstate(over="ignore", invalid="ignore")
    def _scale(self):
        """Return mean and standard deviation of the training samples; 1 for a constant column."""
        parts = [part.x[kept] for (kept, _), part in zip(self._rows, self._samples.train.values())]
        n = sum(map(len, parts))
        mean = sum(x.sum(axis=0) for x in parts) / n
        variance = sum(((x - mean) ** 2).sum(axis=0) for x in parts) / n
        lowest, highest = (
            ends([ends(x, axis=0) for x in parts], axis=0) for ends in (np.min, np.max)
        )
        if not np.isfinite(variance).all():
            raise ValueError(
                f"the inputs go from {min(lowest):g} to {max(highest):g}, too far to be "
                "standardised; scale them, or set standardise = false"
            )
        return mean, np.where(highest > lowest, np.sqrt(variance), 1.0)

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused with a sentence
    def _environment(self, x, y, name):
        scaled = ((x - self._mean) / self._std).astype(self.dtype)  # (n, d)
        return Environment(_packing.locked(scaled), _packing.locked(y), name=name)
