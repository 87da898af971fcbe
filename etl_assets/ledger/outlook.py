"""What the ledger knows of documents that are about to be computed. For plans: nothing here writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import Twin, batches
from etl_assets.ledger.quarantine import AWAITS_RETRY

_IN_LIST = 5000

Input = tuple[str, str, str]
"""(document id, version, input digest) of an output that is there or wanted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A present document as the next run will find it. ``input_digest`` is what its first stage reads."""

    document_id: str
    path: str
    version: str
    input_digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Former:
    """The newest output of a document's version at a stage, open or ended, and who made it."""

    producer: str
    parameters: Mapping[str, Any]
    input_digest: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The open publication of a document in a generation. ``digests`` are those of the outputs that it rests on."""

    version: str
    switches: str
    digests: Mapping[str, str]


def present_documents(connection: Connection, partition: Partition) -> dict[str, Candidate]:
    """Every present document of a partition, by id."""
    o = schema.objects
    query = select(o.c.document_id, o.c.path, o.c.version, o.c.input_digest, o.c.size_bytes).where(
        o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high), o.c.end_seq.is_(None)
    )
    return {row[0]: Candidate(*row) for row in connection.execute(query).all()}


def finished(connection: Connection, producer_id: int, documents: Sequence[str]) -> dict[Input, Twin]:
    """Open outputs of a producer for these documents."""
    x = schema.outputs
    columns = (x.c.output_id, x.c.output_digest, x.c.row_count, x.c.tokens, x.c.segment_id, x.c.facts)
    found: dict[Input, Twin] = {}
    for part in batches(documents, _IN_LIST):
        query = select(x.c.document_id, x.c.version, x.c.input_digest, *columns).where(
            x.c.document_id.in_(part), x.c.producer_id == producer_id, x.c.end_seq.is_(None)
        )
        found.update(((row[0], row[1], row[2]), Twin(*row[3:])) for row in connection.execute(query).all())
    return found


def standing_in(connection: Connection, partition: Partition, producer_id: int) -> dict[str, int]:
    """Open outputs of a producer in a partition that another one served for, counted by the reason why."""
    x = schema.outputs
    why = x.c.facts["standing_in"].as_string()
    query = select(why, func.count()).where(
        x.c.cid == partition.cid, x.c.slot.between(partition.slot_low, partition.slot_high), x.c.end_seq.is_(None),
        x.c.producer_id == producer_id, why.is_not(None),
    ).group_by(why)  # fmt: skip
    return {str(row[0]): int(row[1]) for row in connection.execute(query)}


def held_inputs(connection: Connection, stage: str, producer_id: int, documents: Sequence[str]) -> set[Input]:
    """Inputs that a producer is not given again, because it failed with them."""
    held = schema.quarantine
    found: set[Input] = set()
    for part in batches(documents, _IN_LIST):
        query = select(held.c.document_id, held.c.version, held.c.input_digest).where(
            held.c.document_id.in_(part), held.c.stage == stage, held.c.producer_id == producer_id
        )
        found.update((row[0], row[1], row[2]) for row in connection.execute(query).all())
    return found


def awaiting_retry(connection: Connection, documents: Sequence[str]) -> set[str]:
    """Those of these documents that a person asked to try again."""
    held = schema.quarantine
    found: set[str] = set()
    for part in batches(documents, _IN_LIST):
        query = select(held.c.document_id).where(
            held.c.document_id.in_(part), held.c.producer_id == AWAITS_RETRY
        )  # fmt: skip
        found.update(connection.scalars(query))
    return found


def former_outputs(connection: Connection, stage: str, versions: Mapping[str, str]) -> dict[str, Former]:
    """By document id, for the version that ``versions`` names: who made its rows last."""
    x, made = schema.outputs, schema.producers
    found: dict[str, Former] = {}
    for part in batches(list(versions), _IN_LIST):
        query = (
            select(x.c.document_id, x.c.version, made.c.producer, made.c.parameters, x.c.input_digest)
            .join(made, made.c.producer_id == x.c.producer_id)
            .where(x.c.document_id.in_(part), made.c.stage == stage)
            .order_by(x.c.output_id)
        )
        for row in connection.execute(query):
            if versions[row[0]] == row[1]:
                found[row[0]] = Former(*row[2:])
    return found


def shown_documents(connection: Connection, generation_id: int, documents: Sequence[str]) -> dict[str, Shown]:
    """Open publications of these documents in a generation."""
    p, x = schema.publications, schema.outputs
    rows: list[Any] = []
    for part in batches(documents, _IN_LIST):
        query = select(p.c.document_id, p.c.version, p.c.switches, p.c.outputs).where(
            p.c.generation_id == generation_id, p.c.document_id.in_(part), p.c.end_seq.is_(None)
        )
        rows += connection.execute(query).all()
    digests: dict[int, str] = {}
    for part in batches([number for row in rows for number in row[3].values()], _IN_LIST):
        query = select(x.c.output_id, x.c.output_digest).where(x.c.output_id.in_(part))
        digests.update((row[0], row[1]) for row in connection.execute(query))
    return {
        row[0]: Shown(row[1], row[2], {stage: digests.get(number, "") for stage, number in row[3].items()})
        for row in rows
    }


def visible_rows(connection: Connection, partition: Partition, store: str) -> list[int]:
    """Rows that each visible publication of a partition has in a store."""
    p = schema.publications
    query = select(p.c.counts).where(
        p.c.cid == partition.cid, p.c.slot.between(partition.slot_low, partition.slot_high), p.c.end_seq.is_(None)
    )
    return [int(counts.get(store, 0)) for counts in connection.scalars(query) if store in counts]
