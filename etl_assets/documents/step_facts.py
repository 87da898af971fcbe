"""What a step tells about its partition: counts and digests from the ledger, columns from the stage. Plain values."""

from dataclasses import asdict
from typing import Any

from etl_assets.documents.arrivals.intake import Intake
from etl_assets.documents.consistency.repair import RepairReport
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.publication.index_rows import SOURCES
from etl_assets.documents.publication.publisher import CommitReport, StoreReport
from etl_assets.ledger import contents
from etl_assets.ledger.contents import Contents
from etl_assets.ledger.quarantine import RAW_STAGE
from etl_assets.stages.lake import folder
from etl_assets.stages.report import StageReport
from etl_assets.stages.spec import Stage

Facts = dict[str, Any]

LINES = 20
"""How many lines of each kind stand in the facts of a repair."""


def intake_facts(run: PartitionRun, intake: Intake) -> tuple[Facts, Contents]:
    """What arrived, and what is there now."""
    with run.platform.ledger.reading() as connection:
        now = contents.arrived(connection, run.partition)
        held = contents.held(connection, run.partition, RAW_STAGE)
    place = run.partition
    facts = {
        **_whole(now, held), **_numbers(asdict(intake)), "quarantined": held, "newly_quarantined": intake.quarantined,
        "dagster/uri": f"originals/{place.tenant}/", "owners": ", ".join(run.settings.owners) or "nobody named",
    }  # fmt: skip
    return facts, now


def stage_facts(run: PartitionRun, stage: Stage, report: StageReport) -> tuple[Facts, Contents]:
    """What a stage did, and what it holds now. A stage that the collection does not want holds nothing."""
    with run.platform.ledger.reading() as connection:
        now = contents.made(connection, run.partition, run.work.recipe, stage.name)
        held = contents.held(connection, run.partition, stage.name)
    facts = {
        **_numbers(report.as_json()), **_whole(now, held), "newly_quarantined": report.quarantined,
        "rows_written": report.rows, "dagster/uri": f"lake/{folder(run.partition, stage.name)}",
    }  # fmt: skip
    facts.pop("rows")  # "dagster/row_count" is what there is, "rows_written" what this run wrote
    facts.update({f"reason: {reason}": count for reason, count in sorted(report.reasons.items())})
    return facts, now


def store_facts(run: PartitionRun, report: StoreReport) -> tuple[Facts, Contents]:
    """What a store was given, and what the stages that feed it hold now."""
    place, recipe = run.partition, run.work.recipe
    with run.platform.ledger.reading() as connection:
        now = contents.together([contents.made(connection, place, recipe, stage) for stage in SOURCES[report.store]])
    facts = {
        "written_documents": report.documents, "written_rows": report.rows, "seconds": round(report.seconds, 3),
        "documents": now.documents, "dagster/row_count": now.rows,
        "dagster/uri": f"indexes/{report.store}/{place.tenant}.{place.collection}",
    }  # fmt: skip
    return facts, now


def commit_facts(run: PartitionRun, report: CommitReport) -> tuple[Facts, Contents]:
    """What became visible and what went, and what searches answer from now."""
    with run.platform.ledger.reading() as connection:
        now = contents.published(connection, run.partition)
    counts = _numbers(asdict(report))
    facts = {**counts, "documents": now.documents, "dagster/row_count": now.documents, "sequence": report.sequence}
    if report.notes:
        facts["notes"] = "\n".join(report.notes)
    return facts, now


def repair_facts(report: RepairReport) -> Facts:
    """What a repair found, did and left, each as a number, and the first of each in words."""
    facts: Facts = {
        "republished": report.republished, "removed": report.removed, "embedded": report.embedded,
        "left": len(report.left), "seconds": report.seconds,
    }  # fmt: skip
    for store, kinds in report.found.items():
        facts.update({f"{store}: {kind}": count for kind, count in kinds.items()})
    for name, lines in (("done", report.done), ("still differs", report.left)):
        if lines:
            facts[name] = "\n".join(lines[:LINES])
    return facts


def columns_of(stage: Stage) -> list[tuple[str, str]]:
    """(name, type) of the rows of a stage, ``document_id`` first."""
    return [("document_id", "String"), *((name, str(kind)) for name, kind in stage.columns().items())]


def _whole(now: Contents, held: int) -> Facts:
    return {"documents": now.documents, "dagster/row_count": now.rows, "quarantined": held}


def _numbers(values: dict[str, Any]) -> Facts:
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in numbers.items()}
