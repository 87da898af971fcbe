"""Readers at every moment of a run: for each document exactly one version, whole, as the ledger says it; never none."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import or_, select

from etl_assets.documents.parameters import Publications
from etl_assets.errors import TransientError
from etl_assets.ledger import schema
from etl_assets.ledger.snapshots import CollectionView, snapshot, visible_documents
from etl_assets.protocols.graph import Scope
from etl_assets.protocols.indexes import Filters, IndexSpace
from etl_assets_tests.faults.chains import ShapedChain, die_holding, quick_home, ticking, untidy
from etl_assets_tests.faulty import Killed
from etl_assets_tests.trivial import DIMENSION, Home, contents

LIMIT_S = 3600.0
"""Collection never comes while readers of these tests are open."""


@dataclass
class Search:
    """One search in steps: a snapshot, then each store on its own, at any later moment."""

    home: Home
    view: CollectionView
    must_show: frozenset[str]

    def finish(self) -> frozenset[str]:
        """Ask every store, and check that each says what the ledger said; which documents were seen."""
        view = self.view
        space = IndexSpace(view.tenant, view.collection, view.generation_id)
        stores = self.home.stores
        vector = stores.vector.query(
            space, np.ones(DIMENSION, np.float32), k=10**6, visible=view.visible, filters=Filters()
        )
        keyword = stores.keyword.query(space, "", k=10**6, visible=view.visible, filters=Filters())
        scope = Scope(view.tenant, {view.collection: view.visible})
        expected = _by_ledger(self.home, view)
        edges = stores.graph.entities_of(scope, list(expected), limit=10**6)
        found = {
            "vector": Counter(hit.publication for hit in vector),
            "keyword": Counter(hit.publication for hit in keyword),
            "graph": Counter(number for one in edges for _, number in one.documents),
        }
        for store, counts in found.items():
            wanted = {number: rows[store] for number, (_, rows) in expected.items() if rows.get(store)}
            assert dict(counts) == wanted, f"{store} at {view.visible}"
        seen = visible_documents(self.home.ledger, view.generation_id, list(expected), view.visible.sequence)
        assert set(seen) == set(expected), "the check of each hit agrees with the snapshot"
        paths = [path for path, _ in expected.values()]
        assert len(set(paths)) == len(paths), "never two versions of a document"
        assert self.must_show <= set(paths), "never none"
        return frozenset(paths)


def _by_ledger(home: Home, view: CollectionView) -> dict[int, tuple[str, dict[str, int]]]:
    """What is visible at the view's sequence number: publication -> (path, rows by store)."""
    p, s = schema.publications, view.visible.sequence
    query = select(p.c.publication, p.c.path, p.c.counts).where(
        p.c.generation_id == view.generation_id, p.c.begin_seq <= s, or_(p.c.end_seq.is_(None), p.c.end_seq > s)
    )
    with home.ledger.reading() as connection:
        return {row[0]: (row[1], row[2]) for row in connection.execute(query).all()}


class Readers:
    """Opens a search now and then at a tick, and finishes the open ones at later ticks."""

    def __init__(self, home: Home, source: random.Random) -> None:
        self.home, self.random = home, source
        self.open: list[Search] = []
        self.shown: frozenset[str] = frozenset()
        self.removed: set[str] = set()
        self.finished = 0

    def tick(self, _what: str) -> None:
        if self.random.random() < 0.4:
            views = snapshot(self.home.ledger, tenant="acme", collection="reports")
            for view in views:
                paths = frozenset(path for path, _ in _by_ledger(self.home, view).values())
                assert self.shown - self.removed <= paths, "a document that was shown, and was not removed, is shown"
                self.shown = paths
                self.open.append(Search(self.home, view, paths))
        while self.open and self.random.random() < 0.5:
            self.open.pop(self.random.randrange(len(self.open))).finish()
            self.finished += 1


