"""What a backup, a small change after it, its proof and a restore take, beside a plain copy of the home.

    python benchmarks/backup.py [--documents 600] [--embedder static]

Documents are generated. The baseline is ``shutil.copytree`` of the home, synced to the disk, in the same run: no
process may write meanwhile, and a second copy costs as much as the first. The first backup is restored, and answers
before it and after the restore must be the very same; the program stops if they are not.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from etl_assets.backup_bindings import ENDINGS, open_places, open_target, restore_home
from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.backups.backup import BackupReport, make_backup
from etl_assets.documents.backups.check import Verifier
from etl_assets.documents.backups.restore import Point
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.search.query import search
from etl_assets.settings import Settings

PLACE = ("acme", "reports")
WORDS = (
    "bank fraud ferry kraken server mail garden rose factory panda bear river EMOTET TRICKBOT APT28 invoice letter "
    "harbour winter machine password customer branch night signal copper window phishing loader domain"
).split()
QUESTIONS = 40
T = TypeVar("T")


def text_of(number: int, edition: int = 0) -> str:
    """About 3,000 characters of a document's own words."""
    draw = random.Random(number * 1000 + edition)
    lines = [" ".join(draw.choice(WORDS) for _ in range(40)) + "." for _ in range(12)]
    return f"# Report {number}\n\n" + "\n\n".join(lines) + "\n"


def write(settings: Settings, numbers: Sequence[int], edition: int = 0) -> None:
    """Drop documents into the collection."""
    folder = settings.home.objects / "/".join(PLACE)
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:05}.md").write_text(text_of(number, edition))


def sync(settings: Settings) -> None:
    """Bring the collection up to date."""
    platform = open_platform(settings)
    (place,) = ensure_collection(platform.ledger, *PLACE, shards=1)
    with PartitionRun(platform, place.key, run_id="benchmark") as run:
        all_steps(run)
    platform.close()


def answers(settings: Settings) -> list[list[tuple[Any, ...]]]:
    """Hits of generated questions, with their places, quotations and scores."""
    platform = open_platform(settings)
    places = replace(search_places(platform), time_limit_s=30.0)
    draw = random.Random(7)
    found = []
    for _ in range(QUESTIONS):
        answer = search(places, " ".join(draw.sample(WORDS, 3)), tenant=PLACE[0])
        found.append([(h.path, h.version, h.chunk_id, h.start, h.end, h.quote, h.score) for h in answer.hits])
    platform.close()
    return found


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds it takes."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def back_up(settings: Settings, target: Path) -> BackupReport:
    """One backup."""
    with open_places(settings) as places, open_target(settings, str(target)) as place:
        return make_backup(places, place)


def copied(settings: Settings, target: Path) -> None:
    """The baseline."""
    shutil.copytree(settings.home.root, target)
    os.sync()


def verified(settings: Settings, target: Path, scratch: Path) -> list[str]:
    """Problems of the newest backup."""
    scratch.mkdir()
    with open_target(settings, str(target)) as place:
        return Verifier(place, scratch, endings=ENDINGS).check(place.names()[-1]).problems


def measure(folder: Path, documents: int, embedder: str) -> None:
    """Print every figure."""
    settings = Settings(home_folder=str(folder / "home"))
    settings.home.create().collections_file.write_text(f"defaults:\n  embedder: {{kind: {embedder}}}\n")
    write(settings, range(documents))
    _, sync_s = timed(lambda: sync(settings))
    print(
        f"{documents} documents, embedder {embedder}: sync {sync_s:.1f} s, home {size_of(settings.home.root):,} bytes"
    )
    _, copy_s = timed(lambda: copied(settings, folder / "copy"))
    copy_bytes = size_of(folder / "copy")
    full, full_s = timed(lambda: back_up(settings, folder / "kept"))
    full_bytes = size_of(folder / "kept")
    before = answers(settings)
    changed = max(1, documents // 100)
    write(settings, range(changed), edition=1)
    sync(settings)
    more, more_s = timed(lambda: back_up(settings, folder / "kept"))
    more_bytes = size_of(folder / "kept") - full_bytes
    nothing, nothing_s = timed(lambda: back_up(settings, folder / "kept"))
    problems, verify_s = timed(lambda: verified(settings, folder / "kept", folder / "tried"))
    new = replace(settings, home_folder=str(folder / "new"))
    with open_target(new, str(folder / "kept")) as target:
        report, restore_s = timed(lambda: restore_home(new, target, Point(full.backup), replace=False))
    if problems or answers(new) != before or not any(before):
        sys.exit(f"the restored home differs: {problems or 'its answers are others'}")
    for what, seconds, size in (
        ("plain copy of the home (baseline)", copy_s, copy_bytes), ("first backup", full_s, full_bytes),
        (f"backup after {changed} changed", more_s, more_bytes),
        ("backup after nothing changed", nothing_s, nothing.bytes_written),
    ):  # fmt: skip
        print(f"{what:36} {seconds:7.2f} s {seconds / copy_s:6.2f} x   {size:12,} bytes {size / copy_bytes:7.4f} x")
    print(f"{'verify':36} {verify_s:7.2f} s {verify_s / copy_s:6.2f} x")
    print(
        f"{'restore':36} {restore_s:7.2f} s {restore_s / copy_s:6.2f} x   {restore_s / sync_s:.3f} x of the sync; "
        f"{report.documents} documents, {report.recomputed} outputs computed; {QUESTIONS} questions answered the same"
    )
    print(f"pieces written: {full.pieces_written}, then {more.pieces_written}, then {nothing.pieces_written}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--embedder", choices=("static", "minilm"), default="static")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), given.documents, given.embedder)


if __name__ == "__main__":
    main()
