"""Syncing: what a dry run says, what a run does, what goes wrong."""

import signal
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import raise_interrupts_as

from etl_assets.cli.interrupts import watched_signals
from etl_assets.documents.model import STAGES as MODEL_STAGES
from etl_assets_tests.cli.conftest import SETTINGS, TEXTS, Command, put

STAGES = tuple(stage.name for stage in MODEL_STAGES)


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below a folder with size, inode and time of change."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_ino, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }


def test_a_dry_run_of_a_fresh_home_writes_nothing(etl: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    put(home, TEXTS)
    before = tree(tmp_path)
    outcome = etl("sync", "--dry-run", "--json", home=home)
    assert outcome.code == 0
    assert tree(tmp_path) == before
    reports, mail = outcome.records
    assert reports["added"] == ["apt/bear.txt", "apt/panda.md", "empty.txt", "line\nbreak.txt", "notes/garden.txt"]
    assert reports["compute"] == dict.fromkeys(STAGES, 5)
    assert mail["added"] == ["one.txt"] and mail["partitions"] == ["zeta.mail.00-of-01"]
    told = etl("sync", "--dry-run", home=home).out
    assert "  add     line\\nbreak.txt" in told and "1 files belong to no collection" in told


def test_a_dry_run_of_nothing_says_so(etl: Command, tmp_path: Path) -> None:
    outcome = etl("sync", "--dry-run", home=tmp_path / "home")
    assert outcome.code == 0 and outcome.out.startswith("nothing to do")
    assert not (tmp_path / "home").exists()


def test_a_dry_run_names_what_changed_and_what_a_run_would_compute(etl: Command, home: Path) -> None:
    put(
        home, {"acme/reports/apt/bear.txt": "The bear moved.", "acme/reports/new.txt": "New.", "zeta/mail/two.txt": "2"}
    )
    (home / "objects/acme/reports/notes/garden.txt").unlink()
    objects = home / "objects"
    (objects / "other" / "box").mkdir(parents=True)
    (objects / "other" / "box" / "x.txt").write_text("x")
    before = {path: stamp for path, stamp in tree(home).items() if "-wal" not in path and "-shm" not in path}
    outcome = etl("sync", "--dry-run", "--json", home=home)
    reports, box, mail = outcome.records
    assert (reports["added"], reports["changed"], reports["removed"]) == (
        ["new.txt"], ["apt/bear.txt"], ["notes/garden.txt"],
    )  # fmt: skip
    assert reports["compute"]["pages"] == 2 and reports["withdraw"] == 1
    assert box["added"] == ["x.txt"] and mail["added"] == ["two.txt"]
    after = {path: stamp for path, stamp in tree(home).items() if "-wal" not in path and "-shm" not in path}
    assert {path for path in after if after[path] != before.get(path)} <= {str(home / "ledger"), str(home / "tmp")}
    assert set(after) == set(before)


def test_a_run_takes_in_what_changed_and_nothing_else(etl: Command, home: Path) -> None:
    put(
        home,
        {"acme/reports/apt/bear.txt": "The bear group moved on to TRICKBOT.", "zeta/mail/broken.pdf": "%PDF-1.7\n"},
    )
    outcome = etl("sync", home=home)
    assert outcome.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in outcome.out.splitlines() if line}
    assert rows["embeddings"][0] == "1"
    assert "went to quarantine" in outcome.out and "zeta/mail/broken.pdf: " in outcome.out
    assert "2 of 2 partitions are up to date" in outcome.out
    (answer,) = etl("search", "bear TRICKBOT", "--json", home=home).records
    assert "moved on to TRICKBOT" in answer["hits"][0]["quote"]
    assert etl("sync", home=home).out.startswith("nothing changed")


