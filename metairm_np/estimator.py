"""Meta-IRM and its baselines as a scikit-learn classifier, for one's own arrays and tables.

It is `metairm_np.training.train` with `Settings` that are chosen for it where nothing is given, and
has the same bits. What scikit-learn passes around as `groups` are the environments' names.
"""

from __future__ import annotations

import numbers
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

try:
    from scipy.special import expit, softmax
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "metairm_np.estimator needs scikit-learn 1.6 or newer: pip install 'metairm-np[estimator]'"
    ) from error

from metairm_np import _checks, _storage, spec
from metairm_np.environments import Environment
from metairm_np.environments._groups import held_out, named
from metairm_np.mlp import logits
from metairm_np.training import Settings, Status, StoppingRule, train

STOP = StoppingRule(threshold=0.001, arm=0.015, warmup=50, patience=10, line=10, samples="all")
# the parameters that an objective alone has, and what they are where None is given
OWN: dict[str, dict[str, Any]] = {
    "erm": {},
    "irmv1": {"penalty_weight": 1000.0, "anneal_steps": 100},
    "v_rex": {"penalty_weight": 1000.0, "anneal_steps": 100},
    "mm_rex": {"lambda_min": -100.0, "anneal_steps": 100},
    "meta_irm": {
        "inner_lr": 25.0,
        "inner_lr_warmup": 500,
        "std_weight": 1.0,
        "inner_steps": 1,
        "dropgrad": 0.0,
    },
}
LABELS = ("classes_", "environments_", "feature_names_in_")
FITTED = (*LABELS, "n_features_in_", "n_iter_", "step_", "history_", "params_")
OWNER = "metairm_np.estimator.InvariantClassifier, 1"  # of a file; the number is its layout's


