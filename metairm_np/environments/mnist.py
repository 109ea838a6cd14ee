"""MNIST at 14x14, which the project ships; data/README.md has its source and licence."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np

from metairm_np._storage import shipped

SHA256 = {  # of each array's bytes in C order; data/build_mnist14.py prints them
    "train_images": "610fa31aaa43bee43eab7fa3f2db5d030d8bc699e0237f83aea2ed2874bdb0d6",
    "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "test_images": "2bf5e7c8480c95a07c4fc4b843609d2411ca91d8856ac4e19af9109aeffd8fcb",
    "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


@functools.cache
def load_mnist14(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """Return MNIST with every second pixel, verified once per process.

    Parameters
    ----------
    path : str or path, optional
        Default: the file shipped with the project.

    Returns
    -------
    dict of array
        train_images (60000, 14, 14), test_images (10000, 14, 14), train_labels (60000,),
        test_labels (10000,), all uint8.

    Raises
    ------
    ValueError
        If the file is damaged: unreadable, incomplete, or with another SHA-256.
    FileNotFoundError
        If there is no such file.
    """
    path = shipped("data") / "mnist14.npz" if path is None else path
    try:
        with open(path, "rb") as stream, np.load(stream) as file:
            arrays = {name: file[name] for name in SHA256}
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing; install metairm-np again or run data/build_mnist14.py"
        ) from None
    except Exception as error:  # a damaged archive raises anything from zlib.error to KeyError
        raise ValueError(_damaged(path, f"it cannot be read ({error})")) from None
    for name, array in arrays.items():
        if hashlib.sha256(array.tobytes()).hexdigest() != SHA256[name]:
            raise ValueError(_damaged(path, f"the SHA-256 of {name} is wrong"))
        array.flags.writeable = False
    return arrays


def _damaged(path, reason):
    return (
        f"{path} is damaged: {reason}; install metairm-np again or rebuild the file with "
        "data/build_mnist14.py"
    )
