"""An ingest while every hosted backend is killed, restarted, frozen, cut off, slowed and refuses at random.

``python benchmarks/servers_come_and_go.py --documents 600 --seed 1``. PostgreSQL, MinIO, Neo4j and Redis are servers of
its own; Pinecone and Jina are the tests' stand-ins. The commands are those that people run; one that fails is given
again, as a schedule does. What it comes to is compared with the same ingest in peace on embedded backends, the
baseline: rows of every stage, rows of every store, quarantine, answers. Exit code 1 when anything differs.

Documents are those of ``ETL_SHARED_DATA`` (default ``../shared/data``), and variations of its texts where they are few.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from etl_assets_tests.real.stormy_ingest import Ingest, Result, hosted, in_peace
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.outages import Storm, outages
from etl_assets_tests.servers.registry import RECIPES

SHARED = Path(os.environ.get("ETL_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
TEXTS = (".txt", ".md")
SUFFIXES = (*TEXTS, ".html", ".pdf", ".json")
LARGEST_BYTES = 300_000
QUESTIONS = [
    "how is a password stored safely", "which groups used phishing against banks", "CVE-2019-19781",
    "what does a hypervisor need", "federation of Prometheus servers",
]  # fmt: skip


def documents() -> Iterator[tuple[str, bytes]]:
    """(name, bytes): the real ones, then variations of the texts for ever."""
    folders = (SHARED / "documents" / "docs", SHARED / "annoctr", SHARED / "demo")
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
    files = [path for path in files if path.stat().st_size < LARGEST_BYTES]
    if not files:
        sys.exit(f"there are no documents below {SHARED}; set ETL_SHARED_DATA")
    for number, path in enumerate(files):
        yield f"{number:04}{path.suffix}", path.read_bytes()
    texts = [path for path in files if path.suffix in TEXTS]
    for round_ in count(1):
        for number, path in enumerate(texts):
            yield f"{round_}-{number:04}{path.suffix}", path.read_bytes() + f"\n\nEdition {round_}.{number}.\n".encode()


def arriving(folder: Path, wanted: int, parts: int) -> list[Path]:
    """Folders that arrive one after the other, with ``wanted`` documents together."""
    folders = [folder / f"part-{part}" for part in range(parts)]
    for part in folders:
        part.mkdir(parents=True)
    for number, (name, content) in zip(range(wanted), documents(), strict=False):
        (folders[number % parts] / name).write_bytes(content)
    return folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--parts", type=int, default=3, help="the documents arrive in so many parts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outages", type=int, default=200, help="at most; they end with the ingest")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two outages, on average")
    parser.add_argument("--longest", type=float, default=15.0, help="seconds that an outage lasts at most")
    parser.add_argument("--embedder", choices=("jina", "minilm", "static"), default="jina")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own
        folders = arriving(folder / "arriving", given.documents, given.parts)
        began = time.perf_counter()
        peaceful = in_peace(folder / "embedded", folders, QUESTIONS, embedder=given.embedder)
        in_peace_s = time.perf_counter() - began
        print(f"{given.documents} documents on embedded backends in peace {in_peace_s:7.1f} s  1.0 x (baseline)")

        def started(name: str) -> Server:
            server = RECIPES[name].start(folder / f"server-{name}")
            stack.callback(server.end)
            return server

        own = {name: started(name) for name in ("postgres", "minio", "redis", "neo4j")}
        proxy = started("toxiproxy").variables["ETL_TEST_TOXIPROXY_URL"]
        env, targets = stack.enter_context(hosted(folder / "hosted", {}, own, proxy, embedder=given.embedder))
        ingest = Ingest(env, attempts=200, limit_s=1800.0)
        planned = outages(given.seed, given.outages, targets, pause_s=given.pause, longest_s=given.longest)
        began = time.perf_counter()
        with Storm(targets, planned) as storm:
            ingest.took_in(folders)
            seconds = time.perf_counter() - began
        print(f"on hosted backends that come and go {seconds:13.1f} s  {seconds / in_peace_s:.1f} x")
        report(storm, ingest)
        ingest.done("sync")
        ingest.done("check")
        found = Result.of(env, QUESTIONS)
        differences = found.differences(peaceful)
        print(f"seed {given.seed}: " + ("equal" if not differences else f"DIFFERENT: {', '.join(differences)}"))
        return 1 if differences else 0


def report(storm: Storm, ingest: Ingest) -> None:
    """What happened, and what commands said of it."""
    kinds = Counter(f"{one.target} {one.kind}" for one in storm.begun)
    away_s = sum(one.lasts_s for one in storm.begun)
    print(f"{len(storm.begun)} outages of {away_s:.0f} s together:", ", ".join(f"{n} {c}" for n, c in kinds.items()))
    failed = [one for one in ingest.tries if one.code]
    print(f"{len(ingest.tries)} commands, {len(failed)} of them to be given again:")
    for words, times in Counter((one.said.strip().splitlines() or ["?"])[-1][:110] for one in failed).items():
        print(f"  {times} x {words}")


if __name__ == "__main__":
    sys.exit(main())
