"""Pausing, resuming and ordering by command, and what a sync makes of it."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from etl_assets.asset_keys import HELD, HELD_TAG, INGEST_JOB, LET_GO, PRIORITY_TAG
from etl_assets.documents.partitions import PARTITION_TAG
from etl_assets.launching import render_instance
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.settings import Settings
from etl_assets_tests.cli.conftest import Command, put

pytestmark = pytest.mark.usefixtures("without_dagster")

ACME, ZETA = "acme.reports.00-of-01", "zeta.mail.00-of-01"
NEW = {"acme/reports/new.txt": "TRICKBOT came back.", "zeta/mail/two.txt": "EMOTET came back."}


def queued_run(instance: dg.DagsterInstance, job: str, tags: dict[str, str]) -> str:
    """The id of a run that waits in the queue."""
    return made_run(instance, job, tags, dg.DagsterRunStatus.QUEUED).run_id


def made_run(
    instance: dg.DagsterInstance, job: str, tags: dict[str, str], status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    """A run that is in the instance, as the daemon or the UI makes it."""
    target = LoadableTargetOrigin(module_name="etl_assets.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name="etl_assets")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
    return create_run_for_test(instance, job, tags=tags, status=status, remote_job_origin=origin)


def current(etl: Command, home: Path) -> dict[str, int]:
    return {
        f"{one['tenant']}/{one['collection']}": one["current"] for one in etl("status", "--json", home=home).records
    }


def test_a_paused_collection_waits_and_comes_in_after_resume(etl: Command, home: Path) -> None:
    before = current(etl, home)
    put(home, NEW)
    told = etl("pause", "acme/reports", "--reason", "disk is\nfull", home=home)
    assert told.code == 0 and told.out == "acme/reports: paused; runs at work go on\n"
    again = etl("pause", "acme/reports", "--json", "--reason", "disk full", home=home)
    assert again.records == [{"scope": "acme/reports", "paused": True, "was_paused": True, "queued_runs_held": 0}]
    done = etl("sync", home=home)
    assert done.code == 0 and "acme/reports is paused since" in etl("status", home=home).out
    assert "acme/reports is paused since" in done.out and "(disk full)" in done.out
    assert "etl-assets resume acme/reports" in done.out and "1 partitions with something to do wait" in done.out
    between = current(etl, home)
    assert between["zeta/mail"] == before["zeta/mail"] + 1 and between["acme/reports"] <= before["acme/reports"]
    assert etl("resume", "acme/reports", home=home).out == "acme/reports: resumed\n"
    assert etl("sync", home=home).code == 0
    assert current(etl, home)["acme/reports"] == before["acme/reports"] + 1


def test_when_all_is_paused_a_sync_does_nothing_and_is_no_failure(etl: Command, home: Path) -> None:
    put(home, NEW)
    assert etl("pause", home=home).out == "everything: paused; runs at work go on\n"
    done = etl("sync", home=home)
    assert done.code == 0 and "everything is paused since" in done.out and "up to date" not in done.out
    ledger = Ledger.sqlite(Settings(home_folder=str(home)).home.ledger_file)
    with ledger.reading() as connection:
        actions = [(row.action, row.subject) for row in connection.execute(schema.audit.select())]
        assert not connection.execute(schema.runs.select().where(schema.runs.c.state == "waiting")).all()
    ledger.close()
    assert ("pause", "*") in actions


def test_a_resume_names_the_pauses_that_hold_on(etl: Command, home: Path) -> None:
    for scope in ("acme", "acme/reports", ACME, "zeta"):
        assert etl("pause", scope, home=home).code == 0
    part = etl("resume", "acme/reports", "--json", home=home)
    assert part.records == [{"resumed": ["acme/reports"], "still_paused": ["acme", ACME], "queued_runs_held": 0}]
    none = etl("resume", "acme/reports", home=home)
    assert none.code == 1 and none.out == "nothing was paused by this name\n" and "acme is paused since" in none.err
    assert etl("resume", home=home).code == 1  # nothing is paused as a whole, and parts are
    everything = etl("resume", "--all", home=home)
    assert everything.out == f"acme, {ACME}, zeta: resumed\n"
    assert etl("resume", "--all", home=home).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "acme/nothing"), "there is no collection acme/nothing"),
        (("pause", "nobody"), "there is no collection nobody/*"),
        (("pause", "Acme Inc/x"), "use 1 to 64 of a-z"),
        (("pause", "acme/reports/more"), "TENANT/COLLECTION or a partition key"),
        (("pause", "acme.reports.07-of-16"), "unknown"),
        (("pause", ""), "use 1 to 64 of a-z"),
        (("pause", "acme", "--batch", "x"), "--batch names the runs"),
        (("pause", "--batch", "a b"), "runs list"),
        (("pause", "acme", "--reason", "x" * 501), "at most 500"),
        (("prioritise", "acme"), "--to NUMBER"),
        (("prioritise", "acme", "--to", "101"), "101"),
        (("prioritise", "acme", "--to", "high"), "high"),
        (("resume", "acme", "--all"), "name nothing beside it"),
    ],
)
def test_what_is_no_scope_is_refused(etl: Command, made_home: Path, arguments: tuple[str, ...], said: str) -> None:
    outcome = etl(*arguments, home=made_home)
    assert outcome.code == 2 and said in outcome.err


def test_what_is_urgent_is_synced_first(etl: Command, home: Path) -> None:
    put(home, NEW)
    assert etl("prioritise", "acme", "--to", "-5", home=home).out == "acme: priority -5\n"
    assert etl("sync", home=home).code == 0
    ledger = Ledger.sqlite(Settings(home_folder=str(home)).home.ledger_file)
    with ledger.reading() as connection:
        rows = connection.execute(schema.runs.select().order_by(schema.runs.c.started_at.desc()).limit(2)).all()
    ledger.close()
    assert [(row.partition, row.priority) for row in rows] == [(ACME, -5), (ZETA, None)]
    assert rows[0].batch == rows[1].batch and {row.source for row in rows} == {"sync"}
    assert etl("prioritise", "acme", "--clear", "--json", home=home).records == [{"scope": "acme", "priority": None}]


def test_runs_that_wait_in_the_queue_are_held_back_and_let_go(etl: Command, home: Path) -> None:
    folder = render_instance(Settings(home_folder=str(home)))
    with dg.DagsterInstance.from_config(str(folder)) as instance:

        def run_of(key: str, job: str = INGEST_JOB) -> str:
            return queued_run(instance, job, {PARTITION_TAG: key})

        mine, other, check = run_of(ACME), run_of(ZETA), run_of(ACME, "verify_documents")
        assert etl("pause", "acme", "--json", home=home).records[0]["queued_runs_held"] == 1
        assert etl("prioritise", ZETA, "--to", "7", home=home).code == 0

        def tags(run_id: str) -> dict[str, str]:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            return {name: value for name, value in run.tags.items() if name in (HELD_TAG, PRIORITY_TAG)}

        assert (tags(mine), tags(other), tags(check)) == ({HELD_TAG: HELD}, {PRIORITY_TAG: "7"}, {})
        assert etl("resume", "acme", home=home).code == 0
        assert tags(mine) == {HELD_TAG: LET_GO}
