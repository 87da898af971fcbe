"""Events of real objects through a real queue: whatever comes of them, the end is what the bucket holds."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from sqlalchemy import select

from etl_assets.backends.s3_arrivals import S3Arrivals
from etl_assets.backends.sqs_events import SqsEvents, queue_client
from etl_assets.documents.arrivals.event_watch import STRANGE, watch_events
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets_tests.documents.arrivals.test_event_watch import Runs
from etl_assets_tests.real.s3_buckets import new_bucket, write
from etl_assets_tests.servers.fixtures import Variables, server
from etl_assets_tests.small_homes import SmallHome

ORDERS = 4


def test_events_in_any_order_end_as_the_bucket_does(elasticmq: Variables, tmp_path: Path) -> None:
    client, url = _queue(elasticmq, "arrivals")
    home, runs = SmallHome.at(tmp_path / "home", {}), Runs()
    bucket = new_bucket(server("minio"), prefix="in")
    platform = replace(home.platform, arrivals=S3Arrivals(bucket))
    events = SqsEvents(client, url, bucket=bucket.settings.bucket, prefix="in/")
    draw, wanted, told = random.Random(4), dict[str, int](), list[str]()
    for order in range(ORDERS):
        for path in ("a b.txt", "ü.txt", "c.txt"):
            key = f"acme/reports/{order}/{path}"
            write(bucket, f"in/{key}", b"x" * (order + 1))
            wanted[f"{order}/{path}"] = order + 1
            told += [key, key]
        gone = f"{order}/c.txt"
        bucket.request("delete_object", "removing", Key=f"in/acme/reports/{gone}")
        del wanted[gone]
        draw.shuffle(told)
        for key in told:
            client.send_message(QueueUrl=url, MessageBody=_notice(bucket.settings.bucket, f"in/{key}"))
        client.send_message(QueueUrl=url, MessageBody="no event")
        found = watch_events(platform, runs, events)
        assert not [problem for problem in found.problems if "no event" not in problem], found.problems
        assert (found.messages, found.strange, len(found.requests)) == (len(told) + 1, 1, 1)
        told = [f"acme/reports/{path}" for path in wanted]  # old ones come once more in the next order
        for request in found.requests:
            with PartitionRun(platform, request.partition, run_id=f"run-{order}") as run:
                run.raw_documents(only_touched=True)
            runs.known[request.run_key] = True
    o = schema.objects
    with platform.ledger.reading() as connection:
        present = dict(connection.execute(select(o.c.path, o.c.size_bytes).where(o.c.end_seq.is_(None))).all())
        versions = connection.execute(select(o.c.path)).all()
    assert present == wanted and len(versions) == len(wanted), "nothing missed, nothing twice"
    assert not watch_events(platform, runs, events).messages
    assert {reason for _, reason in home.held().values()} == {STRANGE}


def test_a_queue_that_is_not_there_is_named(elasticmq: Variables) -> None:
    client, url = _queue(elasticmq, "other")
    client.delete_queue(QueueUrl=url)
    with pytest.raises(ConfigError, match="no such queue"):
        SqsEvents(client, url, bucket="b").receive()


def _queue(variables: Variables, name: str) -> tuple[Any, str]:
    url = f"{variables['ETL_TEST_SQS_ENDPOINT']}/000000000000/{name}-{os.getpid()}"
    client = queue_client(url, access_key_id="x", secret_access_key="x")
    return client, str(client.create_queue(QueueName=url.rpartition("/")[2])["QueueUrl"])


def _notice(bucket: str, key: str) -> str:
    inside = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "sequencer": "0"}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": inside}]})
