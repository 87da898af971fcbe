"""Index generations under any history: built, promoted, rolled back and collected while files change and runs die.

Searches look at every tick: each answers from one generation alone, shows what the ledger shows, and never nothing.
"""

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from sqlalchemy import select

from etl_assets.documents.generations.promotion import Candidate, swap
from etl_assets.documents.parameters import GenerationRules
from etl_assets.errors import TransientError
from etl_assets.ledger import generations, schema
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.generations import Generation
from etl_assets.ledger.publications import lock_collection
from etl_assets.ledger.snapshots import snapshot
from etl_assets.protocols.indexes import IndexSpace
from etl_assets.protocols.row_digests import row_digest
from etl_assets_tests.faults.chains import ShapedChain, die_holding, quick_home, ticking, untidy
from etl_assets_tests.faults.test_readers import Search
from etl_assets_tests.faulty import Killed
from etl_assets_tests.trivial import Home, contents, vector_of

PATHS = ("a.txt", "b.txt", "c.txt")
LINES = ("one ALPHA", "two BETA", "three", "four GAMMA")
MODELS = ("red", "green", "blue")
KEPT = GenerationRules(promote="manual", missing_share=0.0, keep_previous_days=9)
AT_ONCE = GenerationRules(promote="auto", missing_share=0.0, keep_previous_days=9)
DIGESTS = {model: {row_digest(vector_of(line, model), {"document_type": "text"}) for line in LINES} for model in MODELS}


class GenerationMachine(RuleBasedStateMachine):
    """One home of two shards; ``rules`` say whether runs promote by themselves."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder / f"history-{len(list(folder.iterdir()))}"
        self.home = quick_home(self.folder)
        self.model, self.rules, self.runs = MODELS[0], KEPT, 0
        self.removed: set[str] = set()
        self.shown: frozenset[str] = frozenset()

    @rule(path=st.sampled_from(PATHS), lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=3))
    def put(self, path: str, lines: list[str]) -> None:
        self.home.put(path, "\n".join(lines) + "\n")

    @rule(path=st.sampled_from(PATHS))
    def remove(self, path: str) -> None:
        if (self.home.folder / "objects/acme/reports" / path).exists():
            self.home.remove(path)
            self.removed.add(path)  # until every shard has run well it may be gone, even if it is put again

    @rule(model=st.sampled_from(MODELS), rules=st.sampled_from((KEPT, AT_ONCE)))
    def decide(self, model: str, rules: GenerationRules) -> None:
        self.model, self.rules = model, rules

    @rule(shard=st.integers(0, 1))
    def run(self, shard: int) -> None:
        self._run(shard, 10**9)

    @rule(shard=st.integers(0, 1), die_after=st.integers(1, 60))
    def run_that_is_killed(self, shard: int, die_after: int) -> None:
        self._run(shard, die_after)

    @rule()
    def promote(self) -> None:
        self._swap("building", KEPT)

    @rule()
    def roll_back(self) -> None:
        self._swap("previous", KEPT)

    @rule()
    def collect(self) -> None:
        for one in self._known("previous"):
            with self.home.ledger.writing() as connection:
                lock_collection(connection, one.cid)
                generations.retire(connection, one)
        self.look("collected")

    def teardown(self) -> None:
        """Undisturbed runs, and what nobody needs collected, give what a clean build gives."""
        try:
            self.collect()
            self.model = next((one.embedding_model for one in self._known("live")), self.model)
            for _ in range(3):
                for shard in (0, 1):
                    self._run(shard, 10**9)
                self.collect()
                for one in self._known("building"):
                    with self.home.ledger.writing() as connection:
                        generations.retire(connection, one)
            assert untidy(self.home) == []
            clean = quick_home(self.folder / "clean")
            for path in (self.home.folder / "objects/acme/reports").glob("*"):
                clean.put(path.name, path.read_text())
            for shard in (0, 1):
                ShapedChain(clean, shard=shard, shards=2, model=self.model).run()
            assert contents(self.home) == contents(clean)
        finally:
            self.home.ledger.close()

    def look(self, _what: str) -> None:
        """A search at this moment."""
        for view in snapshot(self.home.ledger, tenant="acme", collection="reports"):
            self.shown = Search(self.home, view, self.shown - self.removed).finish()
            space = IndexSpace(view.tenant, view.collection, view.generation_id)
            rows = [row for row in self.home.stores.vector.rows(space) if view.visible.admits(row.publication)]
            assert {row.digest for row in rows} <= DIGESTS[view.embedding_model], "of one model alone"

    def _run(self, shard: int, die_after: int) -> None:
        left = die_after

        def tick(what: str) -> None:
            nonlocal left
            left -= 1
            self.look(what)
            if left == 0:
                raise Killed(what)

        self.runs += 1
        watched = ticking(self.home, lambda _: None)
        chain = ShapedChain(
            watched, shard=shard, shards=2, model=self.model, rules=self.rules, run_id=f"run-{self.runs}"
        )  # fmt: skip
        lease = chain.take()
        watched.ledger.tick = tick  # type: ignore[attr-defined]
        try:
            chain.steps(lease)
        except Killed:
            die_holding(lease)
        else:
            watched.ledger.tick = lambda _: None  # type: ignore[attr-defined]
            lease.release()

    def _known(self, state: str) -> list[Generation]:
        places = ensure_collection(self.home.ledger, "acme", "reports", shards=2)
        with self.home.ledger.reading() as connection:
            known = generations.generations(connection, places[0].cid).values()
        return [one for one in known if one.state == state]

    def _swap(self, state: str, rules: GenerationRules) -> None:
        for one in self._known(state):
            verdict = swap(self.home.ledger.writing, Candidate(one, ()), rules, None, keep=True)
            assert verdict.passed == (not verdict.unequal.lacking)
            assert [live.generation_id for live in self._known("live")] == [
                one.generation_id if verdict.passed else verdict.live
            ]
            self.look(state)


def check_histories(folder: Path, *, examples: int, steps: int) -> None:
    """As many random histories, each in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = settings(max_examples=examples, stateful_step_count=steps)
    run_state_machine_as_test(partial(GenerationMachine, folder), settings=limits)  # type: ignore[no-untyped-call]


