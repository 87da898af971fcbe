"""Real processes over one home: killed at random moments, stopped beyond their lease, and many at once."""

import os
import random
import signal
from collections import Counter
from pathlib import Path

from etl_assets_tests.faults.chains import ShapedChain, untidy
from etl_assets_tests.faults.processes import (
    BATCH_DOCUMENTS,
    BATCH_TEXTS,
    Order,
    durable_home,
    gated,
    started,
)
from etl_assets_tests.trivial import Home, contents

KILLS = 5


def text_of(i: int, version: int) -> str:
    return f"document {i} ALPHA{'' if version % 2 else ' BETA'}\nversion {version} of {i}\nthe same in all\n"


def computed(home: Home) -> list[tuple[str, str, str]]:
    """(run, stage, what) of everything that any process computed, in order."""
    log = home.folder / "computed.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(run, stage, what) for run, stage, what in (line.split("\t") for line in lines)]


def kill_runs_at_random(home: Home, kills: int, seed: int, *, lance: bool) -> dict[str, str]:
    """The files after ``kills`` killed runs, each begun at once after the one before, and one that was left alone."""
    source = random.Random(seed)
    files: dict[str, str] = {}
    cut_short = 0
    for n in range(kills):
        for i in range(12) if n == 0 else source.sample(range(14), 3):
            files[f"{i}.txt"] = text_of(i, n)
            home.put(f"{i}.txt", files[f"{i}.txt"])
        if n % 4 == 3:
            gone = source.choice(sorted(files))
            home.remove(gone)
            del files[gone]
        worker = started(Order(home.folder, f"run-{n}", lance=lance))
        for _ in range(source.randint(1, 160)):
            said = worker.said()
            assert not said.startswith("failed"), said
            if said in ("", "done"):
                break
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        worker.process.join()
        cut_short += worker.outcome() != "done" and said != "done"
    assert cut_short > kills / 2, "most kills came in the middle of a run"
    assert started(Order(home.folder, "last", lance=lance)).outcome() == "done"
    return files


def assert_equal_to_an_undisturbed_run(home: Home, clean: Home, files: dict[str, str]) -> None:
    for path, text in files.items():
        clean.put(path, text)
    ShapedChain(clean).run()
    assert contents(home) == contents(clean)
    assert untidy(home) == []


def test_kills_lose_nothing_and_repeat_one_batch_each_at_most(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=KILLS)


def check_kills(tmp_path: Path, *, kills: int) -> None:
    """After as many killed runs and a last one, the home is as an undisturbed run leaves one."""
    home = durable_home(tmp_path / "home")
    files = kill_runs_at_random(home, kills, seed=1, lance=False)
    assert_equal_to_an_undisturbed_run(home, durable_home(tmp_path / "clean"), files)
    known: set[tuple[str, str]] = set()
    repeated: Counter[str] = Counter()
    for run, stage, what in computed(home):
        repeated[run] += (stage, what) in known
        known.add((stage, what))
    assert max(repeated.values()) <= max(BATCH_DOCUMENTS, BATCH_TEXTS), repeated


def test_kills_over_the_real_indexes_end_equal_too(tmp_path: Path) -> None:
    check_kills_over_the_real_indexes(tmp_path, kills=2)


def check_kills_over_the_real_indexes(tmp_path: Path, *, kills: int) -> None:
    """After as many killed runs and a last one, the product's indexes hold what an undisturbed run writes."""
    home = durable_home(tmp_path / "home", lance=True)
    files = kill_runs_at_random(home, kills, seed=2, lance=True)
    assert_equal_to_an_undisturbed_run(home, durable_home(tmp_path / "clean", lance=True), files)


def test_a_run_stopped_beyond_its_lease_is_fenced_when_it_wakes(tmp_path: Path) -> None:
    home = durable_home(tmp_path / "home")
    for i in range(6):
        home.put(f"{i}.txt", text_of(i, 0))
    sleeper = started(Order(home.folder, "sleeper", ttl_s=0.4, pause_at="chunks"))
    while sleeper.said() != "chunks":
        pass
    pid = sleeper.process.pid or 0
    os.kill(pid, signal.SIGSTOP)
    try:
        assert started(Order(home.folder, "second", wait_s=60.0)).outcome() == "done"
        shown = contents(home)
        sleeper.line.send("go")
    finally:
        os.kill(pid, signal.SIGCONT)
    outcome = sleeper.outcome()
    assert outcome.startswith("failed: LeaseLost") and "lease of sleeper was taken over" in outcome
    assert contents(home) == shown and len(shown["ledger"]) == 6  # type: ignore[arg-type]
    assert started(Order(home.folder, "third")).outcome() == "done"
    assert untidy(home) == []


def test_who_takes_over_from_a_sleeper_is_not_taken_for_dead_when_the_sleeper_dies(tmp_path: Path) -> None:
    home = durable_home(tmp_path / "home")
    home.put("a.txt", text_of(0, 0))
    sleeper = started(Order(home.folder, "sleeper", ttl_s=0.4, pause_at="chunks"))
    while sleeper.said() != "chunks":
        pass
    pid = sleeper.process.pid or 0
    os.kill(pid, signal.SIGSTOP)
    second = started(Order(home.folder, "second", wait_s=60.0, pause_at="chunks"))
    while second.said() != "chunks":
        pass
    os.kill(pid, signal.SIGKILL)
    sleeper.process.join()
    third = started(Order(home.folder, "third")).outcome()
    assert third.startswith("failed: TransientError") and "being worked on by second" in third
    second.line.send("go")
    assert second.outcome() == "done"


def test_four_processes_on_one_partition_take_turns_and_compute_everything_once(tmp_path: Path) -> None:
    home = durable_home(tmp_path / "home")
    for i in range(10):
        home.put(f"{i}.txt", text_of(i, 0))
    workers = [started(Order(home.folder, f"run-{n}", wait_s=100.0)) for n in range(4)]
    assert [worker.outcome() for worker in workers] == ["done"] * 4
    done = [(stage, what) for _, stage, what in computed(home)]
    assert len(done) == len(set(done))
    assert len(contents(home)["ledger"]) == 10  # type: ignore[arg-type]
    assert untidy(home) == []


def test_four_processes_on_four_partitions_lose_nothing(tmp_path: Path) -> None:
    home = durable_home(tmp_path / "home")
    for i in range(24):
        home.put(f"{i}.txt", text_of(i, 0))
    workers = [started(Order(home.folder, f"run-{n}", shard=n, shards=4)) for n in range(4)]
    assert [worker.outcome() for worker in workers] == ["done"] * 4
    done = [(stage, what) for _, stage, what in computed(home) if stage != "embeddings"]
    assert len(done) == len(set(done)) == 3 * 24
    assert len(contents(home)["ledger"]) == 24  # type: ignore[arg-type]
    assert untidy(home) == []


def test_four_processes_may_open_a_new_ledger_at_the_same_moment(tmp_path: Path) -> None:
    for n in range(2):
        opening = [gated(tmp_path / f"{n}.sqlite") for _ in range(4)]
        for _, gate in opening:
            gate.send("go")
        for process, gate in opening:
            assert gate.poll(100.0)
            assert gate.recv() == ""
            process.join()