def _steps(source: random.Random, home: Home, readers: Readers) -> Iterator[dict[str, object]]:
    """Settings of one run after another, with files changed before each."""
    settings: dict[str, object] = {}
    for _ in range(7):
        for _ in range(source.randint(1, 3)):
            path = f"{source.randint(0, 4)}.txt"
            if source.random() < 0.25 and (home.folder / "objects/acme/reports" / path).exists():
                home.remove(path)
                readers.removed.add(path)  # until a run has ended well, it may be gone, even if it is put again
            else:
                words = source.choices(["ALPHA", "BETA", "plain", "GAMMA", "text"], k=source.randint(1, 6))
                home.put(path, "\n".join(f"{word} {i}" for i, word in enumerate(words)) + "\n")
        change = source.random()
        if change < 0.2:
            settings["model"] = source.choice(["trivial", "better"])
        elif change < 0.4:
            settings["publications"] = Publications(keyword=source.random() < 0.5, graph=source.random() < 0.5)
        elif change < 0.5:
            settings["parameters"] = {"chunks": {"lines": source.randint(1, 2)}}
        yield settings


@pytest.mark.parametrize("seed", range(1))
def test_every_search_sees_each_document_whole_and_once(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    home = quick_home(tmp_path / "home")
    readers = Readers(home, source)
    for runs, settings in enumerate(_steps(source, home, readers)):
        watched = ticking(home, readers.tick)
        chain = ShapedChain(watched, run_id=f"run-{runs}", time_limit_s=LIMIT_S, **settings)
        die_after = source.randint(1, 80) if source.random() < 0.4 else 10**9
        lease = chain.take()

        def tick(what: str) -> None:
            nonlocal die_after
            die_after -= 1
            readers.tick(what)
            if die_after == 0:
                raise Killed(what)

        watched.ledger.tick = tick  # type: ignore[attr-defined]
        try:
            chain.steps(lease)
        except Killed:
            die_holding(lease)
        else:
            watched.ledger.tick = lambda _: None  # type: ignore[attr-defined]
            lease.release()
            readers.removed.clear()
            readers.shown = frozenset()
    while readers.open:
        readers.open.pop().finish()
        readers.finished += 1
    assert readers.finished > 30
    ShapedChain(home, run_id="last", **settings).run()
    assert untidy(home) == []
    clean = quick_home(tmp_path / "clean")
    for path in (home.folder / "objects/acme/reports").glob("*"):
        clean.put(path.name, path.read_text())
    ShapedChain(clean, **settings).run()
    assert contents(home) == contents(clean)


def test_a_search_that_is_over_before_collection_never_misses_what_is_collected(tmp_path: Path) -> None:
    """With a limit of 0 s, searches that begin and end at one tick still see every document whole."""
    source = random.Random(3)
    home = quick_home(tmp_path / "home")
    readers = Readers(home, source)

    def tick(_what: str) -> None:
        for view in snapshot(home.ledger, tenant="acme", collection="reports"):
            readers.shown = Search(home, view, readers.shown - readers.removed).finish()

    for i, settings in enumerate(_steps(source, home, readers)):
        watched = ticking(home, lambda _: None)
        chain = ShapedChain(watched, run_id=f"run-{i}", **settings)
        lease = chain.take()
        watched.ledger.tick = tick  # type: ignore[attr-defined]
        chain.steps(lease)
        watched.ledger.tick = lambda _: None  # type: ignore[attr-defined]
        lease.release()
        readers.removed.clear()
    assert untidy(home) == []


def test_a_run_of_the_older_model_that_wakes_after_a_promotion_publishes_nothing(tmp_path: Path) -> None:
    """The older model's run must not publish into a generation that was retired under it."""
    home = quick_home(tmp_path / "home")
    for i in range(6):
        home.put(f"{i}.txt", f"text {i}\n")
    for shard in (0, 1):
        ShapedChain(home, shard=shard, shards=2).run()
    for i in range(6):
        home.put(f"{i}.txt", f"text {i}, changed\n")
    late = ShapedChain(home, shard=1, shards=2, run_id="late")
    lease = late.take()
    work = late.work(lease)
    late.take_in(work)
    from etl_assets_tests.trivial import STAGES

    for stage in STAGES:
        late.stage(work, stage)
    publisher = late.publisher(work)
    publisher.write("vector")
    die_holding(lease)
    for shard in (0, 1):
        ShapedChain(home, shard=shard, shards=2, model="better", run_id="new").run()
    with pytest.raises(TransientError):
        publisher.commit()
    for shard in (0, 1):
        ShapedChain(home, shard=shard, shards=2, model="better", run_id="last").run()
    assert len(contents(home)["ledger"]) == 6
    assert untidy(home) == []
