"""Hosted embedding with 200 ms of latency on every call, beside one document at a time.

``python benchmarks/hosted_embedding.py``. The server is the tests' stand-in of Jina's API on localhost. Also printed:
what the rate budget of all processes and the caches cost a text, and how the estimate of tokens compares with a real
tokenizer.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from etl_assets.backends.cached_models import CachedEmbedder
from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.estimated_tokens import EstimatedTokenizer
from etl_assets.backends.hosted_embedding import Batching
from etl_assets.backends.http_calls import HttpApi
from etl_assets.backends.jina import JinaEmbedder, JinaModel
from etl_assets.backends.onnx_embedder import minilm_model
from etl_assets.backends.rate_budget import FileBudget, Limits
from etl_assets.backends.result_cache import DiskCache, LayeredCache, MemoryCache
from etl_assets_tests.servers.jina_standin import JinaStandIn

SHARED = Path(os.environ.get("ETL_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
MODEL = JinaModel(dimension=384, encoding="base64")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_latency(url: str, documents: int, sample: int) -> None:
    texts = [f"document {number}: " + "some words of a passage " * 30 for number in range(documents)]
    api = HttpApi("stand-in", f"{url}/v1", credential=FixedCredential("test-key", source="test"))
    one = JinaEmbedder(api, MODEL, batching=Batching(texts=1, in_flight=1))
    baseline = seconds(lambda: one.embed_documents(texts[:sample])) / sample
    print(f"one document at a time ({sample} measured)   {1 / baseline:8.1f} documents/s   1.0 x (baseline)")
    for name, batching in (
        ("one a request, 16 in flight", Batching(texts=1, in_flight=16)),
        ("the default: 64 a request, 16 in flight", Batching()),
    ):
        each = seconds(lambda b=batching: JinaEmbedder(api, MODEL, batching=b).embed_documents(texts)) / documents  # type: ignore[misc]
        print(f"{name:41}{1 / each:8.1f} documents/s {baseline / each:5.1f} x")
    with tempfile.TemporaryDirectory() as folder:
        cache = LayeredCache([MemoryCache(), DiskCache(Path(folder) / "cache")])
        cached = CachedEmbedder(JinaEmbedder(api, MODEL), cache, scope="acme")
        first = seconds(lambda: cached.embed_documents(texts)) / documents
        print(f"{'with caches, first time':41}{1 / first:8.1f} documents/s {baseline / first:5.1f} x")
        disk = CachedEmbedder(JinaEmbedder(api, MODEL), DiskCache(Path(folder) / "cache"), scope="acme")
        for name, kept in (("from memory", cached), ("from disk", disk)):
            again = seconds(lambda e=kept: e.embed_documents(texts)) / documents  # type: ignore[misc]
            print(f"{name:41}{1 / again:8.1f} documents/s {baseline / again:5.1f} x")
        budget = FileBudget(Path(folder) / "budget.sqlite", Limits(10**6, 10**12), name="x")
        each = seconds(lambda: [budget.reserve(100, patience_s=1) for _ in range(300)]) / 300
        print(f"a reservation in the budget of all processes: {each * 1e3:.2f} ms")
    api.close()


def measure_tokens(limit_bytes: int) -> None:
    texts = [path.read_text(errors="replace") for path in sorted((SHARED / "documents").rglob("*.md"))[:200]]
    text = "\n".join(texts)[:limit_bytes]
    if not text:
        print(f"tokens: not measured, there is no Markdown below {SHARED / 'documents'} (ETL_SHARED_DATA)")
        return
    estimate = EstimatedTokenizer()
    with tempfile.TemporaryDirectory() as folder:
        real = len(minilm_model(Path(folder)).tokenizer.token_spans(text))
    share = len(estimate.token_spans(text)) / real
    took = seconds(lambda: estimate.token_spans(text))
    print(f"{len(text) / 1e6:.1f} MB of Markdown in tokens: MiniLM's {real} (baseline), estimate {share:.2f} x")
    print(f"the estimate reads {len(text) / 1e6 / took:.1f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=30, help="documents embedded one at a time")
    arguments = parser.parse_args()
    with JinaStandIn(latency_s=0.2) as server:
        measure_latency(server.url, arguments.documents, arguments.sample)
    measure_tokens(1_000_000)


if __name__ == "__main__":
    main()
