"""Copies the protobuf messages of TensorFlow and TensorFlow Serving out of an environment that has them.

The deployer and the serving node speak TensorFlow Serving's protocol and read SavedModels as messages; they never run
TensorFlow. A services image therefore installs `roost[services]` and takes these modules (about 1 MB) from a build
stage that has `tensorflow` and `tensorflow-serving-api` installed (more than 1.5 GB):

    python docker/extract_messages.py SITE_PACKAGES TARGET      # then TARGET stands on PYTHONPATH
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

#: Packages whose generated modules are needed. Nothing else of them is copied.
_PACKAGES = ("tensorflow", "tensorflow_serving")


def extract(site_packages: Path, target: Path) -> int:
    """Copy every generated module, with empty packages above it. Returns how many modules there are.

    Raises:
        FileNotFoundError: TensorFlow is not installed there.
    """
    if not (site_packages / "tensorflow" / "core").is_dir():
        raise FileNotFoundError(f"there is no tensorflow in {site_packages}: pip install 'roost[serving]' there first")
    copied = 0
    for package in _PACKAGES:
        for module in (site_packages / package).rglob("*_pb2*.py"):
            place = target / module.relative_to(site_packages)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(module, place)
            copied += 1
    for folder in (path for path in target.rglob("*") if path.is_dir() and path.name != "__pycache__"):
        (folder / "__init__.py").touch()
    return copied


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site_packages", metavar="SITE_PACKAGES", type=Path, help="where TensorFlow is installed")
    parser.add_argument("target", metavar="TARGET", type=Path, help="folder of the modules; put it on PYTHONPATH")
    asked = parser.parse_args()
    try:
        print(f"{extract(asked.site_packages, asked.target)} message modules in {asked.target}")
    except OSError as error:
        raise SystemExit(str(error)) from error