@pytest.mark.usefixtures("without_dagster")
def test_another_chunking_recomputes_from_there_on(etl: Command, home: Path) -> None:
    assert etl("sync", home=home).code == 0
    (home / "collections.yaml").write_text(SETTINGS + "  chunking: {mode: fixed}\n")
    listed = etl("document", "list", "--state", "pending", "--json", home=home).records
    assert {one["reason"] for one in listed} == {"not-computed"} and len(listed) == 5
    reports, mail = etl("sync", "--dry-run", "--json", home=home).records
    assert reports["compute"] == {**dict.fromkeys(STAGES, 4), "pages": 0, "knowledge": 0, "classifications": 0}
    assert mail["compute"]["chunks"] == 1
    assert "compute chunks of 4, embeddings of 4, mentions of 4" in etl("sync", "--dry-run", home=home).out
    assert etl("sync", "--tenant", "zeta", home=home).code == 0
    pending = etl("document", "list", "--state", "pending", "--json", home=home).records
    assert {one["tenant"] for one in pending} == {"acme"}


def test_a_collection_that_does_not_exist_is_told(etl: Command, made_home: Path) -> None:
    outcome = etl("sync", "--tenant", "nobody", home=made_home)
    assert outcome.code == 2 and "there is no collection nobody/*" in outcome.err


@pytest.mark.usefixtures("without_dagster")
def test_a_collection_that_cannot_be_listed_costs_itself_only(etl: Command, home: Path) -> None:
    collection = home / "objects" / "acme" / "reports"
    collection.rename(home / "elsewhere")
    collection.symlink_to(home / "elsewhere")
    put(home, {"zeta/mail/two.txt": "A second mail about EMOTET."})
    outcome = etl("sync", home=home)
    assert outcome.code == 1
    assert "acme/reports: " in outcome.err and "symbolic link" in outcome.err
    states = {one["path"]: one["state"] for one in etl("document", "list", "--json", home=home).records}
    assert states["two.txt"] == "current" and states["apt/bear.txt"] == "current"


def test_a_partition_that_fails_is_named_and_the_others_go_on(etl: Command, home: Path) -> None:
    put(home, {"acme/reports/new.txt": "New words about EMOTET.", "zeta/mail/two.txt": "A second mail."})
    for folder in (home / "lake").rglob("reports"):
        folder.rename(folder.with_name("moved"))
        folder.write_text("a file where a folder belongs")
    outcome = etl("sync", home=home)
    assert outcome.code == 1
    assert "partition acme.reports.00-of-01 failed: " in outcome.err and "Traceback" not in outcome.err
    assert "1 of 2 partitions are up to date" in outcome.out
    records = {one["collection"]: one for one in etl("status", "--json", home=home).records}
    assert records["reports"]["last_run"]["state"] == "failed" and records["reports"]["last_run"]["error"]
    assert records["mail"]["last_run"]["state"] == "succeeded" and records["mail"]["current"] == 2


def test_status_counts_each_collection(etl: Command, made_home: Path) -> None:
    reports, mail, outside = etl("status", "--json", home=made_home).records
    counts = [reports[state] for state in ("current", "pending", "quarantined", "removed")]
    assert (reports["tenant"], reports["collection"], counts) == ("acme", "reports", [4, 0, 1, 0])
    assert reports["partitions"] == ["acme.reports.00-of-01"]
    assert reports["last_run"]["state"] == "succeeded" and reports["last_run"]["error"] is None
    assert (mail["current"], outside["tenant"], outside["quarantined"]) == (1, "", 1)
    told = etl("status", home=made_home).out
    assert "acme/reports" in told and "(outside any collection)" in told


def test_status_of_an_empty_home_tells_how_to_begin(etl: Command, tmp_path: Path) -> None:
    assert "etl-assets demo" in etl("status", home=tmp_path).out
    put(tmp_path, {"acme/reports/a.txt": "a"})
    assert "never; run etl-assets sync" in etl("status", home=tmp_path).out
    assert etl("status", "--tenant", "nobody", home=tmp_path).code == 2


