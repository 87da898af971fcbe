"""Which outputs of a partition have passed which check, and the striking out of those that did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from etl_assets.errors import DataError
from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import Recipe, batches, joined_chain

CHECK_FAILED = "check-failed"
"""The reason under which a document is held whose rows broke a check."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of one document at one stage are; ``segment_id`` is ``None`` when it has none."""

    output_id: int
    segment_id: int | None
    row_count: int


@dataclass(frozen=True, slots=True)
class Made:
    """One document's finished output, with the outputs that it was made from. ``rows`` is by stage."""

    document_id: str
    path: str
    version: str
    rows: Mapping[str, Rows]


def mark(connection: Connection, partition: Partition, check: str) -> int:
    """Outputs of the partition up to this number have passed the check; 0 before the first."""
    table = schema.check_marks
    query = select(table.c.output_id).where(table.c.partition == partition.key, table.c.check_name == check)
    return int(connection.scalar(query) or 0)


def set_mark(connection: Connection, partition: Partition, check: str, output_id: int) -> None:
    """Note that outputs up to ``output_id`` have passed."""
    table = schema.check_marks
    where = (table.c.partition == partition.key, table.c.check_name == check)
    if connection.execute(update(table).where(*where).values(output_id=output_id)).rowcount == 0:
        connection.execute(insert(table), {"partition": partition.key, "check_name": check, "output_id": output_id})


def made(connection: Connection, partition: Partition, recipe: Recipe, stage: str, *, after: int) -> list[Made]:
    """Finished outputs at ``stage`` numbered above ``after``, by number: each with what it was made from."""
    source, aliases = joined_chain(recipe, (stage,))
    o = schema.objects
    columns: list[Any] = [o.c.document_id, o.c.path, o.c.version]
    for alias in aliases.values():
        columns += [alias.c.output_id, alias.c.segment_id, alias.c.row_count]
    output_id = aliases[stage].c.output_id
    query = (
        select(*columns)
        .select_from(source)
        .where(
            o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high),
            o.c.end_seq.is_(None), output_id > after,
        )
        .order_by(output_id)
    )  # fmt: skip
    found = []
    for row in connection.execute(query):
        parts = [Rows(*row[i : i + 3]) for i in range(3, len(row), 3)]
        found.append(Made(row[0], row[1], row[2], dict(zip(aliases, parts, strict=True))))
    return found


def refuse(
    connection: Connection, partition: Partition, recipe: Recipe, stage: str, refused: Mapping[str, tuple[Made, str]]
) -> None:
    """Strike out these outputs and hold their documents at ``stage``; ``refused`` is document -> (output, why).

    The rows are deleted and not ended, and what was remembered of their segments' rows is forgotten: an ended
    output may serve as the result of an equal input, which this one must never do.
    """
    x, memo = schema.outputs, schema.memo
    step = recipe[stage]
    outputs = [one.rows[stage] for one, _ in refused.values()]
    inputs: dict[int, str] = {}
    for part in batches([one.output_id for one in outputs], 5000):
        query = select(x.c.output_id, x.c.input_digest).where(x.c.output_id.in_(part))
        inputs.update((row[0], row[1]) for row in connection.execute(query))
        connection.execute(delete(x).where(x.c.output_id.in_(part)))
    segments = sorted({one.segment_id for one in outputs if one.segment_id is not None})
    for part in batches(segments, 5000):
        connection.execute(delete(memo).where(memo.c.segment_id.in_(part), memo.c.producer_id == step.producer_id))
    held = [
        quarantine.Held(
            one.document_id, one.path, one.version, DataError(f"{one.path}: {why}", reason=CHECK_FAILED),
            input_digest=inputs.get(one.rows[stage].output_id, ""),
        )
        for one, why in refused.values()
    ]  # fmt: skip
    quarantine.hold(connection, partition, stage, step.producer_id, held)


def unaccounted(connection: Connection, partition: Partition, recipe: Recipe, stage: str) -> list[str]:
    """Paths of present documents that have neither an output at ``stage`` nor a quarantine row; at most 20."""
    source, aliases = joined_chain(recipe, (stage,))
    o, q = schema.objects, schema.quarantine
    done = (
        select(o.c.document_id).select_from(source).where(*_mine(partition))
    )  # fmt: skip
    held = select(q.c.document_id).where(q.c.cid == partition.cid)
    query = (
        select(o.c.path)
        .where(*_mine(partition), o.c.document_id.not_in(done), o.c.document_id.not_in(held))
        .order_by(o.c.path)
        .limit(20)
    )
    return list(connection.scalars(query))


def document_counts(connection: Connection, partition: Partition) -> tuple[int, dict[str, bool]]:
    """(documents present in the partition, those in quarantine in its collection: whether each is present).

    One that could not be read when it arrived is in quarantine and not present.
    """
    o, q = schema.objects, schema.quarantine
    present = connection.scalar(select(func.count()).select_from(o).where(*_mine(partition)))
    entered = q.outerjoin(o, (o.c.document_id == q.c.document_id) & o.c.end_seq.is_(None))
    query = select(q.c.document_id, o.c.document_id.is_not(None)).select_from(entered).where(q.c.cid == partition.cid)
    return int(present or 0), {str(name): bool(is_present) for name, is_present in connection.execute(query)}


def _mine(partition: Partition) -> tuple[Any, ...]:
    o = schema.objects
    return (o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high), o.c.end_seq.is_(None))
