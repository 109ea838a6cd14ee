"""What pyproject.toml cannot say: the packages that are found, and two that lie beside them."""

from setuptools import find_packages, setup

BUNDLED = ["metairm_np.bundled.data", "metairm_np.bundled.experiments"]

setup(packages=[*find_packages(include=["metairm_np", "metairm_np.*"]), *BUNDLED])