@pytest.mark.usefixtures("without_dagster")
def test_what_was_held_can_be_tried_again(etl: Command, home: Path) -> None:
    put(home, {"zeta/mail/large.html": f"<html><!-- {'x' * (1 << 20)} --><p>EMOTET wrote a mail.</p></html>"})
    (home / "collections.yaml").write_text(SETTINGS + "  parsing: {size_limit_mb: 1}\n")
    assert etl("sync", home=home).code == 0
    (held,) = etl("quarantine", "list", "--reason", "too-large", "--json", home=home).records
    assert held["path"] == "large.html" and held["attempts"] == 1 and "producer_id" not in held
    refused = etl("quarantine", "retry", "acme/reports/notes/garden.txt", home=home)
    assert refused.code == 2 and "not in quarantine" in refused.err
    assert etl("quarantine", "retry", held["document_id"][:10], home=home).code == 0
    (held,) = etl("quarantine", "list", "--reason", "too-large", "--json", home=home).records
    assert held["attempts"] == 2
    (home / "collections.yaml").write_text(SETTINGS)
    outcome = etl("quarantine", "retry", "--reason", "too-large", home=home)
    assert outcome.code == 0 and "trying 1 again" in outcome.out
    (record,) = etl("document", "list", "--name", "large.html", "--json", home=home).records
    assert record["state"] == "current"


@pytest.mark.usefixtures("without_dagster")
def test_a_stage_s_refusal_can_be_tried_again(etl: Command, home: Path) -> None:
    outcome = etl("quarantine", "retry", "--tenant", "acme", home=home)
    assert outcome.code == 0
    (held,) = etl("quarantine", "list", "--tenant", "acme", "--json", home=home).records
    assert (held["path"], held["attempts"], held["reason"]) == ("empty.txt", 2, "empty")
    told = etl("quarantine", "retry", "--reason", "unusable-key", home=home)
    assert told.code == 0 and "only another name helps" in told.out and "nothing to try again" in told.out
    assert "2 in quarantine" in etl("quarantine", "list", home=home).out


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_that_another_handler_took_is_still_acted_on(
    number: signal.Signals, error: type[BaseException]
) -> None:
    previous = signal.signal(number, lambda *_: None)
    try:
        with pytest.raises(error), watched_signals() as asked_to_stop:
            assert asked_to_stop() is None
            signal.raise_signal(number)
            assert asked_to_stop() == number
    finally:
        signal.signal(number, previous)


def test_an_interruption_in_a_callback_of_the_collector_is_quiet_and_acted_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_value))
    other = ValueError("not an interruption")

    def wrong(_: object) -> None:
        raise other

    with pytest.raises(KeyboardInterrupt), watched_signals() as asked_to_stop:
        with raise_interrupts_as(DagsterExecutionInterruptedError):
            collected(lambda _: signal.raise_signal(signal.SIGINT))
        collected(wrong)
        assert asked_to_stop() == signal.SIGINT
    assert told == [other] and capfd.readouterr().err == ""


def collected(callback: Callable[[object], None]) -> None:
    """Call it as the garbage collector does when something ends."""
    ended = type("Ended", (), {})()
    kept = weakref.ref(ended, callback)
    del ended
    assert kept() is None


def test_progress_is_plain_lines_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    from etl_assets.cli import progress
    from etl_assets.stages.report import Progress

    with progress.stages() as watch:
        watch(Progress("p", "pages", 10, 10, 20, 6.0))
    assert capfd.readouterr().err == "pages: 10 of 10 documents, 20 rows, 3.3 rows/s\n"


def test_progress_is_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from etl_assets.cli import progress
    from etl_assets.stages.report import Progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.stages() as watch:
        for done in (1, 10):
            watch(Progress("p", "pages", done, 10, 2 * done, 6.0))
        watch(Progress("p", "chunks", 1, 10, 2, 0.0))
    with progress.counted("queries") as count:
        count(1, 2)
    assert "chunks" in capfd.readouterr().err


