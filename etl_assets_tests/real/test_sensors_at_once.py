"""Two sensor processes on one ledger in PostgreSQL: whatever they see at the same moment is asked for once."""

import multiprocessing
import random
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.documents.arrivals.watch import watch
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.ledger import schema
from etl_assets.ledger.publications import STORES
from etl_assets_tests.documents.arrivals.test_event_watch import Runs
from etl_assets_tests.ledgers import open_ledger
from etl_assets_tests.small_homes import STATIC, SmallHome

ROUNDS = 3
COLLECTIONS = STATIC + "  shards: 4\n"


def opened(folder: Path) -> SmallHome:
    """The home of the test, on the ledger in PostgreSQL, listed in small pages."""
    home = SmallHome.at(folder / "home", {}, collections=COLLECTIONS)
    objects = LocalArrivals(home.settings.home.objects, scratch=home.settings.home.tmp, page_files=7)
    home.platform = replace(home.platform, ledger=open_ledger(folder / "ledger.sqlite"), arrivals=objects)
    return home


def sense(line: Connection, folder: Path) -> None:
    """Ticks of one sensor: gets what the runs came to, looks a few pages far, and tells what it asks for."""
    home = opened(folder)
    resume = ""
    line.send("ready")
    while (order := line.recv()) is not None:
        known, pages = order
        runs = Runs()
        runs.known = known
        wanted = watch(home.platform, runs, resume=resume, pages=pages)
        resume = wanted.resume
        line.send((wanted.problems, [(one.partition, one.run_key) for one in wanted.requests], resume))
    home.platform.ledger.close()


@pytest.mark.parametrize("ledger_server", ["direct"], indirect=True)
@pytest.mark.usefixtures("ledgers_on_postgresql")
def test_two_sensors_at_once_ask_for_each_change_once(tmp_path: Path) -> None:
    home, draw, runs = opened(tmp_path), random.Random(5), Runs()
    lines = [_started(tmp_path) for _ in range(2)]
    wanted: dict[str, int] = {}
    changes = 0
    for number in range(ROUNDS):
        changes += _change(home, draw, wanted, number)
        finished, looks = False, 0
        while not finished:
            looks += 1
            assert looks < 50, f"they ask again and again: {runs.known}"
            asked = _tick(lines, runs, pages=draw.choice((2, 100)))
            finished = not asked and _tick_whole(lines, runs) == []
            _work(home.platform, draw, runs)
    assert _present(home.platform) == wanted
    versions = _versions(home.platform)
    assert len(versions) == len(set(versions)) == changes, "every change was taken in once"
    for process, line in lines:
        line.send(None)
        process.join()
        assert process.exitcode == 0


def _started(folder: Path) -> tuple[Any, Connection]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=sense, args=(there, folder))
    process.start()
    assert here.poll(120.0) and here.recv() == "ready"
    return process, here


def _tick(lines: list[tuple[Any, Connection]], runs: Runs, *, pages: int) -> list[str]:
    """Both at the same time; the run keys that they ask for, which become runs that go on."""
    for _, line in lines:
        line.send((dict(runs.known), pages))
    asked = []
    for _, line in lines:
        assert line.poll(120.0), "a sensor does not answer"
        problems, requests, _ = line.recv()
        assert not problems, problems
        asked += requests
    partitions = [partition for partition, _ in asked]
    assert len(partitions) == len(set(partitions)), asked
    for _, key in asked:
        assert key not in runs.known
        runs.known[key] = None
    return [key for _, key in asked]


def _tick_whole(lines: list[tuple[Any, Connection]], runs: Runs) -> list[str]:
    """Until both have seen everything since now: one may have been in the middle of a pass."""
    return [key for _ in range(2) for key in _tick(lines, runs, pages=100)]


def _work(platform: Platform, draw: random.Random, runs: Runs) -> None:
    for key, ended in runs.known.items():
        if ended is None:
            with PartitionRun(platform, key.split(":")[0], run_id=key[-60:]) as run:
                run.raw_documents(only_touched=draw.random() < 0.5)
                for step in run.stages:
                    step()
                for store in STORES:
                    run.write_store(store)
                run.published_documents()
            runs.known[key] = True


def _change(home: SmallHome, draw: random.Random, wanted: dict[str, int], number: int) -> int:
    """Adds, overwrites and removes; how many versions are new."""
    for n in range(8):
        path = f"{draw.randint(0, 3)}/{draw.randint(0, 9)}"
        if path in wanted and draw.random() < 0.4:
            home.remove(path)
            del wanted[path]
        else:
            wanted[path] = 100 * number + n + 1
            home.write(path, "x" * wanted[path])
    return sum(1 for size in wanted.values() if size > 100 * number)


def _present(platform: Platform) -> dict[str, int]:
    o = schema.objects
    with platform.ledger.reading() as connection:
        return dict(connection.execute(select(o.c.path, o.c.size_bytes).where(o.c.end_seq.is_(None))).all())


def _versions(platform: Platform) -> list[tuple[str, int]]:
    o = schema.objects
    with platform.ledger.reading() as connection:
        return [(row[0], row[1]) for row in connection.execute(select(o.c.path, o.c.size_bytes))]
