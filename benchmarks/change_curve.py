"""What a change of one document in a hundred costs, at several sizes, against the first run of the same documents.

    python benchmarks/change_curve.py [--sizes 1000,10000] [--share 0.01]

The baseline of each size is its first run, in the same process; 100,000 documents take long. Work that is proportional
to the change costs as much a document in both, whatever the size; what looks at everything, such as the listing of a
folder, is a share of the first run and is told apart by its step. Bytes are what this process read and wrote.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event

from etl_assets.bindings import open_platform
from etl_assets.documents.model import STAGES
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.publications import STORES
from etl_assets.settings import Settings

PLACE = ("acme", "reports")
WORDS = ("bank", "fraud", "ferry", "kraken", "server", "mail", "garden", "rose", "factory", "panda", "bear", "EMOTET")
LISTS_EVERYTHING = ("raw_documents",)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step of one run took. ``ledger_rows`` were inserted, changed or deleted; bytes are of this process."""

    documents: int
    rows: int
    ledger_rows: int
    bytes_read: int
    bytes_written: int
    seconds: float


class Meter:
    """Counts rows that are written to a ledger, and this process's bytes."""

    def __init__(self, platform: Platform) -> None:
        self.rows = 0
        event.listen(platform.ledger._engine, "after_cursor_execute", self._executed)

    def _executed(self, _connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            self.rows += max(cursor.rowcount, 0)

    def cost(self, act: Callable[[], Any]) -> Cost:
        """What ``act`` takes; it returns a step's report."""
        rows, before, started = self.rows, _bytes(), time.monotonic()
        report = act()
        seconds, after = time.monotonic() - started, _bytes()
        told = {name: getattr(report, name, 0) for name in ("computed", "documents", "published", "added", "changed")}
        documents = max(value for value in told.values() if not isinstance(value, bool))
        written = after["wchar"] - before["wchar"]
        return Cost(
            documents, getattr(report, "rows", 0), self.rows - rows, after["rchar"] - before["rchar"], written, seconds
        )


def _bytes() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def text_of(number: int, version: int) -> str:
    """A small document of its own words; a new version has another last paragraph."""
    source = random.Random(number)
    lines = [f"Report {number}: the {source.choice(WORDS)} of the {source.choice(WORDS)} was seen." for _ in range(4)]
    return "\n\n".join([*lines, f"Version {version} of report {number}."]) + "\n"


def write(folder: Path, numbers: Sequence[int], version: int) -> None:
    """Put these documents there, in folders of a thousand."""
    for number in numbers:
        path = folder / f"{number // 1000:03}" / f"{number:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(number, version))


def run(platform: Platform, meter: Meter, run_id: str) -> dict[str, Cost]:
    """Every step of one run, and what each took."""
    (place,) = ensure_collection(platform.ledger, *PLACE, shards=1)
    with PartitionRun(platform, place.key, run_id=run_id) as one:
        steps: dict[str, Callable[[], Any]] = {
            name: getattr(one, name) for name in ("raw_documents", *(stage.name for stage in STAGES))
        }
        steps |= {f"{store}_index": (lambda store=store: one.write_store(store)) for store in STORES}
        steps["published_documents"] = one.published_documents
        return {name: meter.cost(step) for name, step in steps.items()}


def measure(folder: Path, documents: int, share: float) -> dict[str, dict[str, Cost]]:
    """The first run, one after a change, and one after nothing."""
    settings = Settings(home_folder=str(folder), search_time_limit_s=0.1)
    settings.home.create().collections_file.write_text("defaults:\n  embedder: {kind: static}\n")
    arrivals = settings.home.objects / "/".join(PLACE)
    write(arrivals, range(documents), 1)
    with closing(open_platform(settings)) as platform:
        meter = Meter(platform)
        first = run(platform, meter, "first")
        write(arrivals, random.Random(1).sample(range(documents), max(1, round(documents * share))), 2)
        changed = run(platform, meter, "changed")
        nothing = run(platform, meter, "nothing")
        platform.parsers().close()
    return {"first": first, "changed": changed, "nothing": nothing}


def show(documents: int, runs: Mapping[str, Mapping[str, Cost]]) -> None:
    """One line a step: what the change took, and its share of the first run."""
    print(f"{documents} documents: the change, and its share of the first run (of the seconds of nothing: last column)")
    head = ("documents", "rows", "ledger rows", "MB read", "MB written", "seconds", "nothing s")
    print(f"{'':20}" + "".join(f"{name:>20}" for name in head))
    for step, first in runs["first"].items():
        now, idle = runs["changed"][step], runs["nothing"][step]
        pairs = [(now.documents, first.documents), (now.rows, first.rows), (now.ledger_rows, first.ledger_rows)]
        pairs += [(round(getattr(now, name) / 1e6, 2), getattr(first, name) / 1e6) for name in _BYTES]
        pairs.append((round(now.seconds, 2), first.seconds))
        cells = [f"{value:,} ({value / whole:.1%})" if whole else f"{value:,}" for value, whole in pairs]
        print(f"{step:20}" + "".join(f"{cell:>20}" for cell in cells) + f"{idle.seconds:>20.2f}")


_BYTES = ("bytes_read", "bytes_written")


def show_curve(found: Mapping[int, Mapping[str, Mapping[str, Cost]]], share: float) -> None:
    """Milliseconds a document of the change, beside those of the first run, by size."""
    print("the curve: ms a document without the listing, and of the listing alone")
    for documents, runs in found.items():
        changed = max(1, round(documents * share))
        whole, part = (
            sum(cost.seconds for step, cost in runs[name].items() if step not in LISTS_EVERYTHING)
            for name in ("first", "changed")
        )
        listing = sum(runs["changed"][step].seconds for step in LISTS_EVERYTHING)
        print(
            f"{documents:>8}: first {1e3 * whole / documents:.2f}, changed {1e3 * part / changed:.2f} "
            f"({(part / changed) / (whole / documents):.2f} of the first); listing {1e3 * listing / documents:.3f}; "
            f"the change took {part / whole:.1%} of the first run's seconds"
        )


def main() -> None:
    """Print what the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--share", type=float, default=0.01)
    chosen = parser.parse_args()
    found = {}
    for documents in (int(size) for size in chosen.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found[documents] = measure(Path(folder) / "home", documents, chosen.share)
        show(documents, found[documents])
    show_curve(found, chosen.share)


if __name__ == "__main__":
    main()
