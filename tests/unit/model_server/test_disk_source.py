"""What is wanted, from what lies below the base paths, and when it is looked at."""

from pathlib import Path

import pytest

from serving.model_server.configuration import DeclaredPlatform, ModelEntry, VersionPolicy
from serving.model_server.disk_source import DiskSource, Polling, Wanted, versions_among


class Disk:
    """A source over a temporary directory, and what it asked for, each time."""

    def __init__(self, root: Path, polling: Polling) -> None:
        self.root = root
        self.told: list[Wanted] = []
        self.source = DiskSource(polling=polling, on_wanted=self.told.append)

    def put(self, name: str, *versions: str) -> None:
        """Make version directories."""
        for version in versions:
            (self.root / name / version).mkdir(parents=True)

    def follow(self, *names: str) -> None:
        """Follow these models."""
        self.source.follow({name: self._entry(name) for name in names})

    @property
    def wanted(self) -> dict[str, set[int]]:
        """What it asked for last."""
        return {name: set(versions) for name, versions in self.told[-1].items()}

    def _entry(self, name: str) -> ModelEntry:
        declared = DeclaredPlatform(model_type=0, model_platform="tensorflow")
        policy = VersionPolicy(kind="all")
        return ModelEntry(name=name, base_path=str(self.root / name), declared=declared, policy=policy)


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_the_first_list_is_looked_at_at_once(tmp_path: Path, seconds: float) -> None:
    """With polling switched off it is the only look."""
    disk = Disk(tmp_path, Polling(seconds=seconds))
    disk.put("m", "1")
    disk.follow("m")
    assert disk.wanted == {"m": {1}}
    disk.put("n", "1")
    disk.follow("m", "n")
    assert disk.wanted == ({"m": {1}, "n": {1}} if seconds else {"m": {1}})
    disk.source.stop()


def test_zero_seconds_spend_the_one_look_on_the_first_list_even_an_empty_one(tmp_path: Path) -> None:
    """As officially: models added later are never loaded."""
    disk = Disk(tmp_path, Polling(seconds=0))
    disk.follow()
    disk.put("m", "1")
    disk.follow("m")
    assert disk.wanted == {}


def test_negative_seconds_never_look(tmp_path: Path) -> None:
    """As officially, where it is reserved for tests."""
    disk = Disk(tmp_path, Polling(seconds=-1))
    disk.put("m", "1")
    disk.follow("m")
    assert disk.told == []


def test_without_a_look_at_reload_a_new_model_waits_for_the_next(tmp_path: Path) -> None:
    """The hazard `poll_on_interval`."""
    disk = Disk(tmp_path, Polling(seconds=3600, at_reload=False))
    disk.follow()
    disk.put("m", "1")
    disk.follow("m")
    assert disk.wanted == {}
    disk.source.poll()
    assert disk.wanted == {"m": {1}}
    disk.source.stop()


def test_a_missing_path_stalls_all_models_but_those_that_leave_leave(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One look covers every model and ends at the first path that cannot be listed; the log says which."""
    disk = Disk(tmp_path, Polling(seconds=3600))
    disk.put("kept", "1")
    disk.put("left", "1")
    disk.follow("kept", "left")
    disk.put("kept", "2")
    disk.follow("missing", "kept")
    assert disk.wanted == {"kept": {1}}
    assert (
        f"FileSystemStoragePathSource encountered a filesystem access error: Could not find base path "
        f"{tmp_path}/missing for servable missing with error NOT_FOUND: {tmp_path}/missing not found"
    ) in caplog.text
    disk.put("missing", "7")
    disk.source.poll()
    assert disk.wanted == {"kept": {1, 2}, "missing": {7}}
    disk.source.stop()


def test_whatever_is_called_like_a_version_is_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file too: it fails its load. Of two names of one number the later in order counts, and it is said."""
    found = versions_among(["5", "x", "2", "1.tmp", "00002"], str(tmp_path))
    assert found == {2: tmp_path / "2", 5: tmp_path / "5"}
    assert "Version 2 will be loaded from 2, 00002 will be ignored." in caplog.text


def test_a_listing_that_stays_as_it_was_is_told_again_and_one_that_changes_is_seen(tmp_path: Path) -> None:
    """Thousands of models are polled every second, and hardly any has changed: what is known of them is kept."""
    disk = Disk(tmp_path, Polling(seconds=3600))
    disk.put("m", "1")
    disk.put("n", "1")
    disk.follow("m", "n")
    disk.source.poll()
    again = disk.told[-1]
    assert again == disk.told[-2]
    assert again["m"] is disk.told[-2]["m"]
    (tmp_path / "m" / "1").rename(tmp_path / "m" / "2")
    disk.source.poll()
    assert disk.wanted == {"m": {2}, "n": {1}}
    disk.source.stop()


def test_what_is_amiss_is_said_at_every_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As officially: a model without a version is warned of until it has one."""
    disk = Disk(tmp_path, Polling(seconds=3600))
    (tmp_path / "m").mkdir()
    disk.follow("m")
    disk.source.poll()
    assert caplog.text.count("No versions of servable m found") == 2
    disk.source.stop()
