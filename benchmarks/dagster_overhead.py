"""What Dagster adds to a run, beside the same steps without it: ``python benchmarks/dagster_overhead.py``.

Baselines are taken in the same process on the same home: the steps called directly for a run that computes nothing,
Dagster's own event log for one that keeps its connections, and time inside stage functions for a run of real reports.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import yaml

from etl_assets import serving
from etl_assets.bindings import open_platform
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.launching import run_partitions
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.settings import Settings

BUNDLED = Path(serving.__file__).parent / "demo" / "objects" / "demo"
REPEATS = 5


@dataclass
class Cost:
    """Of one call, in seconds."""

    cpu_s: float
    wall_s: float


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home_folder=folder)
        platform, keys = prepared(settings)
        first_run(settings, platform, keys)
        no_op(settings, platform, keys[0])


def prepared(settings: Settings) -> tuple[Platform, list[str]]:
    home = settings.home.create()
    for collection in sorted(BUNDLED.iterdir()):
        shutil.copytree(collection, home.objects / "demo" / collection.name)
    platform = open_platform(settings)
    keys = [
        ensure_collection(platform.ledger, "demo", collection.name, shards=1)[0].key
        for collection in sorted(BUNDLED.iterdir())
    ]
    return platform, keys


def first_run(settings: Settings, platform: Platform, keys: list[str]) -> None:
    """The bundled documents from files to published: how much of the wall time is not spent in a stage's function."""
    outcomes = run_partitions(settings, keys, platform=platform)
    wall = sum(one.seconds for one in outcomes)
    inside = sum(step.get("seconds", 0.0) for one in outcomes for step in one.report.values() if isinstance(step, dict))
    documents = sum(one.report["pages"]["computed"] for one in outcomes)
    print(f"first run of {documents} documents in {len(keys)} partitions: {wall:.1f} s")
    print(f"  in stages and stores: {inside:.1f} s")
    print(
        f"  outside of them: {1 - inside / wall:.1%} of the wall time, {(wall - inside) / len(keys):.2f} s a partition"
    )


def no_op(settings: Settings, platform: Platform, key: str) -> None:
    """A run that finds nothing to do, four ways."""

    def steps() -> None:
        with PartitionRun(platform, key, run_id=str(uuid4())) as run:
            all_steps(run)

    def dagster() -> None:
        run_partitions(settings, [key], platform=platform)

    baseline = measured(steps)
    print(f"nothing to do: steps alone {baseline.cpu_s * 1000:.0f} ms CPU, {baseline.wall_s * 1000:.0f} ms")
    pooled = measured(dagster)
    print(f"  through Dagster: {pooled.cpu_s:.2f} CPU-s, {pooled.wall_s:.2f} s")
    config = settings.home.dagster / "dagster.yaml"
    instance = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({name: one for name, one in instance.items() if name != "event_log_storage"}))
    plain = measured(dagster)
    print(f"  with Dagster's own event log: {plain.cpu_s:.2f} CPU-s, {plain.wall_s:.2f} s")
    print(
        f"  ratio of the two: {plain.cpu_s / pooled.cpu_s:.1f} in CPU, {plain.wall_s / pooled.wall_s:.1f} in wall time"
    )


def measured(call: Callable[[], None]) -> Cost:
    """The median of some calls, after one to warm up."""
    call()
    costs = []
    for _ in range(REPEATS):
        cpu, wall = time.process_time(), time.monotonic()
        call()
        costs.append(Cost(time.process_time() - cpu, time.monotonic() - wall))
    return replace(
        costs[0],
        cpu_s=statistics.median(one.cpu_s for one in costs),
        wall_s=statistics.median(one.wall_s for one in costs),
    )


if __name__ == "__main__":
    main()
