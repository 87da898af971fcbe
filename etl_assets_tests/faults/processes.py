"""Runs in processes of their own, forked from a server that has imported everything: to be killed, stopped, raced."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl

from etl_assets.documents.publication.publisher import Stores
from etl_assets.errors import EtlAssetsError
from etl_assets_tests import ledgers, trivial
from etl_assets_tests.faults.chains import ShapedChain, quick_home, ticking
from etl_assets_tests.faults.sqlite_rows import SqliteRows
from etl_assets_tests.lean_stores import lean
from etl_assets_tests.trivial import Home

BATCH_DOCUMENTS = 4
BATCH_TEXTS = 8
AWAIT_S = 120.0
"""How long a test waits for a process before it says that it hangs; never a measure of anything."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["etl_assets_tests.faults.processes"])


def durable_home(folder: Path, *, lance: bool = False) -> Home:
    """A home whose stores are all on disk; ``lance``: the two indexes are the product's own."""
    if lance:
        return Home.open(folder)
    home = quick_home(folder)
    vectors, words = SqliteRows(folder / "vectors.sqlite"), SqliteRows(folder / "words.sqlite")
    return replace(home, stores=Stores(vectors, words, home.stores.graph))  # type: ignore[arg-type]  # no query


@dataclass(frozen=True)
class Order:
    """What a process is to run. ``pause_at``: at its first tick of that name it says so and waits to be told to go.

    ``die_at``: (tick, n): it is killed at the n-th tick after the first one of that name, which itself is the 0th.
    """

    folder: Path
    run_id: str
    shard: int = 0
    shards: int = 1
    ttl_s: float = 20.0
    wait_s: float = 0.0
    lance: bool = False
    pause_at: str = ""
    die_at: tuple[str, int] | None = None


@dataclass
class Worker:
    """A process at work, and the line to it."""

    process: BaseProcess
    line: Connection

    def said(self) -> str:
        """The next thing it says: a tick, ``done``, or ``failed: ...``; "" when it is dead."""
        assert self.line.poll(AWAIT_S), "the process hangs"
        try:
            return str(self.line.recv())
        except EOFError:
            return ""

    def outcome(self) -> str:
        """What it says last."""
        last = ""
        while said := self.said():
            last = said
        self.process.join(AWAIT_S)
        return last


def started(order: Order) -> Worker:
    """A process that begins ``order`` now."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_work, args=(order, theirs), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


class LoggedChain(ShapedChain):
    """Writes to ``computed.log`` of its home what it computes, a line each, as soon as it has."""

    def _log(self, stage: str, what: Sequence[str]) -> None:
        lines = "".join(f"{self.run_id}\t{stage}\t{one}\n" for one in what)
        descriptor = os.open(self.home.folder / "computed.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, lines.encode())
        os.close(descriptor)

    def parse(self, tasks, *inputs):  # type: ignore[no-untyped-def]
        made = super().parse(tasks, *inputs)
        self._log("pages", [f"{task.path} {task.version}" for task in tasks])
        return made

    def cut(self, tasks, pages):  # type: ignore[no-untyped-def]
        made = super().cut(tasks, pages)
        self._log("chunks", [f"{task.path} {task.version}" for task in tasks])
        return made

    def find(self, tasks, pages, chunks):  # type: ignore[no-untyped-def]
        made = super().find(tasks, pages, chunks)
        self._log("mentions", [f"{task.path} {task.version}" for task in tasks])
        return made

    def embed(self, rows: pl.DataFrame, model: str) -> pl.DataFrame:
        made = super().embed(rows, model)
        self._log("embeddings", rows["text"].to_list())
        return made


def use_small_batches() -> None:
    """From here on this process's trivial stages have batches of a few documents."""
    trivial.STAGES = tuple(
        replace(one, batch_documents=BATCH_DOCUMENTS, batch_rows=BATCH_TEXTS) for one in trivial.STAGES
    )  # type: ignore[assignment]
    for stage in trivial.STAGES:
        setattr(trivial, stage.name.upper(), stage)


def _work(order: Order, line: Connection) -> None:
    lean()
    use_small_batches()
    paused = False
    left: int | None = None

    def tick(what: str) -> None:
        nonlocal paused, left
        line.send(what)
        if order.die_at is not None and (left is not None or what == order.die_at[0]):
            left = order.die_at[1] if left is None else left - 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if what == order.pause_at and not paused:
            paused = True
            line.recv()

    home = durable_home(order.folder, lance=order.lance)
    chain = LoggedChain(
        ticking(home, tick), run_id=order.run_id, shard=order.shard, shards=order.shards,
        ttl_s=order.ttl_s, wait_s=order.wait_s, tick=tick,
    )  # fmt: skip
    try:
        lease = chain.take()
        try:
            chain.steps(lease)
        finally:
            lease.release()
    except EtlAssetsError as error:
        line.send(f"failed: {type(error).__name__}: {error}")
    else:
        line.send("done")
    line.close()


def open_ledger(path: Path, gate: Connection) -> None:
    """Open the ledger when told to, and say whether it worked."""
    gate.recv()
    try:
        ledgers.open_ledger(path).close()
    except EtlAssetsError as error:
        gate.send(str(error))
    else:
        gate.send("")


def gated(path: Path) -> tuple[BaseProcess, Connection]:
    """A process that opens a ledger when it is sent something."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=open_ledger, args=(path, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours
