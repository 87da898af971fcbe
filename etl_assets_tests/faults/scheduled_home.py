"""A home that schedules of faults are played on, through the protocols alone wherever they reach.

Whatever happens to it, searches of ``watching`` look at it meanwhile, and ``settling`` holds it to a clean build.
"""

import hashlib
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

from sqlalchemy import select

from etl_assets.bindings import open_platform
from etl_assets.documents.collections import Collections
from etl_assets.documents.consistency.repair import RepairReport, repair
from etl_assets.documents.generations import work as generation_work
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.publisher import Stores
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger import leases, schema
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.ledger.leases import Lease, LeaseLost
from etl_assets.protocols.comparison import Judgement
from etl_assets.protocols.embedder import Embedder
from etl_assets.protocols.graph import Entity, MentionEdge
from etl_assets.settings import Settings
from etl_assets.stages.lake import Lake
from etl_assets_tests.faults import removals
from etl_assets_tests.faults.chains import Tick, die_holding, fall_asleep_holding, ticking
from etl_assets_tests.faults.steps import CHUNKINGS, PATHS, PLACE, STORES, Step
from etl_assets_tests.faults.watching import Watcher
from etl_assets_tests.faulty import Fault, Faults, FaultyArrivals, FaultyBlobs, FaultyGraph, FaultyRows, Killed
from etl_assets_tests.small_homes import shared_pool
from etl_assets_tests.trivial import Home

RULES = "  generations: {promote: auto, missing_share: 0.0, recall_drop: 1.0, ndcg_drop: 1.0}\n"
KINDS = (Fault.REFUSED, Fault.LOST_REPLY, Fault.LOST_WRITE, Fault.HALF_WRITE, Fault.SLOW)
TICKS = 110
"""About as many as a run has."""


def small_settings(folder: Path) -> Settings:
    """Settings of an embedded home that does not wait long for searches."""
    return Settings(home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1)


