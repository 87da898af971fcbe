"""``kill -9`` at every step of a publication: before and after each store's write, the commit, and each collect."""

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from etl_assets.ledger import schema
from etl_assets.protocols.indexes import IndexSpace
from etl_assets_tests.faults.chains import ShapedChain, untidy
from etl_assets_tests.faults.processes import Order, durable_home, started
from etl_assets_tests.trivial import Home, contents

STORES = ("vector", "keyword", "graph")
WRITES = [(f"{when} {store}.write", 0) for store in STORES for when in ("before", "after")]
COMMIT = [("after graph.counts", n) for n in range(1, 11)]
"""The transactions that follow the last store: its counts, the commit, and what is entered after it."""
COLLECTS = [(f"{when} {store}.remove", 0) for store in STORES for when in ("before", "after")]
POINTS = [*WRITES, *COMMIT, *COLLECTS]
"""Every fourth is a kill here, and every one in ``real/test_more_kills.py``."""


def assert_what_is_shown_is_whole(home: Home) -> None:
    """Every publication that the ledger shows has all of its rows in every store, whatever died beside it."""
    p = schema.publications
    with home.ledger.reading() as connection:
        shown = connection.execute(
            select(p.c.publication, p.c.generation_id, p.c.counts).where(p.c.end_seq.is_(None))
        ).all()
    assert len(shown) >= 2
    for number, generation, counts in shown:
        space = IndexSpace("acme", "reports", generation)
        found = {store: getattr(home.stores, store).counts(space, [number]) for store in STORES[:2]}
        found["graph"] = home.stores.graph.counts("acme", "reports", [number])
        assert {store: held.get(number, 0) for store, held in found.items()} == {
            store: counts.get(store, 0) for store in STORES
        }


def test_a_kill_at_any_step_of_a_publication_is_finished_by_the_next_run(tmp_path: Path) -> None:
    check_kills_at(POINTS[::4], tmp_path)


def check_kills_at(points: Sequence[tuple[str, int]], tmp_path: Path) -> None:
    """A run killed at each point in turn, and the next one, over one home: then all is as if none had been killed."""
    home = durable_home(tmp_path / "home")
    for i in range(4):
        home.put(f"{i}.txt", f"line {i} ALPHA\nmore of {i}\n")
    ShapedChain(home, run_id="first").run()
    undisturbed = durable_home(tmp_path / "undisturbed")
    for n, point in enumerate(points):
        home.put("0.txt", f"version {n} BETA\n")
        home.put("extra.txt", f"extra {n} GAMMA\n") if n % 2 else home.put("1.txt", f"other {n} ALPHA\n")
        if n % 4 == 2:
            home.remove("extra.txt")
        killed = started(Order(home.folder, f"run-{n}", die_at=point))
        assert killed.outcome() != "done" and killed.process.exitcode == -signal.SIGKILL, point
        assert_what_is_shown_is_whole(home)
        ShapedChain(home, run_id=f"next-{n}").run()
        shutil.rmtree(undisturbed.folder / "objects")
        shutil.copytree(home.folder / "objects", undisturbed.folder / "objects")
        ShapedChain(undisturbed, run_id=f"undisturbed-{n}").run()
        assert contents(home) == contents(undisturbed), point
        assert untidy(home) == [], point
    undisturbed.ledger.close()
    home.ledger.close()
