"""Random histories of files, settings, faults and kills: once undisturbed, every store equals a clean build.

A history is drawn from its seed alone. To look at one again: ``pytest -k 'clean_build[7]'``.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from etl_assets.documents.parameters import Publications
from etl_assets.errors import TransientError
from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.database import sequence
from etl_assets.ledger.leases import LeaseLost
from etl_assets.protocols.objects import ObjectAttributes
from etl_assets_tests.faults.chains import (
    ShapedChain,
    die_holding,
    fall_asleep_holding,
    files_written,
    is_no_op,
    ledger_rows,
    quick_home,
    ticking,
    untidy,
)
from etl_assets_tests.faulty import Fault, Faults, FaultyBlobs, FaultyGraph, FaultyRows, Killed
from etl_assets_tests.trivial import Chain, Home, contents

PATHS = ("a.txt", "b.txt", "deep/c.txt", "d.md", "e", "f.txt")
LINES = ("one ALPHA", "two BETA", "three ALPHA GAMMA", "four", "five DELTA", "six ALPHA", "seven")


class Counted:
    """Calls ``act`` at the n-th tick, once."""

    def __init__(self, at: int, act: Callable[[str], None]) -> None:
        self._left, self._act = at, act
        self.where = ""

    def __call__(self, what: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.where = what
            self._act(what)


def _raise(error: BaseException) -> Callable[[str], None]:
    def act(what: str) -> None:
        raise error

    return act


class History:
    """One home, the files and settings it has by now, and everything that was done to it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.home = quick_home(folder / "home")
        self.files: dict[str, tuple[str, dict[str, str]]] = {}
        self.parameters: dict[str, dict[str, Any]] = {}
        self.publications = Publications()
        self.model = "trivial"
        self.shards = self.random.choice((1, 1, 2))
        self.runs = 0
        self.slept = False
        self.done: list[str] = []

    def take_a_step(self) -> None:
        steps = (
            self.put, self.put, self.put, self.put_back, self.remove, self.rename, self.copy, self.tag,
            self.change_parameters, self.change_publications, self.change_model,
            self.run, self.run, self.killed_run, self.killed_run, self.failed_run, self.failed_run,
            self.faulty_run, self.overtaken_run,
        )  # fmt: skip
        self.random.choice(steps)()

    def note(self, what: str) -> None:
        self.done.append(what)

    def text(self) -> str:
        kind = self.random.random()
        if kind < 0.08:
            return ""
        if kind < 0.18:
            return "BROKEN\n"
        if kind < 0.26:
            return "fine\nUNEMBEDDABLE\n"
        return "\n".join(self.random.choices(LINES, k=self.random.randint(1, 5))) + "\n"

    def put(self) -> None:
        self._write(self.random.choice(PATHS), self.text(), {})

    def put_back(self) -> None:
        """A -> B -> A, with or without a run in between."""
        if not self.files:
            return
        path = self.random.choice(list(self.files))
        text, tags = self.files[path]
        self._write(path, self.text(), tags)
        if self.random.random() < 0.5:
            self.run()
        self._write(path, text, tags)

    def remove(self) -> None:
        if self.files:
            path = self.random.choice(list(self.files))
            self.note(f"remove {path}")
            self.home.remove(path)
            del self.files[path]

    def rename(self) -> None:
        if self.files:
            path = self.random.choice(list(self.files))
            text, tags = self.files[path]
            self.remove_path(path)
            self._write(self.random.choice(PATHS), text, tags)

    def remove_path(self, path: str) -> None:
        self.note(f"remove {path}")
        self.home.remove(path)
        del self.files[path]

    def copy(self) -> None:
        if self.files:
            text, tags = self.files[self.random.choice(list(self.files))]
            self._write(self.random.choice(PATHS), text, tags)

    def tag(self) -> None:
        if self.files:
            path = self.random.choice(list(self.files))
            self._write(path, self.files[path][0], {"team": str(self.random.randint(0, 3))})

    def change_parameters(self) -> None:
        stage, values = self.random.choice(
            (("pages", {"mark": self.random.choice(("", "MARK"))}), ("chunks", {"lines": self.random.randint(1, 3)}),
             ("mentions", {"least": self.random.choice((3, 5))}))
        )  # fmt: skip
        self.note(f"parameters {stage} {values}")
        self.parameters = {**self.parameters, stage: values}

    def change_publications(self) -> None:
        flags = [self.random.random() < 0.7 for _ in range(3)]
        self.publications = Publications(*flags)
        self.note(f"{self.publications}")

    def change_model(self) -> None:
        self.model = self.random.choice(("trivial", "better", "best"))
        self.note(f"model {self.model}")

    def run(self) -> None:
        self.note("run")
        for chain in self.chains(self.home):
            chain.run()

    def killed_run(self) -> None:
        self._stopped_run(Killed("on purpose"))

    def failed_run(self) -> None:
        self._stopped_run(TransientError("on purpose"))

    def faulty_run(self) -> None:
        """Stores that refuse, forget, keep half or do not answer."""
        kinds = (Fault.REFUSED, Fault.LOST_REPLY, Fault.LOST_WRITE, Fault.HALF_WRITE)
        faults = Faults.drawn(self.random.randint(0, 10**6), share=0.08, kinds=kinds)
        stores = self.home.stores
        faulty = replace(
            stores,
            vector=FaultyRows(stores.vector, faults),
            keyword=FaultyRows(stores.keyword, faults),
            graph=FaultyGraph(stores.graph, faults),
        )
        lake = FaultyBlobs(self.home.lake.blobs, Faults.drawn(self.random.randint(0, 10**6), share=0.03))
        home = replace(self.home, stores=faulty, lake=type(self.home.lake)(lake))
        for chain in self.chains(home):
            try:
                chain.run()
                self.note("a run with faults ended well")
            except TransientError as error:
                self.note(f"a run with faults: {error}")

    def overtaken_run(self) -> None:
        """A run falls asleep at some moment; another one takes over and ends; the sleeper wakes."""
        lease = None

        def sleep(what: str) -> None:
            self.note(f"asleep {what}")
            fall_asleep_holding(lease)
            self.run()

        tick = Counted(self.random.randint(1, 70), sleep)
        self.slept = True
        sleeper = self.chains(self.home)[0]
        lease = sleeper.take()
        sleeper.home, sleeper.tick = ticking(self.home, tick), tick
        lease._ledger = sleeper.home.ledger
        try:
            sleeper.steps(lease)
            self.note("the sleeper had nothing left to write")
        except LeaseLost:
            self.note("the sleeper was fenced")
        except TransientError as error:
            self.note(f"the sleeper: {error}")
        lease._ledger = self.home.ledger
        lease.release()

    def chains(self, home: Home) -> list[ShapedChain]:
        """One run of each shard; half of the runs come back under a name that was used before."""
        self.runs += self.random.random() < 0.5
        return [
            ShapedChain(
                home, shard=shard, shards=self.shards, run_id=f"run-{self.runs}", model=self.model,
                parameters=self.parameters, publications=self.publications,
            )
            for shard in range(self.shards)
        ]  # fmt: skip

    def settle(self) -> None:
        """Mend or remove what is broken, then run undisturbed, as often as an index generation takes."""
        for path, (text, tags) in list(self.files.items()):
            if "BROKEN" in text or "UNEMBEDDABLE" in text:
                if self.random.random() < 0.5:
                    self._write(path, "mended ALPHA\n", tags)
                else:
                    self.remove_path(path)
        for _ in range(self.shards):  # the last shard promotes a new index generation; the others then tidy up after it
            self.run()
        if self.slept:
            _remove_late_writes(self.home)

    def _stopped_run(self, error: BaseException) -> None:
        tick = Counted(self.random.randint(1, 90), _raise(error))
        for chain in self.chains(ticking(self.home, tick)):
            chain.tick = tick
            lease = None
            try:
                lease = chain.take()
                chain.steps(lease)
            except Killed:
                self.note(f"killed {tick.where}")
                if lease is not None:
                    die_holding(lease)
                return
            except TransientError as failure:
                self.note(f"failed {tick.where}: {failure}")
            if lease is not None:
                lease._ledger = self.home.ledger
                lease.release()

    def _write(self, path: str, text: str, tags: dict[str, str]) -> None:
        self.note(f"put {path} {text!r} {tags}")
        self.files[path] = (text, tags)
        self._write_to(self.home, path)

    def _write_to(self, home: Home, path: str) -> None:
        text, tags = self.files[path]
        part = home.folder / "tmp" / "new"
        part.write_text(text)
        home.arrivals.put(f"acme/reports/{path}", part, attributes=ObjectAttributes(metadata=tags))

    def clean_build(self) -> Home:
        home = quick_home(self.folder / "clean")
        for path in self.files:
            self._write_to(home, path)
        for chain in self.chains(home):
            chain.run()
        return home


