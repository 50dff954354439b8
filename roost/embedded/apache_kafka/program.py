"""Apache Kafka's jars and the Java that runs them: found, or fetched once into a cache outside every checkout."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roost.contracts.errors import SettingsInvalid

VERSION: Final = "4.1.1"
#: What the broker of that version needs.
_JAVA: Final = 17
_HERE: Final = Path(__file__).parent
_POM: Final = _HERE / "pom.xml"
_SUMS: Final = _HERE / "jars.sha256"
#: How it logs; its programs look for a file of this name where they run.
LOGGING: Final = _HERE / "log4j2.properties"
#: For Maven to resolve and copy everything over a slow line.
_FETCH_SECONDS: Final = 900
_TOLD_EVERY: Final = 10

#: Takes one line for a person who waits.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A Java and the jars of one version."""

    java: str
    jars: Path
    #: Further options of Java.
    options: tuple[str, ...] = ()

    def command(self, main: str, *arguments: str, heap_mb: int = 512) -> list[str]:
        """The command that runs one of Kafka's programs, beside a copy of `LOGGING`; quick to start on few cores."""
        options = [f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
        logs = f"-Dlog4j2.configurationFile={LOGGING.name}"
        return [self.java, *options, *self.options, logs, "-cp", f"{self.jars}/*", main, *arguments]


def provided(cache: Path, say: Say) -> Program:
    """Its jars are fetched where `cache` has none yet (46 jars, 43 MB, about 15 s).

    Raises:
        SettingsInvalid: no Java of 17 or newer, no Maven where there is something to fetch, Maven failed, or what came
            is not what this release was made with. The text gives the remedy.
    """
    java = _java()
    place = _place(cache)
    if not place.is_dir():
        _fetch(place, say)
    return Program(java=java, jars=place)


def _place(cache: Path) -> Path:
    """A place of its own for each list of jars: another release finds its own beside it."""
    return cache / f"apache-kafka-{VERSION}-{hashlib.sha256(_SUMS.read_bytes()).hexdigest()[:12]}"


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise SettingsInvalid(f"Apache Kafka needs Java {_JAVA} or newer on PATH: install a Java runtime")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'version "(\d+)', said.stderr + said.stdout)
    if found is None:
        raise SettingsInvalid(f"{java} does not tell its version: {(said.stderr or said.stdout).strip()[:300]}")
    if int(found[1]) < _JAVA:
        raise SettingsInvalid(f"{java} is Java {found[1]}; Apache Kafka {VERSION} needs {_JAVA} or newer on PATH")
    return java


def _fetch(place: Path, say: Say) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise SettingsInvalid(
            f"Apache Kafka {VERSION} is not in {place.parent} yet, and Maven (mvn), which fetches it, is not on PATH: "
            "install Maven, or set ROOST_STACK__CACHE_DIR to a cache that has it"
        )
    sums = {name: digest for digest, name in (line.split() for line in _SUMS.read_text().splitlines())}
    say(f"Apache Kafka {VERSION}: fetching {len(sums)} jars (43 MB) with Maven, once")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f"{place.name}.") as temporary:
        # Beside its place, so that only a whole and checked directory is ever seen under the final name.
        jars = Path(temporary) / "jars"
        _run_maven(maven, Path(temporary), jars, len(sums), say)
        _check(jars, sums)
        try:
            jars.rename(place)
        except OSError:
            # Somebody else has fetched the same meanwhile.
            if not place.is_dir():
                raise
    say(f"Apache Kafka {VERSION}: {len(sums)} jars in {place}, checksums as expected")


def _run_maven(maven: str, work: Path, jars: Path, count: int, say: Say) -> None:
    # A copy: Maven writes beside a project's file, and ours may be read-only.
    shutil.copy(_POM, work / "pom.xml")
    command = [maven, "--batch-mode", "--strict-checksums", "--no-transfer-progress", "--file", str(work / "pom.xml")]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    told: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=work) as process:
        copied = 0
        for line in process.stdout or ():
            told.append(line)
            copied += "Copying" in line
            if "Copying" in line and copied % _TOLD_EVERY == 0:
                say(f"Apache Kafka {VERSION}: {copied} of {count} jars")
        code = process.wait(_FETCH_SECONDS)
    if code:
        errors = [line for line in told if "ERROR" in line] or told
        raise SettingsInvalid(
            f"Maven could not fetch Apache Kafka {VERSION} (exit code {code}): is its repository reachable? It said:\n"
            + "".join(errors[:12])
        )


def _check(jars: Path, sums: dict[str, str]) -> None:
    came = {path.name: path for path in jars.glob("*.jar")}
    if set(came) != set(sums):
        missing, more = sorted(set(sums) - set(came)), sorted(set(came) - set(sums))
        raise SettingsInvalid(f"Maven brought other jars than jars.sha256 lists: missing {missing}, unexpected {more}")
    for name, path in came.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != sums[name]:
            raise SettingsInvalid(f"{name} is not the file that jars.sha256 knows: do not run it; ask who serves it")
