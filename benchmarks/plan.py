"""A plan beside the run that follows it: ``python -m benchmarks.plan [--documents 60] [--many 10000]``.

Real documents (``ETL_SHARED_DATA``, default ``../shared/data``) by the default embedder, every run in a process of its
own, as the command line and the daemon have it: some are run, so that rates are known; then as many as were asked for
are planned and run, after one run and again after two; then three times as many; then another chunking of all. Printed
are planned figures divided by those of the run, which is the baseline: 1.00 is exact, and seconds are to be within 0.70
and 1.30. Then the plan's own time over many small documents of which 1 % changed, divided by the time of the run that
it plans.

``--cpu`` enters and compares CPU seconds in place of those of the clock, which is what an idle machine would show: on
one that is busy with other work the same run takes one time or three.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update

from etl_assets.bindings import open_platform
from etl_assets.documents.model import STAGES
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.planning.plan import plan_collection
from etl_assets.ledger import schema
from etl_assets.ledger.publications import STORES
from etl_assets.settings import Settings
from etl_assets_tests.small_homes import STATIC, SmallHome

DATA = Path(os.environ.get("ETL_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
PARTS = ("owasp-cheatsheets", "cisa-csaf", "debian-handbook", "vendor-reports-text")
MINILM = "defaults:\n  embedder: {kind: minilm}\n  generations: {promote: manual}\n"
PLACE = ("acme", "reports")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=60, help="real documents that are planned first")
    parser.add_argument("--many", type=int, default=10_000, help="small documents, of which 1 % change")
    parser.add_argument("--embedder", default="minilm", help="of the real documents")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, for a machine that is busy with other work")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run is not None:
        print(json.dumps(one_run(Path(given.run), given.cpu)))
        return
    with tempfile.TemporaryDirectory() as folder:
        real_documents(Path(folder) / "real", given, MINILM.replace("minilm", given.embedder))
    if given.many:
        with tempfile.TemporaryDirectory() as folder:
            many_documents(Path(folder) / "many", given.many)


def real_documents(folder: Path, given: argparse.Namespace, collections: str) -> None:
    home = SmallHome.at(folder, {}, collections=collections)
    files = chosen(6 * given.documents)
    parts = [files[0::18], files[1::6], files[2::6], [*files[3::6], *files[4::6], *files[5::6]]]
    enter(home, parts[0])
    apart(home, given.cpu)
    for name, part in zip(("after one run", "after two runs", "three times as many"), parts[1:], strict=True):
        enter(home, part)
        beside(f"{len(part)} new documents, {name}", home, given.cpu)
    home.settings.home.collections_file.write_text(collections + "  chunking: {max_tokens: 120}\n")
    home = SmallHome(home.settings, open_platform(home.settings))
    beside("another chunking", home, given.cpu)


def apart(home: SmallHome, cpu: bool) -> tuple[float, dict[str, Any]]:
    """Seconds and report of a run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.plan", "--run", str(home.settings.home.root), *["--cpu"][: int(cpu)]]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).resolve().parents[1])
    seconds, report = json.loads(done.stdout)
    return seconds, report


def one_run(folder: Path, cpu: bool) -> tuple[float, dict[str, Any]]:
    settings = Settings(home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1)
    home = SmallHome(settings, open_platform(settings))
    run_id = f"run-{time.time_ns()}"
    took: dict[str, float] = {}
    clock = cpu_s if cpu else time.monotonic
    began = clock()
    with PartitionRun(home.platform, home.key, run_id=run_id) as run:
        run.raw_documents()
        took["raw_documents"] = clock() - began
        steps = {step.__name__: step for step in run.stages}
        steps |= {f"{store}_index": partial(run.write_store, store) for store in STORES}
        for name, step in {**steps, "published_documents": run.published_documents}.items():
            before = clock()
            step()
            took[name] = clock() - before
    seconds = clock() - began
    if cpu:
        enter_cpu(home, run_id, took, seconds)
        for name, values in run.report.items():
            values.update({key: took[name] for key in ("elapsed_s", "seconds") if key in values})
    return seconds, run.report


def cpu_s() -> float:
    """Of this process and of those of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def enter_cpu(home: SmallHome, run_id: str, took: Mapping[str, float], seconds: float) -> None:
    """Put the CPU seconds of a run's steps in place of those of the clock, each batch in proportion."""
    run, batch = schema.runs, schema.spend
    with home.platform.ledger.writing() as connection:
        report = dict(connection.scalar(select(run.c.report).where(run.c.run_id == run_id)) or {})
        for name, values in report.items():
            values.update({key: took[name] for key in ("elapsed_s", "seconds") if key in values})
            mine = (batch.c.run_id == run_id, batch.c.stage == name)
            whole = connection.scalar(select(func.sum(batch.c.seconds)).where(*mine))
            if whole:
                connection.execute(update(batch).where(*mine).values(seconds=batch.c.seconds * took[name] / whole))
        values = {"report": report, "started_at": run.c.ended_at - seconds}
        connection.execute(update(run).where(run.c.run_id == run_id).values(**values))


def chosen(count: int) -> list[tuple[str, bytes]]:
    """Name and bytes of real documents: files of several kinds, then reports, which are cut into four."""
    files = sorted(one for part in PARTS for one in (DATA / "documents" / "docs" / part).rglob("*") if one.is_file())
    if not files:
        raise SystemExit(f"{DATA / 'documents'} has no files: set ETL_SHARED_DATA")
    found = [(f"{one.parent.name}-{one.name}", one.read_bytes()) for one in files]
    for one in sorted((DATA / "annoctr").rglob("*.txt")):
        lines = one.read_text().splitlines(keepends=True)
        parts = ["".join(lines[n * len(lines) // 4 : (n + 1) * len(lines) // 4]) for n in range(4)]
        found += [(f"{n}-{one.name}", part.encode()) for n, part in enumerate(parts) if part.strip()]
    step = max(len(found) // count, 1)
    return found[::step][:count]


def enter(home: SmallHome, documents: list[tuple[str, bytes]]) -> None:
    for name, data in documents:
        home.write(name, data)


def beside(name: str, home: SmallHome, cpu: bool) -> None:
    began = time.monotonic()
    plan = plan_collection(home.platform, *PLACE)
    planned_s = time.monotonic() - began
    ran_s, report = apart(home, cpu)
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
    error = f"{plan.seconds:.1f} s, give or take {plan.error_s:.1f} s"
    print(f"  all: seconds {ratio(plan.seconds, ran_s)} ({error}, for {ran_s:.1f})", flush=True)


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
