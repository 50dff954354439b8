from __future__ import annotations

import os
import stat
from pathlib import Path

from roost.embedded.state_dir import StateDir, write_private


def test_sockets_lie_in_the_state_directory_where_their_paths_are_short_enough() -> None:
    state = StateDir.at(Path("/tmp/short"))
    assert state.sockets == Path("/tmp/short/run")


def test_sockets_of_a_deep_state_directory_lie_where_their_paths_fit() -> None:
    state = StateDir.at(Path("/tmp") / ("deep" * 30))
    assert len(os.fsencode(state.sockets / ".s.PGSQL.5432.lock")) < 107
    assert state.sockets != StateDir.at(Path("/tmp") / ("deep" * 31)).sockets


def test_a_private_file_is_for_its_owner_alone_and_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_private(file, "one")
    write_private(file, "two")
    assert file.read_text() == "two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_the_directories_are_for_their_owner_alone(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path / "new" / "state")
    state.prepare()
    assert stat.S_IMODE(state.logs.stat().st_mode) == 0o700
