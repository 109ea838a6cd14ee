"""Rebuild mnist14.npz, bit for bit, from the four original MNIST files.

    python data/build_mnist14.py FOLDER              # from the files in FOLDER, gzipped or not
    python data/build_mnist14.py --download FOLDER   # those it lacks come from a public mirror

Every second pixel of every second row is kept: images[:, ::2, ::2]. Needs Python and NumPy, nothing
else.
"""

import argparse
import gzip
import hashlib
import io
import sys
import urllib.request
import zipfile
from pathlib import Path

import numpy as np

MIRRORS = [
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
]
# array of mnist14.npz: original file, header bytes, shape, SHA-256 of the uncompressed file
FILES = {
    "train_images": (
        "train-images-idx3-ubyte",
        16,
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_labels": (
        "train-labels-idx1-ubyte",
        8,
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test_images": (
        "t10k-images-idx3-ubyte",
        16,
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_labels": (
        "t10k-labels-idx1-ubyte",
        8,
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def original(folder, name, sha256):
    """Read the original file `name`, or `name`.gz, from `folder`; exit if its SHA-256 is wrong."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            found = hashlib.sha256(data).hexdigest()
            if found != sha256:
                sys.exit(f"error: {path} has the SHA-256 {found}, not {sha256}; get the file again")
            return data
    sys.exit(
        f"error: neither {name} nor {name}.gz is in {folder}; name the folder that has them, "
        "or add --download"
    )


def download(folder, name, mirrors):
    """Fetch `name`.gz into `folder` from the first mirror that answers, unless it is there."""
    if (folder / name).is_file() or (folder / f"{name}.gz").is_file():
        return
    failures = []
    for mirror in mirrors:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=60) as response:
                data = response.read()
        except OSError as error:
            failures.append(f"{mirror}: {error}")
            continue
        partial = folder / f"{name}.gz.part"
        partial.write_bytes(data)
        partial.replace(folder / f"{name}.gz")
        return
    sys.exit(
        f"error: cannot download {name}.gz ({'; '.join(failures)}); get it another way and put it "
        f"into {folder}"
    )


def main(arguments=None, mirrors=MIRRORS):
    """Build the file and print its SHA-256 and those of its arrays."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the four original files are")
    parser.add_argument(
        "--download", action="store_true", help="fetch missing files from a public mirror"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_name("mnist14.npz"),
        help="default: %(default)s",
    )
    args = parser.parse_args(arguments)
    if args.download:
        args.folder.mkdir(parents=True, exist_ok=True)
        for name, *_ in FILES.values():
            download(args.folder, name, mirrors)
    archive = io.BytesIO()
    # bzip2, because its output for given input is the same in every release, unlike that of zlib's
    # variants
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as file:
        for array_name, (name, header, shape, sha256) in FILES.items():
            array = np.frombuffer(
                original(args.folder, name, sha256), np.uint8, offset=header
            ).reshape(shape)
            array = np.ascontiguousarray(array[:, ::2, ::2] if array.ndim == 3 else array)
            print(f"{array_name}: {hashlib.sha256(array.tobytes()).hexdigest()}")
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0))
            entry = zipfile.ZipInfo(f"{array_name}.npy")  # dated 1980, whatever the clock says
            entry.create_system = 3  # the same bytes on every operating system
            file.writestr(entry, buffer.getvalue(), zipfile.ZIP_BZIP2)
    partial = args.out.with_name(args.out.name + ".part")
    partial.write_bytes(archive.getvalue())
    partial.replace(args.out)
    print(f"{args.out}: {hashlib.sha256(archive.getvalue()).hexdigest()}")


if __name__ == "__main__":
    main()
