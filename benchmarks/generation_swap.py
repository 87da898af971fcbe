"""Searches at a steady rate while two index generations swap places, beside the same rate while nothing swaps.

    python benchmarks/generation_swap.py [--documents 200] [--rate 50] [--seconds 10] [--swaps-per-second 2]

The baseline is the same home, asked at the same rate before the first swap. ``mixed`` counts answers whose hits are
of two generations, ``failed`` those that raised or lacked a source.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import select

from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.collections import Collections
from etl_assets.documents.generations import work as generation_work
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.errors import EtlAssetsError
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.protocols.comparison import Judgement
from etl_assets.search.model import SearchPlaces
from etl_assets.search.query import search
from etl_assets.settings import Settings

RULES = "defaults:\n  embedder: {kind: static}\n  generations: {promote: manual}\n"
OTHER = RULES + "  chunking: {mode: fixed, size: 120, overlap: 20}\n"
PLACE = ("acme", "reports")
WORDS = ("bank", "fraud", "ferry", "kraken", "server", "mail", "garden", "rose", "factory", "panda", "bear", "river")


@dataclass
class Asked:
    """What became of the searches of one phase. ``seconds`` are those that answered took."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    generations: set[int] = field(default_factory=set)

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the answers came."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def text_of(number: int) -> str:
    """A document of its own words and shared ones."""
    lines = (
        f"Report {number}: the {WORDS[(number + i) % 12]} of the {WORDS[(number * 7 + i * 5) % 12]} was seen {i} times."
        for i in range(12)
    )
    return "\n\n".join(lines) + "\n"


def home_of_two(folder: Path, documents: int) -> Platform:
    """A home with a live generation and another one that is complete."""
    settings = Settings(home_folder=str(folder), search_time_limit_s=20.0, parser_processes=1)
    settings.home.create().collections_file.write_text(RULES)
    for number in range(documents):
        path = settings.home.objects / "acme/reports" / f"{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(number))
    platform = open_platform(settings)
    for decided in (RULES, OTHER):
        platform = replace(platform, collections=Collections.parse(decided))
        (place,) = ensure_collection(platform.ledger, *PLACE, shards=1)
        with PartitionRun(platform, place.key, run_id="benchmark") as run:
            all_steps(run)
    return platform


def ask_at(places: SearchPlaces, platform: Platform, *, rate: float, seconds: float) -> Asked:
    """Searches begun at a steady rate, whether or not those before have ended."""
    asked, lock = Asked(), threading.Lock()

    def one(number: int) -> None:
        query = f"{WORDS[number % 12]} {WORDS[(number * 5) % 12]} seen"
        began = time.monotonic()
        try:
            answer = search(places, query, tenant="acme", collection="reports", limit=10)
        except EtlAssetsError as e:
            with lock:
                asked.failed.append(str(e))
            return
        took = time.monotonic() - began
        shown = generations_of(platform, [hit.publication for hit in answer.hits])
        with lock:
            asked.seconds.append(took)
            asked.generations |= shown
            asked.mixed += len(shown) > 1
            asked.failed += [one.reason for one in answer.degraded] or ([] if answer.hits else ["no hit"])

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            pool.submit(one, number)
    return asked


def generations_of(platform: Platform, publications: Sequence[int]) -> set[int]:
    """Which generations these publications are of."""
    p = schema.publications
    with platform.ledger.reading() as connection:
        return set(connection.scalars(select(p.c.generation_id).where(p.c.publication.in_(publications))))


def swapping(platform: Platform, every_s: float, stop: threading.Event, swap_s: list[float]) -> Callable[[], None]:
    """Swaps both generations until it is told to stop; seconds of each go to ``swap_s``."""

    def swap() -> None:
        while not stop.wait(every_s):
            began = time.monotonic()
            verdict = generation_work.roll_back(platform, *PLACE)
            swap_s.append(time.monotonic() - began)
            assert verdict.passed, verdict.reasons

    return swap


def main(arguments: Sequence[str] | None = None) -> tuple[Asked, Asked, list[float]]:
    """Both phases, printed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--swaps-per-second", type=float, default=2.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        platform = home_of_two(Path(folder), options.documents)
        assert generation_work.promote(platform, *PLACE, Judgement()).passed
        places = search_places(platform)
        search(places, "bank", tenant="acme", collection="reports")  # loads libraries and the model
        still = ask_at(places, platform, rate=options.rate, seconds=options.seconds)
        stop, swap_s = threading.Event(), list[float]()
        thread = threading.Thread(target=swapping(platform, 1 / options.swaps_per_second, stop, swap_s))
        thread.start()
        moved = ask_at(places, platform, rate=options.rate, seconds=options.seconds)
        stop.set()
        thread.join()
        platform.close()
    print("phase    searches  failed  mixed  generations  median ms  p95 ms")
    for name, asked in (("still", still), ("swapping", moved)):
        print(
            f"{name:8} {len(asked.seconds):8} {len(asked.failed):7} {asked.mixed:6} {len(asked.generations):12}"
            f" {1000 * statistics.median(asked.seconds):10.1f} {1000 * asked.percentile(0.95):7.1f}"
        )
    ratio = statistics.median(moved.seconds) / statistics.median(still.seconds)
    print(f"{len(swap_s)} swaps, median {1000 * statistics.median(swap_s):.1f} ms; median search {ratio:.2f} of still")
    return still, moved, swap_s


if __name__ == "__main__":
    main()
