"""What listing and fetching from S3 cost: requests and seconds, beside bare boto3 and beside one at a time.

    python benchmarks/s3_arrivals.py [KEYS] [FETCHES]

Listing runs on MinIO, which is started for it (or is yours, by ETL_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY).
Fetching runs on a stand-in in another process that takes 200 ms for every answer.
"""

import io
import multiprocessing
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from etl_assets.backends.s3_arrivals import S3Arrivals
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_settings import S3Settings
from etl_assets.protocols.objects import ObjectInfo
from etl_assets_tests.backends.scripted_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, ScriptedS3, serving
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import server

ANSWER_S = 0.2
ONE_AT_A_TIME = 25
PACK = 500
KEY = "acme/reports/{:06d}.txt"


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """(seconds, CPU seconds of this process) of one call."""
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - cpu


def fill(bucket: S3Bucket, keys: int) -> None:
    """``keys`` objects from tar archives, which MinIO takes apart itself: sending each would take minutes."""
    for first in range(0, keys, PACK):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for n in range(first, min(first + PACK, keys)):
                entry = tarfile.TarInfo(KEY.format(n))
                entry.size, entry.mtime = 4, 1_700_000_000
                archive.addfile(entry, io.BytesIO(b"text"))
        extract = {"snowball-auto-extract": "true"}
        bucket.request("put_object", "filling", Key="pack.tar", Body=packed.getvalue(), Metadata=extract)


def counting(bucket: S3Bucket) -> list[str]:
    """Gets the name of every request that the bucket makes from now on."""
    made: list[str] = []
    once = bucket.once

    def counted(operation: str, *args: Any, **parameters: Any) -> dict[str, Any]:
        made.append(operation)
        return once(operation, *args, **parameters)

    bucket.once = counted  # type: ignore[method-assign]
    return made


def listing(keys: int) -> None:
    """A whole look at one collection: our listing beside the paginator of boto3 alone."""
    bucket = new_bucket(server("minio"))
    fill(bucket, keys)
    client = bucket._client()

    def bare() -> None:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket.settings.bucket, Prefix="acme/reports/")
        assert sum(len(page.get("Contents", ())) for page in pages) == keys

    def ours() -> None:
        assert sum(isinstance(one, ObjectInfo) for one in S3Arrivals(bucket).list("acme", "reports")) == keys

    bare()
    made = counting(bucket)
    (wall, cpu), (bare_wall, bare_cpu) = timed(ours), timed(bare)
    print(f"listing {keys} keys: {len(made)} requests, {wall:.2f} s, {cpu:.2f} s CPU")
    print(f"  {wall / bare_wall:.2f} x the time and {cpu / bare_cpu:.2f} x the CPU of bare boto3 ({bare_wall:.2f} s)")
    made.clear()
    wall, cpu = timed(S3Arrivals(bucket).collections)
    print(f"finding the collections: {len(made)} requests, {wall:.3f} s")


def serve(to_parent: Connection, keys: int) -> None:
    """The stand-in, until the parent hangs up."""
    store = ScriptedS3()
    for n in range(keys):
        store.write(KEY.format(n), b"text" * 1_000)
    store.faults.append(lambda *_: time.sleep(ANSWER_S))
    with serving(store):
        to_parent.send(store.endpoint)
        to_parent.poll(None)


@contextmanager
def slow_server(keys: int) -> Iterator[S3Settings]:
    """Settings for a store with ``keys`` objects that takes ANSWER_S for every answer."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, keys), daemon=True)
    process.start()
    settings = S3Settings(BUCKET, endpoint_url=here.recv(), access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY)
    try:
        yield settings
    finally:
        here.send("end")
        process.join()


def fetching(fetches: int) -> None:
    """``fetches`` objects by so many threads, beside one at a time."""
    with slow_server(fetches) as settings, tempfile.TemporaryDirectory() as folder:
        store = S3Arrivals(S3Bucket(settings))
        store.fetch(KEY.format(0), Path(folder) / "warm")
        alone, _ = timed(lambda: [store.fetch(KEY.format(n), Path(folder) / f"1-{n}") for n in range(ONE_AT_A_TIME)])
        each = alone / ONE_AT_A_TIME
        print(f"one at a time: {each * 1e3:.0f} ms an object; {fetches} would take {each * fetches:.0f} s")
        for threads in (8, 16, 32, 64):
            store = S3Arrivals(S3Bucket(replace(settings, concurrency=threads)))
            wall, cpu = timed(lambda: fetched(store, threads, fetches, Path(folder)))  # noqa: B023 called at once
            speed = each * fetches / wall
            print(f"{threads:3d} at once: {wall:6.1f} s for {fetches}, {cpu:5.1f} s CPU, {speed:5.1f} x one at a time")


def fetched(store: S3Arrivals, threads: int, fetches: int, folder: Path) -> None:
    """Every object once, by ``threads`` threads."""
    with ThreadPoolExecutor(threads) as pool:
        targets = (folder / f"{threads}-{n}" for n in range(fetches))
        for _ in pool.map(store.fetch, (KEY.format(n) for n in range(fetches)), targets):
            pass


if __name__ == "__main__":
    listing(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    fetching(int(sys.argv[2]) if len(sys.argv) > 2 else 1_000)
