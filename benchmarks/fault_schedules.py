"""Random schedules of faults against clean builds, and jobs under random faults against the same jobs in peace.

    python benchmarks/fault_schedules.py [--schedules 200] [--first 0] [--steps 14] [--jobs 1000] [--seed 1]

A schedule changes files and settings, kills runs, lets stores fail, damages what they hold, and repairs; its baseline
is a clean build of the same documents. A job is one new document, of which one in fifty has nothing to read: its run
is tried again, as a daemon would, after failures and kills. Play a schedule that differs again with
``python -m etl_assets_tests.faults.schedule --seed N``.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.errors import EtlAssetsError
from etl_assets.ledger import quarantine
from etl_assets_tests.faults.chains import ticking
from etl_assets_tests.faults.schedule import play
from etl_assets_tests.faults.scheduled_home import KINDS, TICKS, die, faulty
from etl_assets_tests.faulty import Faults, Killed
from etl_assets_tests.small_homes import SmallHome
from etl_assets_tests.trivial import Home

ATTEMPTS = 20
"""How often a job is tried: the daemon goes on for ever, with longer and longer pauses between."""
STORE_SHARE, FILE_SHARE, KILLED_SHARE = 0.05, 0.02, 0.1
UNREADABLE_EVERY = 50


@dataclass
class Jobs:
    """What became of some jobs. ``stuck`` neither completed nor were held with a reason."""

    seconds: float = 0.0
    attempts: Counter[int] = field(default_factory=Counter)
    held: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


def play_schedules(first: int, count: int, steps: int) -> list[int]:
    """The seeds whose home differed from a clean build, or whose searches were wrong."""
    different = []
    started = time.monotonic()
    for number, seed in enumerate(range(first, first + count), 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                play(seed, Path(folder), steps=steps)
            except (AssertionError, EtlAssetsError) as error:
                different.append(seed)
                print(f"seed {seed}: {type(error).__name__}: {str(error)[:600]}", flush=True)
        if number % 20 == 0 or number == count:
            print(f"{number} schedules, {len(different)} different, {time.monotonic() - started:.0f} s", flush=True)
    return different


def run_jobs(folder: Path, count: int, seed: int, *, in_peace: bool) -> Jobs:
    """As many jobs one after another in one home."""
    home, source, jobs = _home(folder), random.Random(seed), Jobs()
    started = time.monotonic()
    for number in range(count):
        path = f"{number:05}.txt"
        words = " ".join(f"word{source.randrange(500)}" for _ in range(30))
        home.write(path, "" if number % UNREADABLE_EVERY == 7 else f"Report {number} of EMOTET.\n\n{words}\n")
        for attempt in range(1, ATTEMPTS + 1):
            if _tried(home, f"job-{number}-{attempt}", None if in_peace else source):
                jobs.attempts[attempt] += 1
                break
    jobs.seconds = time.monotonic() - started
    published, held = home.published(), home.held()
    for number in range(count):
        path = f"{number:05}.txt"
        if path in held:
            jobs.held.append(": ".join((path, *held[path])))
        elif path not in published:
            jobs.stuck.append(path)
    assert all(row.reason for row in quarantine.rows(home.platform.ledger)), "held without a reason"
    home.platform.close()
    return jobs


def _home(folder: Path) -> SmallHome:
    return SmallHome.at(folder, {})


def _tried(home: SmallHome, run_id: str, source: random.Random | None) -> bool:
    """One attempt; whether it ended well."""
    if source is None:
        with PartitionRun(home.platform, home.key, run_id=run_id) as run:
            all_steps(run)
        return True
    platform = faulty(
        home.platform, Faults.drawn(source.randrange(10**6), share=STORE_SHARE, kinds=KINDS),
        files=Faults.drawn(source.randrange(10**6), share=FILE_SHARE),
    )  # fmt: skip
    left = source.randint(1, TICKS) if source.random() < KILLED_SHARE else 10**9

    def tick(what: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed(what)

    watched = cast("Platform", ticking(cast("Home", platform), tick))
    run = PartitionRun(watched, home.key, run_id=run_id, wait_s=10.0)
    failed: EtlAssetsError | None = None
    try:
        all_steps(run)
    except Killed:
        die(run)
        return False
    except EtlAssetsError as error:
        failed = error
    left = 10**9  # kills are for the steps; there is no lease left to hold while a run closes
    run.close(failed)
    return failed is None


def print_jobs(count: int, seed: int) -> None:
    """The jobs in peace, then under faults."""
    with tempfile.TemporaryDirectory() as folder:
        peace = run_jobs(Path(folder) / "peace", count, seed, in_peace=True)
        storm = run_jobs(Path(folder) / "storm", count, seed, in_peace=False)
    readable = count - len(peace.held)
    done = count - len(storm.held) - len(storm.stuck)
    print(f"{count} jobs in peace: {peace.seconds:.0f} s, {len(peace.held)} held with a reason")
    print(f"under faults: {storm.seconds:.0f} s, {storm.seconds / peace.seconds:.2f} times as long")
    print(f"completed without help: {done} of {readable} readable ({done / max(readable, 1):.2%})")
    print(f"held with a reason: {len(storm.held)} ({len(peace.held)} in peace); stuck: {storm.stuck}")
    print(f"attempts: {dict(sorted(storm.attempts.items()))}")


def main() -> None:
    """Print what the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="seed of the first schedule")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1, help="of the jobs")
    chosen = parser.parse_args()
    schedules = chosen.schedules if chosen.schedules or chosen.jobs else 20
    if schedules:
        different = play_schedules(chosen.first, schedules, chosen.steps)
        print(f"{schedules} schedules against clean builds: {len(different)} different {different or ''}")
    if chosen.jobs:
        print_jobs(chosen.jobs, chosen.seed)


if __name__ == "__main__":
    main()
