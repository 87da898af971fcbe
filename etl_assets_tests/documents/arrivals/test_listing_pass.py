"""Looks that end anywhere: whatever comes between two pages, every key is taken in once and none is taken for gone."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from sqlalchemy import func, select

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.documents.arrivals.listing_pass import Look, look_at
from etl_assets.documents.arrivals.watch import waiting_in
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger import quarantine, schema, touched
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.ledger.touched import GONE
from etl_assets.protocols.objects import Arrivals
from etl_assets_tests.memory_arrivals import ORDERS, MemoryArrivals
from etl_assets_tests.small_homes import SmallHome

SEEDS = range(8)


class Watched:
    """One collection on a store in memory, and looks and runs at it."""

    def __init__(self, platform: Platform, collection: str, store: Arrivals) -> None:
        self.platform = replace(platform, arrivals=store)
        self.collection = collection
        self.key = f"acme/{collection}/"

    @property
    def places(self) -> list[Partition]:
        return ensure_collection(self.platform.ledger, "acme", self.collection, shards=2)

    def look(self, has_time: Callable[[], bool] = lambda: True) -> Look:
        return look_at(self.platform.ledger, self.platform.arrivals, self.places, has_time=has_time)

    def look_at_all(self) -> int:
        """Looks of one page each, until a pass is over; how many."""
        looks = 1
        while not self.look(lambda: False).is_over:
            looks += 1
        return looks

    def run(self, *, only_touched: bool = True) -> None:
        for key in waiting_in(self.platform.ledger, [one.key for one in self.places]):
            with PartitionRun(self.platform, key, run_id="a-run") as run:
                run.raw_documents(only_touched=only_touched)

    def waiting(self) -> dict[str, str]:
        """Fingerprint by path of what waits for a run."""
        with self.platform.ledger.reading() as connection:
            rows = [row for one in self.places for row in touched.touched(connection, one.key)]
        return {row.path: row.fingerprint for row in rows}

    def versions(self) -> list[tuple[str, int, bool]]:
        """(path, size, whether it is present) of every version that was ever taken in."""
        o = schema.objects
        with self.platform.ledger.reading() as connection:
            query = select(o.c.path, o.c.size_bytes, o.c.end_seq.is_(None)).where(o.c.cid == self.places[0].cid)
            return sorted((row[0], row[1], bool(row[2])) for row in connection.execute(query))

    def present(self) -> dict[str, int]:
        return {path: size for path, size, is_present in self.versions() if is_present}

    def unfinished(self) -> int:
        """Rows that passes have left in the ledger."""
        with self.platform.ledger.reading() as connection:
            return sum(
                connection.scalar(select(func.count()).select_from(one)) or 0
                for one in (schema.listing_passes, schema.listing_parts)
            )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHome]:
    yield SmallHome.at(tmp_path_factory.mktemp("passes") / "home", {})


@pytest.fixture
def store() -> MemoryArrivals:
    return MemoryArrivals()


@pytest.fixture
def watched(shared: SmallHome, store: MemoryArrivals, request: pytest.FixtureRequest) -> Watched:
    found = Watched(shared.platform, f"c{crc32(request.node.name.encode())}", store)
    for n in range(10):
        store.write(f"{found.key}{n:02}", b"x")
    return found


def test_a_pass_of_many_looks_enters_what_one_look_does_and_leaves_nothing_behind(
    watched: Watched, store: MemoryArrivals
) -> None:
    assert watched.look_at_all() == store.pages_listed == 4
    assert set(watched.waiting()) == {f"{n:02}" for n in range(10)} and not watched.unfinished()
    watched.run()
    assert len(watched.present()) == 10 and not watched.waiting()
    store.delete(f"{watched.key}00")
    for n in range(2):
        assert not watched.look(lambda: False).is_over and not watched.waiting(), n
    assert watched.look().is_over and watched.waiting() == {"00": GONE}


def test_a_look_that_finds_nothing_writes_nothing(watched: Watched) -> None:
    watched.look()
    watched.run()
    with watched.platform.ledger.reading() as connection:
        before = connection.execute(select(schema.counters)).all()
    assert watched.look() == Look(10, 0, True)
    with watched.platform.ledger.reading() as connection:
        assert connection.execute(select(schema.counters)).all() == before


def test_a_listing_that_breaks_off_goes_on_at_its_last_page_and_nothing_looks_gone(
    watched: Watched, store: MemoryArrivals
) -> None:
    watched.look()
    watched.run()
    store.pages_listed = 0
    pages = iter([None, None, TransientError("the store does not answer"), None, None, None])

    def fails(_: str) -> None:
        if (error := next(pages)) is not None:
            raise error

    store.fails = fails
    with pytest.raises(TransientError):
        watched.look()
    assert watched.look().is_over and store.pages_listed == 4 and not watched.waiting()


def test_a_position_that_means_nothing_any_more_begins_a_new_pass(watched: Watched, store: MemoryArrivals) -> None:
    watched.look(lambda: False)
    store.epoch += 1
    with pytest.raises(PermanentError, match="not valid any more"):
        watched.look()
    assert not watched.unfinished()
    assert watched.look().is_over and len(watched.waiting()) == 10


def test_of_two_looks_at_once_one_goes_on_and_both_may_end_the_pass(watched: Watched, store: MemoryArrivals) -> None:
    watched.look()
    watched.run()
    store.delete(f"{watched.key}01")
    watched.look(lambda: False)

    def other_goes_on() -> bool:
        watched.look(lambda: False)
        return False

    watched.look(other_goes_on)
    nested = iter([True])

    def other_ends_it() -> bool:
        if next(nested, False):
            assert watched.look().is_over
        return True

    assert watched.look(other_ends_it).is_over and watched.waiting() == {"01": GONE} and not watched.unfinished()


def test_keys_that_cannot_name_a_document_are_let_go_when_a_whole_pass_has_not_seen_them(
    watched: Watched, store: MemoryArrivals
) -> None:
    ledger, names = watched.platform.ledger, ("acme", watched.collection)
    for name in ("00?", "09?"):
        store.write(watched.key + name, b"x")
    watched.look_at_all()
    store.delete(f"{watched.key}00?")
    for expected in (2, 2, 2, 1):
        watched.look(lambda: False)
        assert len(quarantine.rows(ledger, tenant=names[0], collection=names[1])) == expected


def test_a_store_that_seems_lost_or_a_new_one_that_is_empty(watched: Watched, store: MemoryArrivals) -> None:
    watched.look()
    watched.run()
    kept, store.objects, store.lost = store.objects, {}, "it is as if it were not mounted"
    with pytest.raises(PermanentError, match="not mounted"):
        watched.look()
    assert not watched.waiting()
    store.objects, store.lost = kept, ""
    store.objects = {}
    assert watched.look().is_over and set(watched.waiting().values()) == {GONE} and len(watched.waiting()) == 10


def test_a_key_that_waits_is_forgotten_when_a_run_was_faster(watched: Watched, store: MemoryArrivals) -> None:
    watched.look()
    keys = [one.key for one in watched.places]
    with watched.platform.ledger.reading() as connection:
        waiting = [row for key in keys for row in touched.touched(connection, key)]
    watched.run()
    with watched.platform.ledger.writing() as connection:
        touched.touch(connection, waiting)
    assert not waiting_in(watched.platform.ledger, keys) and not watched.waiting()


def test_a_thousand_files_in_many_looks_with_one_in_thirty_changed(shared: SmallHome, tmp_path: Path) -> None:
    root = tmp_path / "objects"
    for n in range(1_000):
        folder = root / "acme" / "folder" / f"{n % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n:04}").write_bytes(b"text")
    watched = Watched(shared.platform, "folder", LocalArrivals(root, scratch=tmp_path / "tmp", page_files=140))
    assert watched.look_at_all() == 8
    watched.run(only_touched=False)
    assert len(watched.present()) == 1_000 and not watched.waiting()
    base, wanted = root / "acme" / "folder", watched.present()
    for n in range(10):
        (base / f"{n % 7}" / f"{n:04}").unlink()
        (base / f"{(n + 700) % 7}" / f"{n + 700:04}").write_bytes(b"other")
        (base / f"new{n}").write_bytes(b"more")
        del wanted[f"{n % 7}/{n:04}"]
        wanted |= {f"{(n + 700) % 7}/{n + 700:04}": 5, f"new{n}": 4}
    watched.look_at_all()
    assert len(watched.waiting()) == 30
    watched.run()
    assert watched.present() == wanted and len(watched.versions()) == 1_020


def test_a_file_that_is_still_written_ends_whole_and_one_that_is_renamed_into_place_is_taken_in_once(
    shared: SmallHome, tmp_path: Path
) -> None:
    folder = tmp_path / "objects" / "acme" / "half"
    folder.mkdir(parents=True)
    watched = Watched(shared.platform, "half", LocalArrivals(tmp_path / "objects", scratch=tmp_path / "tmp"))
    with (folder / "slow").open("wb", buffering=0) as slow, (folder / ".hidden").open("wb", buffering=0) as hidden:
        for _ in range(4):
            slow.write(b"part ")
            hidden.write(b"part ")
            watched.look()
            watched.run()
    (folder / ".hidden").rename(folder / "renamed")
    watched.look()
    watched.run()
    assert watched.present() == {"slow": 20, "renamed": 20}
    assert [path for path, _, _ in watched.versions()].count("renamed") == 1
    assert {size for path, size, _ in watched.versions() if path == "slow"} == {5, 10, 15, 20}
    assert watched.look().is_over and not watched.waiting()


def test_any_changes_faults_and_restarts_between_pages_end_as_the_store_does(shared: SmallHome) -> None:
    check_stories(shared, SEEDS)


def check_stories(home: SmallHome, seeds: Iterable[int]) -> None:
    """A random sequence for each seed, as ``_Story`` says."""
    for seed in seeds:
        _Story(home, seed).told()


class _Story:
    """One random sequence of changes, looks that end anywhere, runs and errors. Keys below ``stable/`` never change."""

    def __init__(self, home: SmallHome, seed: int) -> None:
        self.seed, self.draw = seed, random.Random(seed)
        self.store = MemoryArrivals(page_keys=self.draw.randint(1, 4))
        self.store.order = ORDERS[self.draw.choice([*ORDERS])]
        self.watched = Watched(home.platform, f"story-{seed}", self.store)
        self.may_reorder = self.draw.random() < 0.3
        self.writes = 0
        self.stable = {f"stable/{n}" for n in range(6)} | {"stable-0", "stable"}
        for path in self.stable:
            self.store.write(self.watched.key + path, b"stable")

    def told(self) -> None:
        self.store.fails = self._fails
        for _ in range(12):
            act = self.draw.choice((self._change, self._look, self._look, self._look, self._run))
            with suppress(EtlAssetsError):  # the sensor reports it, or the daemon that the run failed
                act()
            if not self.may_reorder:
                assert not {p for p, f in self.watched.waiting().items() if f == GONE} & self.stable, self.seed
        self.store.fails = lambda operation: None
        for _ in range(3):  # one may begin in the middle of a pass, and one may see keys that came behind its back
            self._until_over()
            self._run()
        self._assert_converged()

    def _until_over(self) -> None:
        try:
            self.watched.look_at_all()
        except PermanentError:
            self.watched.look_at_all()

    def _assert_converged(self) -> None:
        wanted = {key[len(self.watched.key) :]: len(data) for key, (_, data) in self.store.objects.items()}
        versions = self.watched.versions()
        assert self.watched.present() == wanted and not self.watched.waiting(), self.seed
        assert len(versions) <= self.writes + len(self.stable), (self.seed, "something was taken in twice")
        assert [path for path, _, _ in versions if path in self.stable] == sorted(self.stable), self.seed
        assert all(self.store.fetched[self.watched.key + path] == 1 for path in self.stable), self.seed

    def _fails(self, operation: str) -> None:
        if self.draw.random() < 0.1:
            raise self.draw.choice((TransientError, PermanentError) if operation == "page" else (TransientError,))(
                f"{operation} fails on purpose"
            )
        if operation == "page" and self.draw.random() < 0.3:
            self._change()

    def _change(self) -> None:
        key = self.watched.key + self.draw.choice(("a", "a/b", "a-b", "m/é", "stable/x", "z"))
        if self.draw.random() < 0.05:
            self.store.epoch += 1
        if self.may_reorder:
            self.store.order = ORDERS[self.draw.choice([*ORDERS])]
        if key in self.store.objects and self.draw.random() < 0.5:
            self.store.delete(key)
            if self.draw.random() < 0.5:
                return
            key += "-renamed"
        self.writes += 1
        self.store.write(key, b"y" * self.writes)

    def _look(self) -> None:
        def has_time() -> bool:
            if self.draw.random() < 0.2:
                self.watched.look(lambda: self.draw.random() < 0.5)  # another process at the same time
            return self.draw.random() < 0.6

        self.watched.look(has_time)

    def _run(self) -> None:
        self.watched.run(only_touched=self.draw.random() < 0.7)
