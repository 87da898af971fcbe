"""An ingest with 200 ms of latency on every hosted call, beside one document at a time.

``python benchmarks/hosted_latency.py``. PostgreSQL, MinIO, Neo4j and Redis are servers of its own behind Toxiproxy,
which holds every answer back; so do the stand-ins of Pinecone and Jina. ``--on pinecone,jina,minio`` delays only these.

One at a time: each document arrives alone and is taken through every step to its publication before the next one
arrives. What a run costs that finds nothing to do (leases, listing, asking the ledger) is measured as well: the second
ratio is without it, since it falls on a run and not on a document.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets_tests.real.hosted_homes import opened
from etl_assets_tests.real.stormy_ingest import hosted
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.outages import Target
from etl_assets_tests.servers.registry import RECIPES

TARGETS = ("postgres", "minio", "redis", "neo4j", "pinecone", "jina")


def put(platform: Platform, collection: str, numbers: range) -> None:
    """Documents arrive, from elsewhere and at no cost of ours."""
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            text = "\n\n".join(f"Paragraph {part} of document {number} speaks of this. " * 16 for part in range(5))
            file = Path(folder) / f"{number}.txt"
            file.write_text(text)
            platform.arrivals.put(f"acme/{collection}/{file.name}", file)


def ingest(platform: Platform, collection: str, run_id: str) -> tuple[float, Counter[str]]:
    """Seconds of one run, and of its steps."""
    partition = ensure_collection(platform.ledger, "acme", collection, shards=1)[0]
    began = time.perf_counter()
    with PartitionRun(platform, partition.key, run_id=run_id) as run:
        report = all_steps(run)
    steps = {step: float(values.get("elapsed_s", values.get("seconds", 0.0))) for step, values in report.items()}
    return time.perf_counter() - began, Counter(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=5, help="documents measured one at a time")
    parser.add_argument("--latency", type=int, default=200, help="milliseconds added to every hosted answer")
    parser.add_argument("--on", default=",".join(TARGETS), help="what answers late")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own

        def started(name: str) -> Server:
            server = RECIPES[name].start(folder / f"server-{name}")
            stack.callback(server.end)
            return server

        own = {name: started(name) for name in ("postgres", "minio", "redis", "neo4j")}
        proxy = started("toxiproxy").variables["ETL_TEST_TOXIPROXY_URL"]
        env, targets = stack.enter_context(hosted(folder / "home", {}, own, proxy, embedder="jina"))
        platform = stack.enter_context(opened({**env, "ETL_SEARCH_TIME_LIMIT_S": "0.1"}))
        stack.callback(platform.parsers().close)
        for collection, numbers in (("one", range(-1, 0)), ("many", range(-2, -1))):  # what is made once for all
            put(platform, collection, numbers)
            ingest(platform, collection, f"first of {collection}")
        put(platform, "many", range(1_000_000, 1_000_000 + given.documents))
        measure(platform, {name: targets[name] for name in given.on.split(",")}, given)


def measure(platform: Platform, targets: Mapping[str, Target], given: argparse.Namespace) -> None:
    """Print what was measured with these targets delayed."""
    singles = 0.0
    for number in range(given.sample):
        put(platform, "one", range(number, number + 1))
        for target in targets.values() if number == 0 else ():
            target.delay(given.latency)
        singles += ingest(platform, "one", f"one-{number}")[0]
    idle = ingest(platform, "one", "nothing to do")[0]
    each = singles / given.sample
    whole, steps = ingest(platform, "many", "many")
    together = whole / given.documents
    print(f"{given.latency} ms on every answer of {', '.join(targets)}")
    print(f"one document at a time ({given.sample} measured) {each:8.2f} s each  1.0 x (baseline)")
    print(f"{given.documents} documents together           {together:8.2f} s each {each / together:5.1f} x")
    bare = (each - idle) / ((whole - idle) / given.documents)
    print(f"without the {idle:.1f} s of a run that finds nothing to do on either side: {bare:5.1f} x")
    print("seconds by step:", ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items() if seconds))


if __name__ == "__main__":
    main()
