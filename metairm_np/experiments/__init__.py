"""What is run: TOML files to settings, and what a search draws."""

from metairm_np.experiments.files import Experiment, Study, available, load, load_study

__all__ = ["Experiment", "Study", "available", "load", "load_study"]
