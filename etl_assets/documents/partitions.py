"""How documents are sliced: one partition per shard of a collection, and the tags by which the queue orders runs."""

import json
import re
from collections.abc import Mapping

import dagster as dg

from etl_assets.asset_keys import (
    COLLECTION_TAG,
    DOCUMENT_SHARDS,
    FORCE_DOCUMENTS_TAG,
    FORCE_STAGES_TAG,
    HELD,
    HELD_TAG,
    INGEST_JOB,
    LET_GO,
    PRIORITY_TAG,
    TENANT_TAG,
)
from etl_assets.documents.anew import Anew
from etl_assets.errors import ConfigError
from etl_assets.ledger.catalogue import parse_partition_key
from etl_assets.ledger.controls import Controls
from etl_assets.ledger.runs import Origin

document_shards = dg.DynamicPartitionsDefinition(name=DOCUMENT_SHARDS)
"""Keys are partition keys of the ledger, such as ``acme.reports.07-of-16``; the arrival sensor adds them."""

PARTITION_TAG = "dagster/partition"
BACKFILL_TAG = "dagster/backfill"
SOURCE_TAGS = ("dagster/sensor_name", "dagster/schedule_name")
_INTEGER = re.compile(r"-?\d{1,9}")
IMPLICIT_JOB = "__ASSET_JOB"
"""The job of runs that people start from assets in the UI."""


def run_tags(partition_key: str) -> dict[str, str]:
    """Tags of a run of one partition: the queue limits runs by tenant, and people filter by both.

    Raises:
        ConfigError: it is no partition key.
    """
    tenant, collection, _, _ = parse_partition_key(partition_key)
    return {TENANT_TAG: tenant, COLLECTION_TAG: collection}


def is_ingestion(run: dg.DagsterRun) -> bool:
    """Whether a run takes in documents of one partition, so that a pause holds for it."""
    try:
        parse_partition_key(run.tags.get(PARTITION_TAG, ""))
    except ConfigError:
        return False
    return run.job_name in (INGEST_JOB, IMPLICIT_JOB)


def control_tags(controls: Controls, partition_key: str, batch: str | None = None) -> dict[str, str]:
    """Tags of a run by what people paused and put first; what nobody decided gives none."""
    tags: dict[str, str] = {}
    if (priority := controls.priority_of(partition_key, batch)) is not None:
        tags[PRIORITY_TAG] = str(priority)
    if controls.pause_of(partition_key, batch) is not None:
        tags[HELD_TAG] = HELD
    return tags


def changed_tags(controls: Controls, run: dg.DagsterRun) -> Mapping[str, str]:
    """What to write over the tags of a queued run, so that it is held back, or let go, and in its place in the queue.

    A priority that a person gave the run alone in the UI stays, where none is set for what the run is in.
    """
    wanted = control_tags(controls, run.tags[PARTITION_TAG], run.tags.get(BACKFILL_TAG))
    if HELD_TAG in run.tags:
        wanted.setdefault(HELD_TAG, LET_GO)
    return {name: value for name, value in wanted.items() if run.tags.get(name) != value}


def follow_controls(instance: dg.DagsterInstance, controls: Controls) -> int:
    """Hold back, let go and order the ingestion runs that wait in the queue; how many of them are held back now.

    Done twice, or by two processes at once, it does nothing more.
    """
    held = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])):
        if is_ingestion(run):
            if changed := changed_tags(controls, run):
                instance.add_run_tags(run.run_id, dict(changed))
            held += {**run.tags, **changed}.get(HELD_TAG) == HELD
    return held


def origin_of(run: dg.DagsterRun) -> Origin:
    """Who asked for a run, by its tags: a sensor, a schedule, a backfill, or a person in the UI."""
    backfill, priority = run.tags.get(BACKFILL_TAG), run.tags.get(PRIORITY_TAG, "")
    named = next((run.tags[name] for name in SOURCE_TAGS if name in run.tags), None)
    source = named or ("backfill" if backfill else "ui")
    return Origin(source[:64], backfill and backfill[:64], int(priority) if _INTEGER.fullmatch(priority) else None)


def anew_of(tags: Mapping[str, str]) -> Anew | None:
    """What a run with these tags computes again, if anything.

    Raises:
        ConfigError: the tags do not say it in their form.
    """
    stages = tags.get(FORCE_STAGES_TAG)
    if stages is None:
        return None
    try:
        patterns = json.loads(tags.get(FORCE_DOCUMENTS_TAG, "[]"))
    except ValueError as e:
        raise ConfigError(f"tag {FORCE_DOCUMENTS_TAG}: a list of globs in JSON") from e
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise ConfigError(f"tag {FORCE_DOCUMENTS_TAG}: a list of globs in JSON")
    return Anew.read([] if stages == "*" else stages.split(","), patterns)


def force_tags(anew: Anew) -> dict[str, str]:
    """The tags that say it; the inverse of ``anew_of``."""
    return {FORCE_STAGES_TAG: ",".join(anew.stages), FORCE_DOCUMENTS_TAG: json.dumps(anew.documents)}