def test_counting_is_plain_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import time

    from etl_assets.cli import progress

    clock: Any = iter([0.0, 1.0, 9.0, 9.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with progress.counted("queries") as count:
        count(1, 4)
        count(2, 4)
    assert capfd.readouterr().err == "queries: 2 of 4\n"


@pytest.mark.usefixtures("without_dagster")
def test_settings_that_cannot_be_used_cost_their_own_collection_only(etl: Command, home: Path) -> None:
    put(home, {"acme/reports/new.txt": "new text", "zeta/mail/new.txt": "new text"})
    wrong = "collections:\n  zeta/mail:\n    embedder: {kind: folder, path: no-model}\n"
    (home / "collections.yaml").write_text(SETTINGS + wrong)
    problem = "etl-assets: zeta/mail: model folder"
    for command in (("status",), ("document", "list")):
        told = etl(*command, home=home)
        assert told.code == 0 and told.err.startswith(problem)
    states = {one["path"]: one["state"] for one in etl("document", "list", "--json", home=home).records}
    assert (states["notes/garden.txt"], states["one.txt"], states["empty.txt"]) == ("current", "pending", "quarantined")
    planned = etl("sync", "--dry-run", "--json", home=home)
    assert planned.code == 1 and [one["collection"] for one in planned.records] == ["reports"]
    (answer,) = etl("search", "APT28 mail", "--tenant", "zeta", "--json", home=home).records
    assert answer["degraded"] == [] and "vector" in answer["sources"], "the packaged model it leaves still answers"
    synced = etl("sync", home=home)
    assert synced.code == 1 and synced.err.startswith(problem) and "1 of 1 partitions are up to date" in synced.out
    checked = etl("check", "--sample", "0", "--json", home=home)
    assert checked.code == 1
    assert {one["check"] for one in checked.records if not one["passed"] and one["severity"] == "error"} == {
        "settings_can_be_used"
    }


def test_an_update_mode_holds_for_one_sync_and_says_what_it_keeps_out(etl: Command, home: Path) -> None:
    put(home, {"acme/reports/apt/bear.txt": "The bear moved.", "acme/reports/new.txt": "New."})
    (home / "objects/acme/reports/notes/garden.txt").unlink()
    plans = etl("sync", "--update-mode", "add-only", "--dry-run", "--json", "--tenant", "acme", home=home).records
    assert (plans[0]["added"], plans[0]["changed"], plans[0]["removed"]) == (["new.txt"], [], [])
    assert plans[0]["held_back"] == {"changed": ["apt/bear.txt"], "removed": ["notes/garden.txt"]}
    done = etl("sync", "--update-mode", "add-only", home=home)
    assert done.code == 0 and "acme/reports: 1 changed, 1 removed held back by the update mode add-only" in done.out
    listed = etl("document", "list", "--state", "pending", "--json", home=home).records
    assert {(one["path"], one["reason"]) for one in listed} == {
        ("apt/bear.txt", "held-back"), ("notes/garden.txt", "held-back"),
    }  # fmt: skip
    current = etl("document", "list", "--state", "current", "--json", home=home).records
    assert "new.txt" in {one["path"] for one in current}
    assert etl("sync", home=home).code == 0
    assert not etl("document", "list", "--state", "pending", "--json", home=home).records
    assert etl("sync", "--update-mode", "append", home=home).code == 2


def test_a_forced_sync_computes_again_what_is_named(etl: Command, home: Path) -> None:
    chosen = ("--force", "--stage", "chunks", "--document", "apt/*", "--tenant", "acme")
    (plan,) = etl("sync", *chosen, "--dry-run", "--json", home=home).records
    assert plan["anew"] == ["apt/bear.txt", "apt/panda.md"] and plan["partitions"] == ["acme.reports.00-of-01"]
    done = etl("sync", *chosen, home=home)
    steps = {words[0]: words[1:3] for line in done.out.splitlines() if len(words := line.split()) > 3}
    assert done.code == 0 and steps["pages"] == ["0", "0"] and steps["chunks"] == ["2", "0"], done.out
    none = etl("sync", "--force", "--document", "nothing*", home=home)
    assert none.code == 0 and "none of the documents" in none.err
    for wrong in (("--stage", "pages"), ("--force", "--stage", "ocr")):
        assert etl("sync", *wrong, home=home).code == 2
