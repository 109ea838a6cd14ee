"""Environments and the generators that make them, in NumPy alone."""

from metairm_np.environments.colored_mnist import ColoredDigits, colored_mnist
from metairm_np.environments.environment import Environment
from metairm_np.environments.files import FileEnvironments, from_files
from metairm_np.environments.punctuated_sst2 import PunctuatedSentences, punctuated_sst2
from metairm_np.environments.synthetic import synthetic_digits
from metairm_np.environments.two_features import TwoFeatures, two_features

__all__ = [
    "ColoredDigits",
    "Environment",
    "FileEnvironments",
    "PunctuatedSentences",
    "TwoFeatures",
    "colored_mnist",
    "from_files",
    "punctuated_sst2",
    "synthetic_digits",
    "two_features",
]
