"""Where the shipped files are: beside the package in a clone, inside it in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource(folder):
    """Give the path of the shipped `folder`, "data" or "experiments"."""
    bundled = PACKAGE / "bundled" / folder
    return bundled if bundled.is_dir() else PACKAGE.parent / folder