def _remove_late_writes(home: Home) -> None:
    """What ``repair`` does after a sleeper wrote to a store under a number that was given up: it never was visible."""
    with home.ledger.reading() as connection:
        p, b = schema.publications, schema.outbox
        known = set(connection.scalars(select(p.c.publication).where(p.c.end_seq.is_(None))))
        known |= set(connection.scalars(select(b.c.publication)))
    for index in (home.stores.vector, home.stores.keyword):
        for space in index.spaces():
            index.remove(space, sorted({row.publication for row in index.rows(space)} - known))
    edges = home.stores.graph.edges("acme", "reports")
    home.stores.graph.remove("acme", "reports", sorted({edge.publication for edge in edges} - known))


@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed: int, tmp_path: Path) -> None:
    history = History(seed, tmp_path)
    try:
        for _ in range(14):
            history.take_a_step()
        history.settle()
        assert contents(history.home) == contents(history.clean_build())
        assert untidy(history.home) == []
        assert quarantine.rows(history.home.ledger) == []
        _assert_nothing_is_left_to_do(history)
    except BaseException:
        print("\n".join(history.done))
        raise


def _assert_nothing_is_left_to_do(history: History) -> None:
    home = history.home
    rows, files = ledger_rows(home), files_written(home)
    with home.ledger.reading() as connection:
        before = sequence(connection)
    for chain in history.chains(home):
        _, reports, report = Chain.run(chain)
        assert is_no_op(reports, report)
    with home.ledger.reading() as connection:
        assert sequence(connection) == before
    assert ledger_rows(home) == rows
    assert files_written(home) == files
