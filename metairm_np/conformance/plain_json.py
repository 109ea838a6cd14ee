"""The golden vectors as plain JSON, a file for each case, for languages that do not read npz."""

import json
from pathlib import Path

from metairm_np import _storage
from metairm_np.conformance import vectors


def write(folder, version=vectors.LATEST):
    """Write the golden vectors of a version as they are stored, case.json and manifest.json.

    A case has what the manifest says of it, and "inputs" and each stage as {name: array}. Arrays
    are lists, matrices lists of rows; a float has as many digits as tell it from all others.
    """
    source = vectors.FOLDERS[version]
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    cases = {name: dict(about) for name, about in manifest["cases"].items()}
    for key, part in vectors.read_arrays(source / "arrays.npz"):
        case, group, array = key.split("/")
        if part.dtype.kind == "f":
            part = part.astype(float)
        cases[case].setdefault(group, {})[array] = part.tolist()
    for name, case in cases.items():
        text = json.dumps({"name": name, **case}, allow_nan=False)
        _storage.write(Path(folder) / f"{name}.json", text + "\n")
    manifest["cases"] = list(cases)
    manifest["layout"] = (
        "CASE.json holds the case's note, numbers and scales; inputs: W0, b0, ... (layers), "
        "x0, y0, ... (environments), vector_W0, ... and noise<i>_<t>_W0, ... (environment i, inner "
        "step t); and each stage with the answers. A matrix is a list of its rows; the stages are "
        "explained in docs/conformance.md."
    )
    text = json.dumps(manifest, indent=1)
    _storage.write(Path(folder) / "manifest.json", text + "\n")