def test_every_search_answers_from_one_generation_whatever_happens(tmp_path: Path) -> None:
    check_histories(tmp_path / "histories", examples=2, steps=14)


def built(home: Home) -> Generation:
    """A home with one live generation, and another that is complete."""
    for i in range(4):
        home.put(f"{i}.txt", f"{LINES[i]}\n")
    ShapedChain(home, model="red", rules=KEPT).run()
    ShapedChain(home, model="green", rules=KEPT).run()
    (place,) = ensure_collection(home.ledger, "acme", "reports", shards=1)
    with home.ledger.reading() as connection:
        return generations.one_of(connection, place.cid, "building")


DIES_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from etl_assets.ledger import generations
from etl_assets.ledger.publications import lock_collection
from etl_assets_tests.ledgers import open_ledger

ledger = open_ledger(Path(sys.argv[1]) / "ledger.sqlite")
with ledger.writing() as connection:
    lock_collection(connection, int(sys.argv[2]))
    generations.promote(connection, int(sys.argv[2]), int(sys.argv[3]), keep=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_the_middle_of_a_promotion_leaves_the_old_generation_answering(tmp_path: Path) -> None:
    home = quick_home(tmp_path / "home")
    one = built(home)
    arguments = [str(home.folder), str(one.cid), str(one.generation_id)]
    died = subprocess.run([sys.executable, "-c", DIES_IN_THE_MIDDLE, *arguments], env=dict(os.environ), check=False)
    assert died.returncode == -signal.SIGKILL
    (view,) = snapshot(home.ledger, tenant="acme", collection="reports")
    assert view.embedding_model == "red" and len(Search(home, view, frozenset()).finish()) == 4
    assert swap(home.ledger.writing, Candidate(one, ()), KEPT, None).passed
    (view,) = snapshot(home.ledger, tenant="acme", collection="reports")
    assert view.embedding_model == "green" and len(Search(home, view, frozenset()).finish()) == 4


def test_a_promotion_and_commits_that_race_leave_both_generations_equal(tmp_path: Path) -> None:
    home = quick_home(tmp_path / "home")
    one = built(home)
    stop = threading.Event()
    swaps: list[bool] = []

    def back_and_forth() -> None:
        while not stop.wait(0.01):  # else it would keep the database to itself
            with home.ledger.reading() as connection:
                known = generations.generations(connection, one.cid)
            other = next(g for g in known.values() if g.state != "live")
            swaps.append(swap(home.ledger.writing, Candidate(other, ()), KEPT, None, keep=True).passed)

    swapper = threading.Thread(target=back_and_forth)
    swapper.start()
    try:
        for n in range(3):
            home.put("0.txt", f"{LINES[n % 4]}\n{LINES[(n + 1) % 4]}\n")
            for _ in range(20):
                try:
                    ShapedChain(home, model="green", rules=KEPT, run_id=f"run-{n}").run()
                    break
                except TransientError:
                    continue
    finally:
        stop.set()
        swapper.join()
    assert any(swaps)
    p = schema.publications
    with home.ledger.reading() as connection:
        rows = connection.execute(select(p.c.generation_id, p.c.path, p.c.version).where(p.c.end_seq.is_(None))).all()
    shown = {number: {(path, version) for n, path, version in rows if n == number} for number in {r[0] for r in rows}}
    assert len(shown) == 2 and len({frozenset(each) for each in shown.values()}) == 1


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_is_held_back_is_weighed_against_the_share_that_is_allowed(tmp_path: Path, share: float) -> None:
    home = quick_home(tmp_path / "home")
    one = built(home)
    q, o, p = schema.quarantine, schema.objects, schema.publications
    with home.ledger.writing() as connection:
        held = connection.execute(select(o).where(o.c.path == "0.txt", o.c.end_seq.is_(None))).one()
        mine = (p.c.generation_id == one.generation_id, p.c.document_id == held.document_id)
        connection.execute(p.delete().where(*mine))
        row = {
            "document_id": held.document_id, "stage": "embeddings", "cid": held.cid, "tenant": "acme",
            "collection": "reports", "path": held.path, "version": held.version, "producer_id": 77,
            "input_digest": "", "reason": "broken", "error_class": "DataError", "message": "", "fingerprint": "",
            "attempts": 1, "first_at": 0.0, "last_at": 0.0,
        }  # fmt: skip
        connection.execute(q.insert(), row)
    rules = GenerationRules(missing_share=share)
    verdict = swap(home.ledger.writing, Candidate(one, {77}), rules, None)
    assert verdict.unequal.held == ["0.txt"] and verdict.passed == (share > 0)