@dataclass
class CountedEmbedder:
    """Another embedder, and every text that it was given."""

    inner: Embedder
    texts: Counter[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def embed_documents(self, texts: Any) -> Any:
        self.texts.update(texts)
        return self.inner.embed_documents(texts)


@dataclass
class Countdown:
    """Lets the search look at every tick, and acts at the n-th, and at all after it where ``lasting``."""

    left: int
    act: Tick
    look: Tick
    lasting: bool = False
    where: str = ""

    def __call__(self, what: str) -> None:
        self.look(what)
        self.left -= 1
        if self.left == 0 or (self.lasting and self.left < 0):
            self.where = self.where or what
            self.act(what)


@dataclass
class ScheduledHome:
    """One home, the files it is to have, and everything that was done to it.

    ``damaged``: something was lost or altered behind the platform's back that no run has to notice, so what searches
    answer is not judged until a repair is through. ``lost_lake``: rows may have to be computed again. ``gone``: what
    was deleted by an order and put by nobody since.
    """

    folder: Path
    settings: Settings
    embedded: bool
    files: dict[str, str] = field(default_factory=dict)
    texts: dict[str, set[str]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    embedded_texts: Counter[str] = field(default_factory=Counter)
    gone: set[str] = field(default_factory=set)
    damaged: bool = False
    lost_lake: bool = False
    runs: int = 0

    def __post_init__(self) -> None:
        self.settings.home.create()
        self.decide(CHUNKINGS[0])
        self.open()
        self.watcher = Watcher(self)

    def note(self, what: str) -> None:
        self.done.append(what)

    def take(self, step: Step) -> None:
        """Let a step happen; one that has nothing to happen to does nothing."""
        if step.text:
            self._write(step.path, step.text)
        getattr(self, f"_{step.kind}")(step, random.Random(step.seed))

    def decide(self, chunking: str) -> None:
        text = f"defaults:\n  embedder: {{kind: static}}\n  chunking: {chunking}\n{RULES}"
        self.settings.home.collections_file.write_text(text)

    def open(self) -> None:
        """As a new process would."""
        platform = open_platform(self.settings)

        def embedder(choice: Any) -> Embedder:
            return cast("Embedder", CountedEmbedder(platform.embedder(choice), self.embedded_texts))

        self.platform = replace(platform, parsers=shared_pool, embedder=embedder)

    @property
    def place(self) -> Partition:
        return ensure_collection(self.platform.ledger, *PLACE, shards=1)[0]

    def run(self, platform: Platform | None = None, *, wait_s: float = 30.0) -> dict[str, Any]:
        """Every step of a run; as often as not under a name that an earlier one had."""
        with self.partition_run(platform, wait_s=wait_s) as run:
            return all_steps(run)

    def partition_run(self, platform: Platform | None = None, *, wait_s: float = 30.0) -> PartitionRun:
        self.runs += 1
        return PartitionRun(platform or self.platform, self.place.key, run_id=f"run-{self.runs}", wait_s=wait_s)

    def repaired(self, platform: Platform | None = None) -> RepairReport:
        self.runs += 1
        report = repair(platform or self.platform, self.place, run_id=f"repair-{self.runs}")
        self.note(f"   repaired: {report.done}")
        return report

    # Documents

    def _put(self, step: Step, _: random.Random) -> None:
        """``take`` has put it."""

    def _remove(self, step: Step, _: random.Random) -> None:
        if step.path in self.files:
            del self.files[step.path]
            self.platform.arrivals.delete("/".join((*PLACE, step.path)))
            self.watcher.removed.add(step.path)

    def _rename(self, step: Step, source: random.Random) -> None:
        if step.path in self.files:
            text = self.files[step.path]
            self._remove(step, source)
            self._write(source.choice(PATHS), text)

    def _write(self, path: str, text: str) -> None:
        self.files[path] = text
        self.gone.discard(path)
        self.texts.setdefault(path, set()).add(text)
        scratch = self.folder / "arriving"
        scratch.write_text(text)
        self.platform.arrivals.put("/".join((*PLACE, path)), scratch)

    # Generations

    def _chunking(self, _: Step, source: random.Random) -> None:
        self.decide(source.choice(CHUNKINGS))
        self.platform = replace(self.platform, collections=Collections.read(self.settings.home.collections_file))

    def _promote(self, _: Step, __: random.Random) -> None:
        self._asked(lambda: generation_work.promote(self.platform, *PLACE, Judgement()))

    def _roll_back(self, _: Step, __: random.Random) -> None:
        self._asked(lambda: generation_work.roll_back(self.platform, *PLACE))

    def _collect(self, _: Step, __: random.Random) -> None:
        self._asked(lambda: generation_work.retire(self.platform, *PLACE))

    def _asked(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except ConfigError as error:
            self.note(f"   refused: {error}")
        except EtlAssetsError as error:
            if not self.damaged:
                raise
            self.note(f"   {error}")
        self.watcher.look("a swap")

    # Runs

    def _run(self, _: Step, __: random.Random) -> None:
        try:
            self.run()
        except EtlAssetsError as error:
            if not self.damaged:
                raise
            self.note(f"   over what is damaged: {error}")
        else:
            self.watcher.run_ended_well()

    def _killed_run(self, _: Step, source: random.Random) -> None:
        self._stopped(Countdown(source.randint(1, TICKS), _raising(Killed("on purpose")), self._looks(source)))

    def _failed_run(self, _: Step, source: random.Random) -> None:
        error = TransientError("on purpose")
        self._stopped(Countdown(source.randint(1, TICKS), _raising(error), self._looks(source)))

    def _full_run(self, _: Step, source: random.Random) -> None:
        """From some moment on nothing can be written any more, not even that the run failed."""

        def refuse(what: str) -> None:
            if what.startswith("before"):
                raise PermanentError(f"no space left on the device, {what}, on purpose")

        self._stopped(Countdown(source.randint(1, TICKS), refuse, self._looks(source), lasting=True))

    def _stopped(self, tick: Countdown) -> None:
        run = self.partition_run(cast("Platform", ticking(cast("Home", self.platform), tick)))
        try:
            all_steps(run)
        except Killed:
            self.note(f"   killed {tick.where}")
            die(run)
        except EtlAssetsError as error:
            self.note(f"   failed {tick.where}: {error}")
            if tick.lasting:
                die(run)
            elif not (tick.where or self.damaged):
                raise
        self._closed(run)

    def _closed(self, run: PartitionRun) -> None:
        lease = run._lease
        run.platform = self.platform
        if lease is not None:
            lease._ledger = self.platform.ledger
        run.close()

    def _looks(self, source: random.Random) -> Tick:
        """A search now and then; which ticks is drawn."""
        return lambda what: self.watcher.look(what) if source.random() < 0.04 else None

    def _faulty_run(self, _: Step, source: random.Random) -> None:
        """Stores that refuse, time out, forget, keep half, are slow, or alter what they are given."""
        kinds = KINDS + ((Fault.ALTERED,) if source.random() < 0.15 else ())
        faults = Faults.drawn(source.randrange(10**6), share=0.12, kinds=kinds)
        files = Faults.drawn(source.randrange(10**6), share=source.choice((0.0, 0.0, 0.05)))
        try:
            self.run(faulty(self.platform, faults, files=files))
            self.note(f"   ended well over {len(faults.happened) + len(files.happened)} faults")
        except EtlAssetsError as error:
            self.note(f"   {type(error).__name__}: {error}")
            assert isinstance(error, TransientError) or self.damaged, "a store that is away is no permanent failure"
        self.damaged |= any(fault is Fault.ALTERED for *_, fault in faults.happened)
        self.watcher.look("after a run with faults")

    def _overtaken_run(self, _: Step, source: random.Random) -> None:
        """A run sleeps beyond its lease at some moment; another one takes over and ends; the sleeper wakes."""
        run: PartitionRun

        def sleep(what: str) -> None:
            if run._lease is not None:
                fall_asleep_holding(run._lease)
            self._run(Step("run", 0), source)

        tick = Countdown(source.randint(1, TICKS), sleep, self._looks(source))
        run = self.partition_run(cast("Platform", ticking(cast("Home", self.platform), tick)))
        try:
            all_steps(run)
            self.note("   the sleeper had nothing left to write")
        except LeaseLost:
            self.note(f"   the sleeper was fenced, asleep {tick.where}")
        except EtlAssetsError as error:
            self.note(f"   the sleeper, asleep {tick.where}: {error}")
            assert isinstance(error, TransientError) or self.damaged
        self._closed(run)

    def _two_runs(self, _: Step, __: random.Random) -> None:
        failed: list[BaseException] = []

        def work(run: PartitionRun) -> None:
            try:
                with run:
                    all_steps(run)
            except EtlAssetsError as error:
                failed.append(error)

        both = [threading.Thread(target=work, args=(self.partition_run(),)) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert self.damaged or not failed, f"of two runs at once one waits for the other: {failed}"
        if not failed:
            self.watcher.run_ended_well()

    def _clock_back(self, step: Step, source: random.Random) -> None:
        """A run, and a killed one, whose clocks, of the process and of the ledger, say an hour ago."""
        import time

        earlier, told = time.time, leases.now
        with (
            mock.patch("time.time", lambda: earlier() - 3600.0),
            mock.patch.object(leases, "now", lambda connection: told(connection) - 3600.0),
        ):
            self._run(step, source)
            self._killed_run(step, source)

    def _reopen(self, _: Step, __: random.Random) -> None:
        self.platform.close()
        self.open()

    # Repairs

    def _repair(self, _: Step, __: random.Random) -> None:
        report = self.repaired()
        assert report.left == [], report.left
        assert report.embedded == 0 or self.lost_lake, "nothing of the lake was lost, and texts were embedded"
        self.damaged = False
        self.watcher.shown = frozenset()  # what was lost may have been put back without a run having seen it
        self.watcher.look("after a repair")

    def _killed_repair(self, _: Step, source: random.Random) -> None:
        tick = Countdown(source.randint(1, TICKS // 2), _raising(Killed("on purpose")), lambda _: None)
        with mock.patch.object(PartitionRun, "close", die_or_close):
            try:
                self.repaired(cast("Platform", ticking(cast("Home", self.platform), tick)))
            except Killed:
                self.note(f"   killed {tick.where}")

    # Deletions and backups

    def _delete(self, step: Step, source: random.Random) -> None:
        removals.delete(self, step.path, source)

    def _killed_delete(self, step: Step, source: random.Random) -> None:
        removals.killed_delete(self, step.path, source)

    def _backup(self, _: Step, __: random.Random) -> None:
        removals.backup(self)

    def _restore(self, _: Step, __: random.Random) -> None:
        removals.restore(self)

    # Damage behind the platform's back

    def _numbers(self) -> list[tuple[int, str]]:
        p = schema.publications
        with self.platform.ledger.reading() as connection:
            rows = connection.execute(select(p.c.publication, p.c.document_id).where(p.c.end_seq.is_(None)))
            return [(row[0], row[1]) for row in rows]

    def _lose_rows(self, _: Step, source: random.Random) -> None:
        store = source.choice(STORES)
        if not (numbers := [number for number, _ in self._numbers()]):
            return
        gone = source.sample(numbers, source.randint(1, len(numbers)))
        self.damaged = True
        if store == "graph":
            self.platform.stores.graph.remove(*PLACE, gone)
            return
        for space in getattr(self.platform.stores, store).spaces():
            getattr(self.platform.stores, store).remove(space, gone)

    def _ghosts(self, _: Step, source: random.Random) -> None:
        """Edges of a number that was never drawn, and of one that is shown."""
        if not (numbers := self._numbers()):
            return
        number, document = source.choice(numbers)
        ghost = Entity("malware:ghost", "malware", "Ghost")
        edges = [MentionEdge(*PLACE, document, one, ghost, 1, 0.5, "", 1, 0, 4) for one in (number, 10**6)]
        self.damaged = True
        self.platform.stores.graph.write(edges)

    def _alter(self, _: Step, source: random.Random) -> None:
        """The next run alters rows that it writes: counts agree, contents do not."""
        faults = Faults.drawn(source.randrange(10**6), share=0.5, kinds=(Fault.ALTERED,))
        self.damaged = True
        try:
            self.run(faulty(self.platform, faults))
        except EtlAssetsError as error:
            self.note(f"   {error}")

    def _drop_index(self, _: Step, source: random.Random) -> None:
        index = getattr(self.platform.stores, source.choice(STORES[:2]))
        self.damaged = True
        for space in index.spaces():
            index.drop(space)

    def _lose_segment(self, _: Step, source: random.Random) -> None:
        if key := self._a_segment(source):
            self.platform.lake.blobs.delete(key)

    def _cut_segment(self, _: Step, source: random.Random) -> None:
        if key := self._a_segment(source):
            blobs, cut = self.platform.lake.blobs, self.folder / "cut"
            with blobs.local(key) as path:
                content = path.read_bytes()
            cut.write_bytes(content[: len(content) // 2])
            blobs.delete(key)
            blobs.put(key, cut)

    def _a_segment(self, source: random.Random) -> str:
        keys = sorted(key for key, _, _ in self.platform.lake.blobs.keys(""))
        if not keys:
            return ""
        self.damaged = self.lost_lake = True
        key = source.choice(keys)
        self.note(f"   {key}")
        return key

    def _lose_original(self, _: Step, source: random.Random) -> None:
        """Only one whose key still has these bytes: of any other there is no second copy, and no repair can help."""
        self._run(Step("run", 0), source)
        o = schema.objects
        with self.platform.ledger.reading() as connection:
            rows = connection.execute(select(o.c.path, o.c.document_id, o.c.version).where(o.c.end_seq.is_(None))).all()
        keys = sorted(
            original_key(PLACE[0], row.document_id, row.version)
            for row in rows
            if hashlib.sha256(self.files.get(row.path, "").encode()).hexdigest() == row.version
        )
        if keys:
            self.damaged = True
            self.platform.originals.delete(source.choice(keys))

    # Yesterday

    def _yesterday(self, _: Step, __: random.Random) -> None:
        """Keep a copy of the ledger and of the indexes as they are."""
        with self._closed_files():
            for folder in (self.settings.home.ledger, self.settings.home.indexes):
                shutil.rmtree(self.folder / f"yesterday-{folder.name}", ignore_errors=True)
                shutil.copytree(folder, self.folder / f"yesterday-{folder.name}")

    def _ledger_of_yesterday(self, _: Step, __: random.Random) -> None:
        self._put_back(self.settings.home.ledger)

    def _indexes_of_yesterday(self, _: Step, __: random.Random) -> None:
        self._put_back(self.settings.home.indexes)

    def _put_back(self, folder: Path) -> None:
        kept = self.folder / f"yesterday-{folder.name}"
        if kept.exists():
            self.damaged = self.lost_lake = True
            with self._closed_files():
                shutil.rmtree(folder)
                shutil.copytree(kept, folder)

    @contextmanager
    def _closed_files(self) -> Iterator[None]:
        self.platform.close()
        yield
        self.open()


def faulty(platform: Platform, faults: Faults, *, files: Faults | None = None) -> Platform:
    """The same platform over stores that fail; with ``files`` the lake, the originals and what arrives do too."""
    inner = platform.stores
    stores = Stores(
        cast("Any", FaultyRows(inner.vector, faults)), cast("Any", FaultyRows(inner.keyword, faults)),
        cast("Any", FaultyGraph(inner.graph, faults)),
    )  # fmt: skip
    if files is None:
        return replace(platform, stores=stores)
    return replace(
        platform, stores=stores, arrivals=FaultyArrivals(platform.arrivals, files),
        originals=FaultyBlobs(platform.originals, files), lake=Lake(FaultyBlobs(platform.lake.blobs, files)),
    )  # fmt: skip


def die(run: PartitionRun, error: BaseException | None = None) -> None:
    """What becomes of a run whose process is killed."""
    lease: Lease | None = run._lease
    run._lease = None
    if lease is not None:
        die_holding(lease)


_close = PartitionRun.close


def die_or_close(run: PartitionRun, error: BaseException | None = None) -> None:
    """A killed run leaves its lease behind; another one ends as it should."""
    (die if isinstance(error, Killed) else _close)(run, error)


def _raising(error: BaseException) -> Tick:
    def act(_: str) -> None:
        raise error

    return act
