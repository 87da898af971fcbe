"""What each store should hold by the ledger, for a comparison with what it does hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from etl_assets.ledger import publications, schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import Recipe, batches
from etl_assets.ledger.publications import Due
from etl_assets.ledger.segments import segment_files


@dataclass(frozen=True, slots=True)
class Held:
    """One publication whose rows the stores must hold. ``outputs`` is stage -> output id, ``stores`` those written.

    ``due`` is what is being published, where it is staged; the record of one that is committed is in the ledger.
    """

    publication: int
    document_id: str
    path: str
    generation_id: int
    outputs: Mapping[str, int]
    stores: frozenset[str]
    due: Due | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The ledger's numbers at one moment: open publications of a partition, what waits in the collection's outbox,
    and the highest number drawn so far. ``slots`` has the slot of every open publication of the collection, and
    ``generations`` every generation that it ever had."""

    open: Mapping[int, Held]
    waiting: frozenset[int]
    highest_drawn: int
    slots: Mapping[int, int]
    generations: frozenset[int]


def known(connection: Connection, partition: Partition) -> Known:
    """The numbers that matter for one partition, in one snapshot."""
    p, b, c, g = schema.publications, schema.outbox, schema.counters, schema.generations
    query = select(
        p.c.publication, p.c.document_id, p.c.path, p.c.generation_id, p.c.outputs, p.c.counts
    ).where(
        p.c.cid == partition.cid, p.c.slot.between(partition.slot_low, partition.slot_high), p.c.end_seq.is_(None)
    )  # fmt: skip
    held = {row[0]: Held(*row[:5], stores=frozenset(row[5])) for row in connection.execute(query)}
    waiting = frozenset(connection.scalars(select(b.c.publication).where(b.c.cid == partition.cid)))
    drawn = connection.scalar(select(c.c.value).where(c.c.name == "publication"))
    everywhere = select(p.c.publication, p.c.slot).where(p.c.cid == partition.cid, p.c.end_seq.is_(None))
    slots = {row[0]: row[1] for row in connection.execute(everywhere)}
    made = frozenset(connection.scalars(select(g.c.generation_id).where(g.c.cid == partition.cid)))
    return Known(held, waiting, int(drawn or 0), slots, made)


def in_use(connection: Connection, cid: int, numbers: Sequence[int], generation_id: int | None) -> frozenset[int]:
    """Those of ``numbers`` that a generation of a collection, or any (``None``), shows, or that wait in its outbox."""
    p, b = schema.publications, schema.outbox
    found: set[int] = set()
    for part in batches(sorted(numbers), 5000):
        opened = select(p.c.publication).where(p.c.cid == cid, p.c.publication.in_(part), p.c.end_seq.is_(None))
        waiting = select(b.c.publication).where(b.c.cid == cid, b.c.publication.in_(part))
        if generation_id is not None:
            opened = opened.where(p.c.generation_id == generation_id)
            waiting = waiting.where(b.c.generation_id == generation_id)
        found.update(connection.scalars(opened))
        found.update(connection.scalars(waiting))
    return frozenset(found)


def generation_states(connection: Connection, cid: int) -> dict[int, str]:
    """The state of every generation that a collection ever had."""
    g = schema.generations
    rows = connection.execute(select(g.c.generation_id, g.c.state).where(g.c.cid == cid))
    return {int(row[0]): str(row[1]) for row in rows}


def ended(connection: Connection, numbers: Sequence[int]) -> frozenset[int]:
    """Those of ``numbers`` that were visible once and are not any more."""
    p = schema.publications
    found: set[int] = set()
    for part in batches(sorted(numbers), 5000):
        query = select(p.c.publication).where(p.c.publication.in_(part), p.c.end_seq.is_not(None))
        found.update(connection.scalars(query))
    return frozenset(found)


def staged(
    connection: Connection, partition: Partition, token: int, generation_id: int, recipe: Recipe, *, switches: str
) -> list[Held]:
    """What was written to one generation under a lease token and waits for its commit; ``stores`` hold its rows."""
    b = schema.outbox
    query = select(b.c.publication, b.c.document_id, b.c.stores).where(
        b.c.partition == partition.key, b.c.state == "staged", b.c.token == token, b.c.generation_id == generation_id
    )
    drawn = {row.document_id: row for row in connection.execute(query)}
    if not drawn:
        return []
    return [
        Held(
            drawn[one.document_id].publication, one.document_id, one.path, generation_id, one.outputs,
            frozenset(drawn[one.document_id].stores), one,
        )
        for one in publications.due(connection, partition, recipe, generation_id, switches=switches)
        if one.document_id in drawn
    ]  # fmt: skip


def records(connection: Connection, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """What was published about the documents beside their rows, by publication; one that was pruned is left out."""
    p = schema.publications
    found: dict[int, Mapping[str, Any]] = {}
    for part in batches(sorted(numbers), 5000):
        query = select(p.c.publication, p.c.record).where(p.c.publication.in_(part))
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def segments_of(connection: Connection, output_ids: Sequence[int]) -> dict[int, list[int]]:
    """Where these outputs' rows are: segment -> output ids. Outputs without rows are left out."""
    x = schema.outputs
    found: dict[int, list[int]] = {}
    for part in batches(output_ids, 5000):
        query = select(x.c.segment_id, x.c.output_id).where(x.c.output_id.in_(part), x.c.segment_id.is_not(None))
        for segment_id, output_id in connection.execute(query):
            found.setdefault(segment_id, []).append(output_id)
    return found


def without_rows(connection: Connection, output_ids: Sequence[int], lost: Collection[int]) -> frozenset[int]:
    """Those of these outputs whose segment is one of ``lost``, or was struck out."""
    placed = segments_of(connection, output_ids)
    named = segment_files(connection, placed)
    return frozenset(
        output for segment, outputs in placed.items() if segment in lost or segment not in named for output in outputs
    )
