"""The tests' SavedModels, built by TensorFlow once for each form of their makers, and kept beside the other temporaries."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

_HERE = Path(__file__).parent
_PROGRAM = _HERE / "saved_models.py"
_IMPORTED = (_HERE / "inference" / "graph_models.py",)


def copy_to(directory: Path, program: Path = _PROGRAM, imported: tuple[Path, ...] = _IMPORTED) -> None:
    """Put the models of a program into a directory. A process builds them where nobody has, and others wait for it.

    The program writes them into the directory that it is given; `imported` are the files of its own that it imports.
    """
    digest = hashlib.sha256(version("tensorflow").encode())
    for maker in (program, *imported):
        digest.update(maker.read_bytes())
    stores = Path(tempfile.gettempdir()) / f"roost-test-models-{os.getuid()}"
    store = stores / f"{program.parent.name}-{program.stem}"
    for place in (stores, store):
        place.mkdir(mode=0o700, exist_ok=True)
    built = store / digest.hexdigest()[:16]
    with (store / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            for old in (path for path in store.iterdir() if path.is_dir()):
                shutil.rmtree(old)
            incoming = built.with_suffix(".incoming")
            _build(program, incoming)
            incoming.rename(built)
        shutil.copytree(built, directory, dirs_exist_ok=True)


def _build(program: Path, directory: Path) -> None:
    directory.mkdir()
    done = subprocess.run([sys.executable, str(program), str(directory)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