class InvariantClassifier(ClassifierMixin, BaseEstimator):
    """A perceptron that is trained to predict alike in all environments.

    `fit(X, y, groups=...)` takes the environment of each sample, such as the laboratory that it
    comes from. All columns of `X` should be about as large: standardise them, for instance by
    scikit-learn's StandardScaler in a Pipeline.

    Parameters that are None are the objective's own, and have the value after "default" where the
    objective has them.

    Parameters
    ----------
    objective : {"meta_irm", "erm", "irmv1", "v_rex", "mm_rex"}, default "meta_irm"
        "erm" and "irmv1" can do with one environment; the others need two or more.
    hidden : sequence of int, default (64,)
        Widths of the hidden layers.
    inner_lr : float >= 0, optional
        Of "meta_irm": alpha, default 25, at the end of `inner_lr_warmup`.
    std_weight : float >= 0, optional
        Of "meta_irm": lambda, default 1.
    inner_steps : int >= 1, optional
        Of "meta_irm": default 1.
    inner_lr_warmup : int >= 0, optional
        Of "meta_irm": over so many steps alpha grows from almost 0, default 500.
    dropgrad : float in [0, 1), optional
        Of "meta_irm": p of Gaussian DropGrad, default 0.
    penalty_weight : float >= 0, optional
        Of "irmv1" and "v_rex": default 1000.
    lambda_min : float <= 1 / E, optional
        Of "mm_rex" in E environments: default -100.
    anneal_steps : int >= 0, optional
        Of "irmv1", "v_rex" and "mm_rex": for so many steps the penalty has its initial weight,
        default 100. Afterwards the objective is divided by the weight.
    init : {"fan_in", "glorot"}, default "fan_in"
        How the first parameters are drawn, see `metairm_np.init_mlp`.
    lr : float >= 0, default 0.003
        Of Adam.
    l2 : float >= 0, default 0.001
        Weight of ||theta||^2.
    steps : int >= 1, default 500
        The largest number of updates, each on all samples.
    early_stopping : {"auto", True, False} or StoppingRule, default "auto"
        Whether to stop where the environments' risks agree. True is the rule that is chosen for
        this class, `STOP`; "auto" is True for "meta_irm" and False for the others.
    validation_fraction : float in (0, 1), default 0.2
        With early stopping, the share of each environment's samples that is held out for it.
    random_state : int, RandomState instance or None, default None
        What first parameters, held-out samples and noise depend on; None is another seed each time.

    Attributes
    ----------
    classes_, environments_ : array
        The labels and the names of environments found, sorted; without groups the one environment
        is called 0.
    n_features_in_ : int
    feature_names_in_ : array of str
        If `X` has names of columns that are all text.
    n_iter_ : int
        The number of updates made.
    step_ : int
        After how many of them the parameters are those that are kept.
    history_ : list of dict
        A row for each step, see `metairm_np.training.train`.
    params_ : list of (W, b)
        theta, in the type of `X` (float32 or else float64).
    """

    __metadata_request__fit = {"groups": True}  # without it every Pipeline would need a set_...

    def __init__(
        self,
        objective="meta_irm",
        *,
        hidden=(64,),
        inner_lr=None,
        std_weight=None,
        inner_steps=None,
        inner_lr_warmup=None,
        dropgrad=None,
        penalty_weight=None,
        lambda_min=None,
        anneal_steps=None,
        init="fan_in",
        lr=0.003,
        l2=0.001,
        steps=500,
        early_stopping="auto",
        validation_fraction=0.2,
        random_state=None,
    ):
        self.objective = objective
        self.hidden = hidden
        self.inner_lr = inner_lr
        self.std_weight = std_weight
        self.inner_steps = inner_steps
        self.inner_lr_warmup = inner_lr_warmup
        self.dropgrad = dropgrad
        self.penalty_weight = penalty_weight
        self.lambda_min = lambda_min
        self.anneal_steps = anneal_steps
        self.init = init
        self.lr = lr
        self.l2 = l2
        self.steps = steps
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    # ---- fitting ---------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """Return what `metairm_np.training.train` is called with.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, or is given but not the objective's.
        """
        _checks.choice("objective", self.objective, OWN)
        _checks.count("steps", self.steps, 1)
        own = OWN[self.objective]
        for name in {name: None for names in OWN.values() for name in names}:
            if name not in own and getattr(self, name) is not None:
                whose = " and ".join(key for key in OWN if name in OWN[key])
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, but it is for {whose}, the objective is "
                    f"{self.objective!r}; leave it None"
                )
        given = {
            name: default if getattr(self, name) is None else getattr(self, name)
            for name, default in own.items()
        }
        hyper = {
            name: given.pop(name) for name in [*given] if name in spec.KEYWORDS[self.objective]
        }
        return Settings(
            self.objective,
            hyper,
            hidden=self.hidden,
            init=self.init,
            lr=self.lr,
            l2=self.l2,
            steps=self.steps,
            rescale="anneal_steps" in own,
            early_stopping=self._rule(),
            **given,
        )

    def _rule(self):
        """Return the stopping rule, or None."""
        asked = self.early_stopping
        if isinstance(asked, StoppingRule):
            return asked
        if asked == "auto":
            asked = self.objective == "meta_irm"
        if not isinstance(asked, (bool, np.bool_)):
            raise TypeError(
                f"early_stopping is {asked!r}; give 'auto', True, False or a StoppingRule"
            )
        return STOP if asked else None

    def fit(self, X, y, groups=None) -> InvariantClassifier:
        """Train on samples of several environments.

        Parameters
        ----------
        X : (n, d) array or DataFrame of numbers
        y : (n,) array
            Labels of any kind, of two or more classes.
        groups : (n,) array, optional
            The name of each sample's environment; optional for "erm" and "irmv1" alone, where all
            samples are then of one.

        Returns
        -------
        InvariantClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data cannot be used.
        RuntimeError
            If training diverges.

        Warns
        -----
        ConvergenceWarning
            If the environments' risks have not come to agree.
        """
        settings = self.settings()
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y holds one class, {classes[0]}; give samples of two or more")
        groups = np.zeros(len(y), int) if groups is None else column_or_1d(groups)
        check_consistent_length(y, groups)
        names, members = named(groups)
        if len(names) < 2:
            self._check_one_environment(settings)
        seed = seed_of(self.random_state)
        held = np.zeros(len(y), bool)
        if settings.early_stopping:
            held = held_out(members, self.validation_fraction, seed)
        envs, validation = (
            [
                Environment(X[rows], labels[rows], name=str(name))
                for e, name in enumerate(names)
                if (rows := (members == e) & part).any()
            ]
            for part in (~held, held)
        )
        result = train(settings, envs, validation, seed, n_classes=len(classes))
        if not result.status.usable:
            scale = ", and so may standardised columns of X (StandardScaler)"
            raise RuntimeError(result.message + scale * (result.status is Status.DIVERGED))
        if settings.early_stopping and result.status is not Status.STOPPED_EARLY:
            warnings.warn(result.message, ConvergenceWarning, stacklevel=2)
        self.classes_, self.environments_ = classes, names
        self.params_, self.history_ = result.params, result.history
        self.n_iter_, self.step_ = result.last_step, result.step
        return self

    def _check_one_environment(self, settings):
        """Raise ValueError if `settings` need more environments than one."""
        alone = self.objective in ("erm", "irmv1")
        if settings.early_stopping or not alone:
            what = "early stopping" if alone else self.objective
            raise ValueError(
                f"{what} needs samples of 2 or more environments, got 1; name each sample's in "
                "fit(X, y, groups=...), or take objective='erm'"
            )

    # ---- predicting ------------------------------------------------------------------------------

    def decision_function(self, X) -> np.ndarray:
        """Return the outputs f_theta(x): (n,), above 0 for classes_[1], or (n, C) if C > 2."""
        check_is_fitted(self, "params_")
        X = validate_data(self, X, reset=False, dtype=self.params_[0][0].dtype)
        f = logits(self.params_, X)
        return f[:, 0] if len(self.classes_) == 2 else f

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class, (n, C), in the order of `classes_`."""
        f = self.decision_function(X)
        return np.stack([expit(-f), expit(f)], axis=1) if f.ndim == 1 else softmax(f, axis=1)

    def predict(self, X) -> np.ndarray:
        """Return the most probable label of each sample, (n,)."""
        f = self.decision_function(X)
        return self.classes_[(f > 0).astype(int) if f.ndim == 1 else f.argmax(axis=1)]

    # ---- files -----------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write the fitted classifier to a file: npz with JSON inside, without pickles.

        Parameters
        ----------
        path : path
            Of the file, which appears whole or not at all. A `random_state` that is no number is
            left out.

        Raises
        ------
        NotFittedError
        IsADirectoryError
            If there is a folder at `path`.
        TypeError
            If a label or the name of an environment is neither text nor a number.
        """
        check_is_fitted(self, "params_")
        if Path(path).is_dir():
            raise IsADirectoryError(f"{path} is a folder; give the name of a file")
        given = {name: _plain(value) for name, value in self.get_params().items()}
        fitted = {name: _plain(getattr(self, name)) for name in FITTED if hasattr(self, name)}
        _storage.write_tree(path, OWNER, {"given": given, "fitted": fitted})

    @classmethod
    def load(cls, path) -> InvariantClassifier:
        """Return the classifier that `save` wrote.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If it is damaged or something else.
        """
        try:
            tree = _storage.tree_of(Path(path).read_bytes(), OWNER)
            given, fitted = tree["given"], tree["fitted"]
            if isinstance(given["early_stopping"], dict):
                given["early_stopping"] = StoppingRule(**given["early_stopping"])
            model = cls(**given)
            for name in [name for name in FITTED if name in fitted]:
                labels = name in LABELS and isinstance(fitted[name], list)
                setattr(model, name, np.array(fitted[name], object) if labels else fitted[name])
            _checks.model(model.params_, model.n_features_in_)
        except (
            _storage.DamagedError,
            _storage.ForeignError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ):
            raise ValueError(
                f"{path} is damaged, or is not what this release's InvariantClassifier.save "
                "writes; save the classifier again"
            ) from None
        return model


def _plain(value):
    """Return a parameter or a fitted attribute as `write_tree` takes it."""
    if isinstance(value, StoppingRule):
        return asdict(value)
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OT":  # savez would pickle it
        for label in value:
            if not isinstance(label, (str, int, float)):
                raise TypeError(
                    f"the label or name {label!r} is neither text nor a number and cannot be "
                    "saved; fit with such labels"
                )
        return value.tolist()
    return value


def seed_of(random_state):
    """Return the seed, an int >= 0: `random_state` itself if it is one."""
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
