"""From a listing to versions: what is new, changed, gone, held, and what a stale listing must not do."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from etl_assets.documents.arrivals.intake import Changes, Intake, input_digest, survey, take_in
from etl_assets.documents.arrivals.unusable_keys import hold_strays, hold_unusable
from etl_assets.documents.model import document_id, slot_of
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.parameters import ParsingLimits
from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.catalogue import SLOTS, shard_of
from etl_assets.ledger.leases import Lease, LeaseLost, acquire
from etl_assets.protocols.objects import Arrivals, FetchedObject, UnusableKey
from etl_assets_tests.faults.chains import die_holding, quick_home
from etl_assets_tests.faulty import Fault, Faults, FaultyArrivals
from etl_assets_tests.trivial import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return quick_home(tmp_path / "home")


def seen(home: Home, store: Arrivals | None = None, shards: int = 1) -> dict[str, Changes]:
    return survey(home.ledger, store or home.arrivals, "acme", "reports", shards=shards).changes


def entered(home: Home, changes: Changes, store: Arrivals | None = None, limits: ParsingLimits | None = None) -> Intake:
    lease = _lease(home, changes)
    try:
        return take_in(lease, store or home.arrivals, home.originals, changes, limits or ParsingLimits())
    finally:
        lease.release()


def _lease(home: Home, changes: Changes) -> Lease:
    return acquire(home.ledger, changes.partition.key, holder="test")


def taken_in(home: Home, store: Arrivals | None = None, limits: ParsingLimits | None = None) -> Intake:
    (changes,) = seen(home, store).values()
    return entered(home, changes, store, limits)


def present(home: Home) -> dict[str, str]:
    """Path -> version of every document that the ledger holds present."""
    o = schema.objects
    with home.ledger.reading() as connection:
        rows = connection.execute(select(o.c.path, o.c.version).where(o.c.end_seq.is_(None))).all()
    return {row[0]: row[1] for row in rows}


def test_new_changed_and_removed_files_are_told_apart(home: Home) -> None:
    home.put("a.txt", "one")
    home.put("b.txt", "two")
    assert taken_in(home).added == 2
    home.put("a.txt", "one, changed")
    home.remove("b.txt")
    home.put("c.txt", "three")
    (changes,) = seen(home).values()
    assert ([s.path for s in changes.added], [s.path for s in changes.changed]) == (["c.txt"], ["a.txt"])
    assert [known.path for known in changes.removed] == ["b.txt"]
    intake = entered(home, changes)
    assert (intake.added, intake.changed, intake.removed, intake.size_bytes) == (1, 1, 1, 17)
    assert set(present(home)) == {"a.txt", "c.txt"}
    assert not seen(home)["acme.reports.00-of-01"]


def test_the_bytes_of_every_version_are_kept_under_its_digest(home: Home) -> None:
    home.put("a.txt", "one")
    taken_in(home)
    home.put("a.txt", "two")
    taken_in(home)
    identity = document_id("acme", "reports", "a.txt")
    kept = {key for key, _, _ in home.originals.keys("")}
    assert len(kept) == 2 and original_key("acme", identity, present(home)["a.txt"]) in kept


@given(path=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40))
def test_a_document_has_one_slot_and_each_shard_its_range(path: str) -> None:
    identity = document_id("acme", "reports", path)
    slot = slot_of(identity)
    assert 0 <= slot < SLOTS
    for shards in (1, 2, 16, 1024):
        assert shard_of(slot, shards) == slot // (SLOTS // shards)
    assert document_id("acme", "reports", path) == identity != document_id("acme", "other", path)


def test_shards_share_the_documents_between_them(home: Home) -> None:
    for i in range(20):
        home.put(f"{i}.txt", "text")
    by_shard = seen(home, shards=4)
    assert sum(len(changes.added) for changes in by_shard.values()) == 20
    assert len(by_shard) == 4 and all(changes.added for changes in by_shard.values())
    for changes in by_shard.values():
        assert all(changes.partition.slot_low <= s.slot <= changes.partition.slot_high for s in changes.added)


def test_names_that_are_hard_to_write_are_documents_too(home: Home) -> None:
    for name in ("with space.txt", "ünïcode 日本.txt", "new\nline.txt", "x" * 255, "deep/er/est.md", "quote'\"%.txt"):
        home.put(name, name)
    assert taken_in(home).added == 6
    assert not seen(home)["acme.reports.00-of-01"]


def test_the_digest_of_changes_tells_different_changes_apart_and_equal_ones_not(home: Home) -> None:
    home.put("a.txt", "one")
    (first,), (again,) = seen(home).values(), seen(home).values()
    assert first.digest() == again.digest()
    home.put("b.txt", "two")
    (more,) = seen(home).values()
    assert more.digest() != first.digest()
    entered(home, more)
    home.remove("a.txt")
    (gone,) = seen(home).values()
    assert len({first.digest(), more.digest(), gone.digest(), Changes(gone.partition).digest()}) == 4


def test_the_kind_of_text_is_part_of_what_is_parsed_and_the_rest_of_the_name_is_not() -> None:
    assert input_digest("a/b.CSV", "v") == input_digest("c.csv", "v") != input_digest("c.txt", "v")
    assert input_digest("noext", "v") == "v"
    assert len(input_digest("x." + "y" * 300, "v" * 64)) <= 96


class Scripted:
    """Arrivals whose ``fetch`` does something first."""

    def __init__(self, inner: Arrivals, before: Callable[[str], None]) -> None:
        self._inner, self._before = inner, before

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def fetch(self, key: str, target: Path) -> FetchedObject:
        self._before(key)
        return self._inner.fetch(key, target)


def test_a_file_that_vanishes_before_it_is_read_is_ended_by_the_next_listing(home: Home) -> None:
    home.put("a.txt", "one")
    home.put("b.txt", "two")
    vanishing = Scripted(home.arrivals, lambda key: home.remove("a.txt") if key.endswith("a.txt") else None)
    intake = taken_in(home, vanishing)  # type: ignore[arg-type]
    assert (intake.added, intake.quarantined) == (1, 0)
    assert set(present(home)) == {"b.txt"}


def test_a_file_that_changes_after_the_listing_is_entered_as_what_was_read(home: Home) -> None:
    home.put("a.txt", "one")
    changing = Scripted(home.arrivals, lambda key: home.put("a.txt", "one, and more"))
    taken_in(home, changing)  # type: ignore[arg-type]
    assert taken_in(home) == Intake()


def test_a_read_that_fails_for_a_moment_is_tried_again_and_then_left_for_the_next_run(home: Home) -> None:
    home.put("a.txt", "one")
    twice = Faults({("fetch", 0): Fault.REFUSED, ("fetch", 1): Fault.LOST_REPLY})
    assert taken_in(home, FaultyArrivals(home.arrivals, twice)).added == 1
    home.put("b.txt", "two")
    always = Faults({("fetch", n): Fault.REFUSED for n in range(3)})
    intake = taken_in(home, FaultyArrivals(home.arrivals, always))
    assert (intake.unsettled, intake.quarantined) == (1, 0)
    assert taken_in(home).added == 1


def test_a_listing_that_breaks_off_is_no_deletion(home: Home) -> None:
    for i in range(4):
        home.put(f"{i}.txt", "text")
    taken_in(home)
    broken = FaultyArrivals(home.arrivals, Faults({("list", 0): Fault.REFUSED}, error=PermanentError))
    with pytest.raises(PermanentError):
        taken_in(home, broken)
    assert len(present(home)) == 4


def test_a_file_that_cannot_be_read_is_held_once_for_each_fingerprint(home: Home) -> None:
    home.put("a.txt", "x" * 3_000_000)
    small = ParsingLimits(size_limit_mb=1)
    assert taken_in(home, limits=small).quarantined == 1
    (held,) = quarantine.rows(home.ledger)
    assert (held.reason, held.stage, held.attempts) == ("too-large", "raw_documents", 1)
    assert "raise parsing.size_limit_mb" in held.message
    assert taken_in(home, limits=small) == Intake(), "the very same file is not tried again"
    home.put("a.txt", "x" * 3_000_001)
    assert taken_in(home, limits=small).quarantined == 1
    assert quarantine.rows(home.ledger)[0].attempts == 2
    home.put("a.txt", "small")
    assert taken_in(home, limits=small).added == 1
    assert quarantine.rows(home.ledger) == []


def test_a_held_file_that_goes_leaves_the_quarantine(home: Home) -> None:
    home.put("a.txt", "x" * 3_000_000)
    taken_in(home, limits=ParsingLimits(size_limit_mb=1))
    home.remove("a.txt")
    (changes,) = seen(home).values()
    assert changes and changes.vanished
    entered(home, changes)
    assert quarantine.rows(home.ledger) == []


def test_a_document_that_becomes_unreadable_keeps_its_version_until_it_goes(home: Home) -> None:
    home.put("a.txt", "good")
    taken_in(home)
    before = present(home)
    home.put("a.txt", "x" * 3_000_000)
    taken_in(home, limits=ParsingLimits(size_limit_mb=1))
    assert present(home) == before and len(quarantine.rows(home.ledger)) == 1
    home.remove("a.txt")
    taken_in(home)
    assert present(home) == {} and quarantine.rows(home.ledger) == []


def test_only_data_errors_hold_a_document(home: Home) -> None:
    home.put("a.txt", "one")

    def refuse(_key: str) -> None:
        raise PermanentError("the store refuses")

    with pytest.raises(PermanentError, match="the store refuses"):
        taken_in(home, Scripted(home.arrivals, refuse))  # type: ignore[arg-type]

    def spoil(_key: str) -> None:
        raise DataError("a.txt: unreadable", reason="unreadable")

    assert taken_in(home, Scripted(home.arrivals, spoil)).quarantined == 1  # type: ignore[arg-type]


def test_a_removal_seen_before_another_run_saw_the_file_again_removes_nothing(home: Home) -> None:
    home.put("a.txt", "one")
    taken_in(home)
    home.remove("a.txt")
    (stale,) = seen(home).values()
    home.put("a.txt", "one")
    assert taken_in(home).renewed == 1
    intake = entered(home, stale)
    assert (intake.removed, intake.unsettled) == (0, 1)
    assert set(present(home)) == {"a.txt"}


def test_a_sighting_older_than_another_runs_entry_changes_nothing(home: Home) -> None:
    home.put("a.txt", "one")
    (stale,) = seen(home).values()
    taken_in(home)
    home.put("a.txt", "two")
    taken_in(home)
    before = present(home)
    intake = entered(home, stale)
    assert (intake.added, intake.unsettled) == (0, 1)
    assert present(home) == before
    assert taken_in(home) == Intake()


def test_a_lost_lease_enters_nothing(home: Home) -> None:
    home.put("a.txt", "one")
    (changes,) = seen(home).values()
    lease = _lease(home, changes)
    die_holding(lease)
    acquire(home.ledger, changes.partition.key, holder="other").release()
    with pytest.raises(LeaseLost):
        take_in(lease, home.arrivals, home.originals, changes, ParsingLimits())
    assert present(home) == {}


def test_keys_that_cannot_name_a_document_are_held_and_let_go(home: Home) -> None:
    keys = [UnusableKey("acme/reports/\\xff", "has a name that is not UTF-8: rename it", "f1")]
    assert hold_unusable(home.ledger, "acme", "reports", keys) == 1
    assert hold_unusable(home.ledger, "acme", "reports", keys) == 1
    (held,) = quarantine.rows(home.ledger, tenant="acme", collection="reports")
    assert (held.reason, held.attempts) == ("unusable-key", 1) and held.path.endswith("\\xff")
    assert hold_unusable(home.ledger, "acme", "reports", [replace(keys[0], fingerprint="f2")]) == 1
    assert quarantine.rows(home.ledger)[0].attempts == 2
    assert hold_unusable(home.ledger, "acme", "reports", []) == 0
    assert quarantine.rows(home.ledger) == []


def test_files_outside_every_collection_are_held_and_let_go(home: Home) -> None:
    stray = home.folder / "objects" / "stray.txt"
    stray.write_text("lost")
    (home.folder / "objects" / "Bad Name").mkdir()
    (home.folder / "objects" / "Bad Name" / "x.txt").write_text("lost too")
    assert hold_strays(home.ledger, home.arrivals) == 2
    assert {row.path for row in quarantine.rows(home.ledger)} == {"stray.txt", "Bad Name/x.txt"}
    stray.unlink()
    assert hold_strays(home.ledger, home.arrivals) == 1


def test_a_transient_error_that_is_no_change_is_still_not_taken_for_success(home: Home) -> None:
    home.put("a.txt", "one")

    def lose(_key: str) -> None:
        raise TransientError("connection lost")

    intake = taken_in(home, Scripted(home.arrivals, lose))  # type: ignore[arg-type]
    assert intake.unsettled == 1 and present(home) == {}
    (changes,) = seen(home).values()
    assert changes.added, "it is still to be done"


def test_an_unmounted_store_deletes_nothing_and_an_emptied_one_everything(home: Home) -> None:
    home.put("a.md", "text")
    taken_in(home)
    objects, away = home.folder / "objects", home.folder / "away"
    objects.rename(away)
    objects.mkdir()
    with pytest.raises(PermanentError, match="unmounted or removed"):
        seen(home)
    objects.rmdir()
    away.rename(objects)
    shutil.rmtree(objects / "acme")
    (changes,) = seen(home).values()
    assert len(changes.removed) == 1
