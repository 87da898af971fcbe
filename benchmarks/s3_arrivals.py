"""What the arrival sensor and fetching from S3 cost, beside the listing alone and beside one fetch at a time.

    python benchmarks/s3_arrivals.py [KEYS] [FETCHES]

Ticks of the sensor are without Dagster, on a ledger in SQLite, over MinIO, which is started for it (or is yours, by
ETL_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY), and over a folder. Without FETCHES nothing is fetched.
Fetching runs on a stand-in in another process that takes 200 ms for every answer.
"""

import gc
import io
import multiprocessing
import os
import re
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.backends.s3_arrivals import S3Arrivals
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_settings import S3Settings
from etl_assets.documents.arrivals.watch import Wanted, watch
from etl_assets.documents.model import slot_of
from etl_assets.documents.pending import reader, recipe_digest
from etl_assets.ledger import objects, schema, settled, touched
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.objects import ArrivedObject
from etl_assets.ledger.touched import Touched
from etl_assets.protocols.objects import Arrivals
from etl_assets_tests.backends.scripted_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, ScriptedS3, serving
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import server
from etl_assets_tests.small_homes import STATIC, SmallHome

ANSWER_S = 0.2
ONE_AT_A_TIME = 25
PACK = 500
SHARDS = 16
COLLECTIONS = f"{STATIC}  shards: {SHARDS}\n"
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


class Sensing:
    """One installation in a folder, and what its sensor is asked; every tick runs in a process of its own."""

    def __init__(self, folder: Path, settings: S3Settings | None) -> None:
        self._folder = folder
        self._settings = settings

    def store(self) -> tuple[Arrivals, list[str]]:
        """The store, and the requests that it makes from now on."""
        if self._settings is None:
            return LocalArrivals(self._folder / "objects", scratch=self._folder / "tmp"), []
        bucket = S3Bucket(self._settings)
        return S3Arrivals(bucket), counting(bucket)

    def bare(self) -> str:
        """Only the listing: boto3's own requests, or the walk of the folder."""
        if self._settings is None:
            names = self._folder / "objects" / "acme" / "reports"
            return measured(lambda: sum(1 for _ in scanned(str(names))), [])
        bucket = S3Bucket(self._settings)
        client, requests = bucket._client(), list[str]()
        client.meta.events.register("before-call.s3", lambda **_: requests.append(""))
        asked = {"Bucket": self._settings.bucket, "Prefix": "acme/reports/"}
        client.list_objects_v2(**asked, MaxKeys=1)  # it connects

        def listed() -> None:
            requests.clear()
            for page in client.get_paginator("list_objects_v2").paginate(**asked):
                assert "IsTruncated" in page

        return measured(listed, requests)

    def tick(self, wanted: int) -> str:
        """A round of ticks, which must find ``wanted`` keys for runs to look at; the platform is open and connected."""
        store, requests = self.store()
        platform = replace(SmallHome.at(self._folder / "home", {}, collections=COLLECTIONS).platform, arrivals=store)
        store.look("acme/reports/none")
        recipe_digest(reader(platform, ensure_collection(platform.ledger, "acme", "reports", shards=SHARDS)[0]))
        requests.clear()
        found: list[Wanted] = []

        def one_round() -> None:
            # More than one tick where the machine is too busy for all keys in 30 s.
            while not found or found[-1].resume:
                found.append(watch(platform, Ended(), resume=found[-1].resume if found else ""))

        line = measured(one_round, requests)
        assert not any(one.problems for one in found), found
        with platform.ledger.reading() as connection:
            keys = sum(one.count for one in touched.waiting(connection).values())
        assert keys == wanted, (keys, wanted)
        return f"{line}; ticks: {len(found)}; keys to look at: {keys:,}, partitions: {len(found[-1].requests)}"

    def taken_in(self) -> str:
        """Enter what waits, as runs would have that read the objects: reading them is not what is measured here."""
        store, _ = self.store()
        platform = replace(SmallHome.at(self._folder / "home", {}, collections=COLLECTIONS).platform, arrivals=store)
        places = ensure_collection(platform.ledger, "acme", "reports", shards=SHARDS)
        recipe = recipe_digest(reader(platform, places[0]))
        for place in places:
            with platform.ledger.writing() as connection:
                rows = touched.touched(connection, place.key)
                objects.record_removals(connection, place, [one.document_id for one in rows if not one.fingerprint])
                objects.record_arrivals(connection, place, [arrived(one) for one in rows if one.fingerprint])
                touched.untouch_until(connection, place.key, max((one.stamp for one in rows), default=0))
                settled.settle(connection, place.key, recipe)
                connection.execute(schema.partitions.update().values(dirty=0))
        return ""


