"""A plan beside the run that follows it: ``python -m benchmarks.plan [--documents 120] [--many 10000]``.

First real documents (``ETL_SHARED_DATA``, default ``../shared/data``) by the default embedder: a third of them is run,
so that rates are known, then the rest is planned and run, then another chunking. Printed are planned figures divided
by those of the run, which is the baseline: 1.00 is exact. Then the plan's own time over many small documents of which
1 % changed, divided by the time of the run that it plans.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from etl_assets.documents.collections import Collections
from etl_assets.documents.model import STAGES
from etl_assets.documents.plan import plan_collection
from etl_assets_tests.small_homes import STATIC, SmallHome

DATA = Path(os.environ.get("ETL_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
PARTS = ("owasp-cheatsheets", "cisa-csaf", "debian-handbook", "vendor-reports-text")
MINILM = "defaults:\n  embedder: {kind: minilm}\n  generations: {promote: manual}\n"
PLACE = ("acme", "reports")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=120, help="real documents, of each kind as many")
    parser.add_argument("--many", type=int, default=10_000, help="small documents, of which 1 % change")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        real_documents(Path(folder) / "real", given.documents)
    with tempfile.TemporaryDirectory() as folder:
        many_documents(Path(folder) / "many", given.many)


def real_documents(folder: Path, count: int) -> None:
    home = SmallHome.at(folder, {}, collections=MINILM)
    files = chosen(count)
    enter(home, files[::3])
    home.run("first")
    enter(home, [one for i, one in enumerate(files) if i % 3])
    beside("new documents", home)
    text = MINILM + "  chunking: {max_tokens: 120}\n"
    home.platform = replace(home.platform, collections=Collections.parse(text))
    beside("another chunking", home)


def chosen(count: int) -> list[Path]:
    kinds = [sorted(one for one in (DATA / "documents" / "docs" / part).rglob("*") if one.is_file()) for part in PARTS]
    each = count // len(PARTS)
    return [file for kind in kinds for file in kind[:: max(len(kind) // each, 1)][:each]]


def enter(home: SmallHome, files: list[Path]) -> None:
    target = home.settings.home.objects.joinpath(*PLACE)
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, target / f"{file.parent.name}-{file.name}")


def beside(name: str, home: SmallHome) -> None:
    began = time.monotonic()
    plan = plan_collection(home.platform, *PLACE)
    planned_s = time.monotonic() - began
    began = time.monotonic()
    report = home.run(name)
    ran_s = time.monotonic() - began
    print(f"{name}: planned in {planned_s:.1f} s, run in {ran_s:.1f} s")
    for stage in (one.name for one in STAGES):
        step, ran = plan.stage(stage), report[stage]
        print(
            f"  {stage}: documents {ratio(step.documents, ran['wanted'])}, rows {ratio(step.rows, ran['rows'])}, "
            f"computed {ratio(step.rows_computed, ran['rows_computed'])}, "
            f"seconds {ratio(step.seconds, ran['elapsed_s'])} ({step.seconds:.1f} for {ran['elapsed_s']:.1f})"
        )
    for store in ("vector", "keyword", "graph"):
        step, ran = plan.stage(store), report[f"{store}_index"]
        seconds = f"{ratio(step.seconds, ran['seconds'])} ({step.seconds:.1f} for {ran['seconds']:.1f})"
        print(f"  {store}: rows {ratio(step.rows, ran['rows'])}, seconds {seconds}")
    print(f"  commit: {plan.stage('published_documents').seconds:.1f} s planned")
    print(f"  all: seconds {ratio(plan.seconds, ran_s)}")


def ratio(planned: float, ran: float) -> str:
    return f"{planned / ran:.2f}" if ran else "1.00" if not planned else "inf"


def many_documents(folder: Path, count: int) -> None:
    texts = {f"{n:05}.txt": f"Report {n} of the group that used EMOTET on day {n}." for n in range(count)}
    home = SmallHome.at(folder, texts, collections=STATIC)
    home.run("first")
    for n in range(0, count, 100):
        home.write(f"{n:05}.txt", f"Report {n} was corrected: it was TRICKBOT.")
    began = time.monotonic()
    plan = plan_collection(home.platform, *PLACE)
    planned_s = time.monotonic() - began
    began = time.monotonic()
    report: Mapping[str, Any] = home.run("changed")
    ran_s = time.monotonic() - began
    print(
        f"1 % of {count:,} changed: planned in {planned_s:.2f} s, run in {ran_s:.2f} s, ratio {planned_s / ran_s:.2f}; "
        f"changed {ratio(plan.changed, report['raw_documents']['changed'])}, "
        f"chunks {ratio(plan.chunks, report['chunks']['rows'])}, seconds {ratio(plan.seconds, ran_s)}"
    )


if __name__ == "__main__":
    main()
