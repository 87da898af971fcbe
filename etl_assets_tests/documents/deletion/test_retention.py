"""How long things are kept: what is old goes, and nothing that anybody sees or may go back to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import update

from etl_assets.documents import automation, jobs
from etl_assets.documents.deletion.retention import prune_history
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.versions import diff, republish
from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome

PLACE = ("acme", "reports")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    home = SmallHome.ran(
        tmp_path / "home", TEXTS, collections=STATIC + "  retention: {history_days: 10}\n", run_id="first"
    )
    home.write("bear.txt", "The bear group sleeps.")
    home.remove("garden.txt")
    home.run("second")
    yield home
    home.platform.close()


def age(home: SmallHome, days: float) -> None:
    """Let everything that happened so far have happened so many days earlier."""
    tables = {schema.objects: ("arrived_at",), schema.outputs: ("computed_at",), schema.audit: ("at",),
              schema.runs: ("started_at", "ended_at")}  # fmt: skip
    with home.platform.ledger.writing() as connection:
        for table, columns in tables.items():
            connection.execute(update(table).values({name: table.c[name] - days * 86_400 for name in columns}))


def originals(home: SmallHome) -> int:
    return sum(1 for _ in home.platform.originals.keys("acme/"))


def test_what_ended_long_ago_goes_and_what_is_seen_stays(home: SmallHome) -> None:
    seen = home.published()
    assert originals(home) == 4 and prune_history(home.platform, [home.partition()]).originals == 0
    age(home, 11)
    would = prune_history(home.platform, [home.partition()], dry_run=True)
    done = prune_history(home.platform, [home.partition()])
    assert (would.originals, done.originals, originals(home)) == (2, 2, 2)
    assert done.rows["objects"] == 2 and done.rows["publications"] == 2 and done.rows["outputs"] > 0
    assert home.published() == seen
    made = home.computed()
    assert home.run("third")["published_documents"]["published"] == 0 and home.computed() == made
    with pytest.raises(ConfigError, match="there is none"):
        republish(home.platform, home.document_id("bear.txt"), *PLACE, "2")
    assert not any(prune_history(home.platform, [home.partition()]).rows.values())


def test_the_version_of_a_pinned_documents_key_is_kept(home: SmallHome) -> None:
    document = home.document_id("bear.txt")
    republish(home.platform, document, *PLACE, "1")
    home.run("third")
    age(home, 11)
    prune_history(home.platform, [home.partition()])
    assert originals(home) == 3
    home.write("bear.txt", "The bear group sleeps.")
    home.run("fourth")
    assert diff(home.platform, document, *PLACE, "1", "1").text == []


def test_old_runs_go_but_for_the_last(home: SmallHome) -> None:
    age(home, 31)
    assert prune_history(home.platform, [home.partition()]).rows["runs"] == 1


def test_documents_are_deleted_by_age_with_a_certificate(tmp_path: Path) -> None:
    rules = STATIC + "  retention: {delete_after_days: 5}\n"
    home = SmallHome.ran(tmp_path / "home", TEXTS, collections=rules)
    age(home, 6)
    home.write("bear.txt", "The bear group sleeps.")
    home.run()
    done = prune_history(home.platform, [home.partition()])
    assert done.expired == 2 and len(done.certificates) == 1 and list(home.published()) == ["bear.txt"]
    assert not (home.settings.home.objects / "acme/reports/panda.md").exists()


def test_the_nightly_job_applies_the_retention(home: SmallHome) -> None:
    runs_of = PartitionRuns(lambda: home.platform, run_id="nightly")
    with dg.DagsterInstance.ephemeral() as instance:
        at = datetime(2026, 5, 1, 3, 30, tzinfo=UTC)
        request = automation.daily_pruning(dg.build_schedule_context(instance, scheduled_execution_time=at))
        for left in (4, 2):
            resources = {"partition_runs": runs_of}
            assert jobs.prune_history.execute_in_process(instance=instance, resources=resources).success
            assert originals(home) == left
            age(home, 11)
    assert isinstance(request, dg.RunRequest) and request.run_key == "prune:2026-05-01"
