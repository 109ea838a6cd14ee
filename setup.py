"""Packaging: the library, and with it the data and the experiments, which live beside it in the repository."""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "metairm_np" / "_version.py").read_text())[1]
ROOMS = [
    "analysis",
    "cli",
    "conformance",
    "conformance.mistakes",
    "environments",
    "experiments",
    "fast",
    "reports",
    "sweeps",
    "training",
]
EXTRAS = {
    "test": ["pytest>=7", "hypothesis>=6", "mpmath>=1.3"],
    "crosscheck": ["torch>=2", "jax>=0.4"],
    "cluster": ["distributed>=2023"],
    "text": ["pooch>=1.7"],
}
EXTRAS["dev"] = [*EXTRAS["test"], "ruff>=0.9", "build"]

setup(
    name="metairm-np",
    version=VERSION,
    description="Meta-Learned Invariant Risk Minimization in NumPy and HIPS autograd: the reference implementation",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT AND CC-BY-SA-3.0",
    license_files=["LICENSE", "data/README.md"],
    python_requires=">=3.10",
    install_requires=[
        "numpy>=1.26",
        "autograd>=1.7",
        "scipy",
        "matplotlib",
        "tqdm",
        # the standard library's tomllib, for the one release that lacks it
        'tomli; python_version < "3.11"',
    ],
    extras_require=EXTRAS,
    packages=[
        "metairm_np",
        *(f"metairm_np.{room}" for room in ROOMS),
        "metairm_np.bundled.data",
        "metairm_np.bundled.experiments",
    ],
    package_dir={
        "metairm_np.bundled.data": "data",
        "metairm_np.bundled.experiments": "experiments",
    },
    package_data={
        "metairm_np.bundled.data": ["mnist14.npz", "README.md"],
        "metairm_np.bundled.experiments": ["*.toml"],
        "metairm_np.conformance": ["golden/v1/*"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