class Ended:
    """Runs that have all ended well."""

    def outcome(self, run_key: str) -> bool:
        return True

    def busy(self) -> frozenset[str]:
        return frozenset()


def arrived(one: Touched) -> ArrivedObject:
    return ArrivedObject(one.document_id, slot_of(one.document_id), one.path, "0" * 64, "0", 4, one.fingerprint)


def scanned(folder: str) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from scanned(entry.path)
            else:
                yield entry.stat()


def measured(call: Callable[[], object], requests: list[str]) -> str:
    """What a call costs in this process; memory is the peak above what the process had before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = memory_mb("VmRSS")
    wall, cpu = timed(call)
    return f"{len(requests):5d} requests, {wall:6.2f} s, {cpu:6.2f} s CPU, {memory_mb('VmHWM') - before:6.1f} MB"


def memory_mb(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def in_process(call: Callable[..., str], *arguments: int) -> str:
    """``call`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


def ticks(keys: int) -> None:
    """The sensor's first tick over ``keys`` keys, an idle one, and one after a hundredth of them changed."""
    with tempfile.TemporaryDirectory() as folder:
        bucket = new_bucket(server("minio"))
        fill(bucket, keys)
        show_ticks(f"MinIO, {keys:,} keys", Sensing(Path(folder) / "s3", bucket.settings), keys, S3Churn(bucket))
        local = Path(folder) / "local" / "objects"
        for n in range(keys):
            path = local / KEY.format(n)
            if n % 1000 == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"text")
        show_ticks(f"folder, {keys:,} files", Sensing(local.parent, None), keys, FolderChurn(local))


def show_ticks(where: str, sensing: Sensing, keys: int, churn: "Churn") -> None:
    """Each line beside the listing alone, of the same store in the same minute."""
    print(where)
    print(f"  first tick:   {in_process(sensing.tick, keys)}")
    in_process(sensing.taken_in)
    for _ in range(2):
        print(f"  listing only: {in_process(sensing.bare)}")
        print(f"  idle tick:    {in_process(sensing.tick, 0)}")
    changed = churn.change(keys, keys // 400)
    print(f"  1 % changed:  {in_process(sensing.tick, changed)}")


class Churn:
    """Changes of a store; ``change`` adds, overwrites, removes and renames ``each`` keys, and counts the keys."""

    def write(self, key: str) -> None: ...

    def remove(self, key: str) -> None: ...

    def rename(self, key: str) -> None: ...

    def change(self, keys: int, each: int) -> int:
        step = keys // (3 * each)
        there = [KEY.format(n) for n in range(0, 3 * each * step, step)]
        with ThreadPoolExecutor(8) as pool:
            [*pool.map(self.write, [*(f"{key}-new" for key in there[:each]), *there[:each]])]
            [*pool.map(self.remove, there[each : 2 * each])]
            [*pool.map(self.rename, there[2 * each :])]
        return 5 * each


class S3Churn(Churn):
    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    def write(self, key: str) -> None:
        self._bucket.request("put_object", "writing", Key=key, Body=b"other text")

    def remove(self, key: str) -> None:
        self._bucket.request("delete_object", "removing", Key=key)

    def rename(self, key: str) -> None:
        source = {"Bucket": self._bucket.settings.bucket, "Key": key}
        self._bucket.request("copy_object", "renaming", Key=f"{key}-renamed", CopySource=source)
        self.remove(key)


class FolderChurn(Churn):
    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, key: str) -> None:
        (self._root / key).write_bytes(b"other text")

    def remove(self, key: str) -> None:
        (self._root / key).unlink()

    def rename(self, key: str) -> None:
        (self._root / key).rename(self._root / f"{key}-renamed")


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
    ticks(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    if len(sys.argv) > 2:
        fetching(int(sys.argv[2]))
