"""An ingest with 200 ms of latency on every call of hosted models and vectors, beside one document at a time.

``python benchmarks/hosted_latency.py``. Jina's and Pinecone's APIs are the tests' stand-ins on localhost, each answer
held back; everything else is in a home on this disk. One at a time: each document arrives alone and is taken through
every step to its publication before the next one arrives.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from etl_assets.bindings import open_platform
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.hosted_settings import JinaPlace, PineconePlace
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.settings import Settings
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

COLLECTIONS = "defaults:\n  embedder: {kind: jina, dimension: 384}\n"


def write(settings: Settings, collection: str, number: int) -> None:
    folder = settings.home.objects / "acme" / collection
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(f"Paragraph {part} of document {number} speaks of this and that. " * 12 for part in range(5))
    scratch = settings.home.tmp / "arriving"
    scratch.write_text(text)
    os.replace(scratch, folder / f"{number}.txt")


def ingest(platform: Platform, collection: str, run_id: str) -> dict[str, float]:
    """Seconds of each step of one run."""
    partition = ensure_collection(platform.ledger, "acme", collection, shards=1)[0]
    with PartitionRun(platform, partition.key, run_id=run_id) as run:
        report = all_steps(run)
    return {step: float(values.get("elapsed_s", values.get("seconds", 0.0))) for step, values in report.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=10, help="documents measured one at a time")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds added to every hosted answer")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        JinaStandIn(latency_s=given.latency) as jina,
        PineconeStandIn(latency_s=given.latency) as pinecone,
    ):
        settings = Settings(
            home_folder=str(Path(folder) / "home"), search_time_limit_s=0.1,
            jina=JinaPlace("test-key", f"{jina.url}/v1", requests_per_minute=10**9, tokens_per_minute=10**12),
            pinecone=PineconePlace("test-key", host=pinecone.url),
        )  # fmt: skip
        settings.home.create().collections_file.write_text(COLLECTIONS)
        platform = open_platform(settings)
        write(settings, "one", -1)
        ingest(platform, "one", "warm")
        for part in pinecone.indexes.values():
            part.latency_s = given.latency
        began = time.perf_counter()
        for number in range(given.sample):
            write(settings, "one", number)
            ingest(platform, "one", f"one-{number}")
        each = (time.perf_counter() - began) / given.sample
        for number in range(given.documents):
            write(settings, "many", number + 1_000_000)
        began = time.perf_counter()
        steps = ingest(platform, "many", "many")
        together = (time.perf_counter() - began) / given.documents
        platform.parsers().close()
    print(f"one document at a time ({given.sample} measured) {1 / each:8.2f} documents/s  1.0 x (baseline)")
    print(f"{given.documents} documents together           {1 / together:8.2f} documents/s {each / together:5.1f} x")
    print("seconds by step:", ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items() if seconds))


if __name__ == "__main__":
    main()
