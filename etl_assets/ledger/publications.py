"""What searches may see, and the outbox of what the stores still have to write or remove. The commit is here.

The protocol is in design section 3: draw, write, commit, collect. No store is touched in this module.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, null, or_, select, update

from etl_assets.errors import TransientError
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty, within
from etl_assets.ledger.database import clock, draw, insert_rows, next_sequence
from etl_assets.ledger.outputs import Recipe, batches, joined_chain

STORES = ("vector", "keyword", "graph")

LABELLED = "classifications"
"""The stage whose facts are published with those of the first one."""


@dataclass(frozen=True, slots=True)
class Due:
    """A document whose open publication, if any, is not what its finished outputs say. ``outputs`` is stage -> id."""

    document_id: str
    slot: int
    path: str
    version: str
    content_type: str | None
    attributes: Mapping[str, str]
    object_seq: int
    outputs: Mapping[str, int]
    digests: Mapping[str, str]
    facts: Mapping[str, Any]
    superseded: int | None
    published_digest: str | None


@dataclass(frozen=True, slots=True)
class Publication:
    """One document ready to commit under its number. ``counts`` is store -> rows written and read back."""

    publication: int
    due: Due
    record: Mapping[str, Any]
    content_digest: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ready:
    """What one index generation gets in a commit. ``switches`` is the digest of the publications it is written to."""

    generation_id: int
    switches: str
    publications: Sequence[Publication]


@dataclass(frozen=True, slots=True)
class Staged:
    """A number drawn for a document, and the digest of what it was drawn to publish."""

    publication: int
    document_id: str
    content_digest: str


@dataclass(frozen=True, slots=True)
class ToCollect:
    """A number whose rows must go from ``stores``."""

    publication: int
    cid: int
    generation_id: int
    stores: frozenset[str]


def due(
    connection: Connection, partition: Partition, recipe: Recipe, generation_id: int, *, switches: str
) -> list[Due]:
    """Documents to publish or publish anew, with what they rest on."""
    o, p = schema.objects, schema.publications.alias("published")
    source, made = joined_chain(recipe, recipe)
    names = list(recipe)
    source = source.outerjoin(
        p, and_(p.c.document_id == o.c.document_id, p.c.generation_id == generation_id, p.c.end_seq.is_(None))
    )
    key = _joined(made, names)
    columns: list[Any] = [
        o.c.document_id, o.c.slot, o.c.path, o.c.version, o.c.content_type, o.c.attributes, o.c.begin_seq,
        p.c.publication, p.c.content_digest, made[names[0]].c.facts,
        made[LABELLED].c.facts if LABELLED in made else null(),
    ]  # fmt: skip
    for name in names:
        columns += [made[name].c.output_id, made[name].c.output_digest]
    query = (
        select(*columns)
        .select_from(source)
        .where(
            *within(o, partition), o.c.end_seq.is_(None),
            or_(
                p.c.publication.is_(None), p.c.outputs_key != key, p.c.object_seq != o.c.begin_seq,
                p.c.switches != switches,
            ),
        )
        .order_by(made[names[-1]].c.segment_id, o.c.document_id)
    )  # fmt: skip
    return [
        Due(
            document_id=row[0], slot=row[1], path=row[2], version=row[3], content_type=row[4], attributes=row[5],
            object_seq=row[6], superseded=row[7], published_digest=row[8], facts={**(row[9] or {}), **(row[10] or {})},
            outputs=dict(zip(names, row[11::2], strict=True)), digests=dict(zip(names, row[12::2], strict=True)),
        )
        for row in connection.execute(query).all()
    ]  # fmt: skip


def outputs_key(outputs: Mapping[str, int]) -> str:
    """Output ids joined by "+", in recipe order: equal keys rest on the same rows."""
    return "+".join(str(number) for number in outputs.values())


def _joined(made: Mapping[str, Any], names: Sequence[str]) -> Any:
    from sqlalchemy import Text, cast

    key: Any = cast(made[names[0]].c.output_id, Text)
    for name in names[1:]:
        key = key + "+" + cast(made[name].c.output_id, Text)
    return key


def removed(connection: Connection, partition: Partition) -> list[tuple[int, str, int]]:
    """(publication, document, generation) of open publications whose document is gone."""
    p, o = schema.publications, schema.objects
    present = and_(
        o.c.cid == p.c.cid, o.c.slot == p.c.slot, o.c.document_id == p.c.document_id, o.c.end_seq.is_(None)
    )  # fmt: skip
    query = (
        select(p.c.publication, p.c.document_id, p.c.generation_id)
        .outerjoin(o, present)
        .where(*within(p, partition), p.c.end_seq.is_(None), o.c.document_id.is_(None))
    )
    return [tuple(row) for row in connection.execute(query).all()]


def is_unsettled(connection: Connection, partition: Partition) -> bool:
    """Whether a run has something to tidy or to collect, or the outbox holds anything at all of a partition."""
    b, part = schema.outbox, schema.partitions
    dirty = connection.scalar(select(part.c.dirty).where(part.c.partition == partition.key))
    waiting = connection.execute(select(b.c.publication).where(b.c.partition == partition.key).limit(1)).first()
    return bool(dirty) or waiting is not None


def staged(connection: Connection, partition: Partition, token: int, generation_id: int) -> dict[str, Staged]:
    """What this token has drawn for a generation and not committed yet, by document."""
    b = schema.outbox
    query = select(b.c.publication, b.c.document_id, b.c.content_digest).where(
        b.c.partition == partition.key, b.c.state == "staged", b.c.token == token, b.c.generation_id == generation_id
    )
    return {row[1]: Staged(row[0], row[1], row[2]) for row in connection.execute(query).all()}


def has_staged(connection: Connection, partition: Partition) -> bool:
    """Whether anything is staged in a partition, under whatever token."""
    b = schema.outbox
    query = select(b.c.publication).where(b.c.partition == partition.key, b.c.state == "staged").limit(1)
    return connection.execute(query).first() is not None


def abandon(connection: Connection, partition: Partition, *, but: Collection[int]) -> int:
    """Give up every number staged in a partition but these: a late write of theirs must never become visible.

    Older tokens' numbers are never resumed, nor is one of this token drawn for something that is not wanted any
    more. Returns how many were given up.
    """
    b = schema.outbox
    query = select(b.c.publication).where(b.c.partition == partition.key, b.c.state == "staged")
    gone = sorted(set(connection.scalars(query)) - set(but))
    for part in batches(gone, 5000):
        connection.execute(
            update(b)
            .where(b.c.publication.in_(part))
            .values(state="collect", stores=list(STORES), since=clock(connection))
        )
    if gone:
        mark_dirty(connection, partition.key, ())
    return len(gone)


def draw_publications(
    connection: Connection, partition: Partition, token: int, generation_id: int, digests: Mapping[str, str]
) -> dict[str, int]:
    """A fresh number for each document, with its outbox row, before any store is written.

    ``digests`` is document id -> digest of what it will be written with.
    """
    if not digests:
        return {}
    first = draw(connection, "publication", len(digests))
    mark_dirty(connection, partition.key, ())
    at = clock(connection)
    numbers = {document: first + i for i, document in enumerate(digests)}
    rows = [
        {
            "publication": number, "document_id": document, "cid": partition.cid, "generation_id": generation_id,
            "partition": partition.key, "token": token, "state": "staged", "since": at, "stores": [],
            "content_digest": digests[document],
        }
        for document, number in numbers.items()
    ]  # fmt: skip
    if rows:
        insert_rows(connection, schema.outbox, rows)
    return numbers


def mark_written(connection: Connection, publications: Mapping[int, Sequence[str]]) -> None:
    """Note which stores hold the rows of these numbers."""
    b = schema.outbox
    by_stores: dict[tuple[str, ...], list[int]] = {}
    for number, stores in publications.items():
        by_stores.setdefault(tuple(sorted(stores)), []).append(number)
    for stores, numbers in by_stores.items():
        for part in batches(numbers, 5000):
            connection.execute(update(b).where(b.c.publication.in_(part)).values(stores=list(stores)))


def commit(connection: Connection, partition: Partition, ready: Sequence[Ready]) -> int:
    """Begin these publications and end those they supersede, in every generation, at one new sequence number.

    Raises:
        TransientError: a generation is no longer one to publish to, or a number was abandoned in between.
    """
    lock_collection(connection, partition.cid)
    _refuse_retired(connection, [one.generation_id for one in ready])
    b = schema.outbox
    numbers = [one.publication for batch in ready for one in batch.publications]
    gone = 0
    for part in batches(numbers, 5000):
        gone += connection.execute(delete(b).where(b.c.publication.in_(part), b.c.state == "staged")).rowcount
    if gone != len(numbers):
        raise TransientError(
            f"partition {partition.key}: {len(numbers) - gone} staged publications were abandoned; run again"
        )
    n = next_sequence(connection)
    for batch in ready:
        _begin_publications(connection, partition, batch, n)
    mark_dirty(connection, partition.key, ())
    return n


def _begin_publications(connection: Connection, partition: Partition, ready: Ready, n: int) -> None:
    new = ready.publications
    old = [(one.due.superseded, one.due.document_id, partition.key) for one in new if one.due.superseded]
    _end_publications(connection, partition.cid, ready.generation_id, old, n)
    rows = [
        {
            "publication": one.publication, "document_id": one.due.document_id, "cid": partition.cid,
            "slot": one.due.slot, "generation_id": ready.generation_id, "version": one.due.version,
            "path": one.due.path, "object_seq": one.due.object_seq, "switches": ready.switches, "record": one.record,
            "content_digest": one.content_digest, "outputs": one.due.outputs,
            "outputs_key": outputs_key(one.due.outputs), "counts": one.counts, "begin_seq": n, "end_seq": None,
        }
        for one in new
    ]  # fmt: skip
    if rows:
        insert_rows(connection, schema.publications, rows)


def repoint(connection: Connection, due: Sequence[Due], *, switches: str) -> None:
    """Let open publications rest on other outputs with the very same contents: no store needs to know."""
    p = schema.publications
    for one in due:
        connection.execute(
            update(p)
            .where(p.c.publication == one.superseded)
            .values(
                outputs=one.outputs, outputs_key=outputs_key(one.outputs), object_seq=one.object_seq,
                version=one.version, switches=switches,
            )
        )  # fmt: skip


def commit_removals(connection: Connection, partition: Partition, gone: Sequence[tuple[int, str, int]]) -> int:
    """Publish "nothing" for documents that are gone, at one new sequence number, which is returned."""
    n = next_sequence(connection)
    for generation_id in sorted({number for _, _, number in gone}):
        old = [(p, document, partition.key) for p, document, number in gone if number == generation_id]
        _end_publications(connection, partition.cid, generation_id, old, n)
    mark_dirty(connection, partition.key, ())
    return n


def to_collect(connection: Connection, partition: Partition, *, older_than_s: float) -> list[ToCollect]:
    """Numbers of a partition that no search can still be reading."""
    b = schema.outbox
    query = select(b.c.publication, b.c.cid, b.c.generation_id, b.c.stores).where(
        b.c.partition == partition.key, b.c.state == "collect", b.c.since <= clock(connection) - older_than_s
    )
    return [ToCollect(row[0], row[1], row[2], frozenset(row[3])) for row in connection.execute(query).all()]


def seconds_to_wait(connection: Connection, partition: Partition, *, older_than_s: float) -> float | None:
    """How long until everything waiting in the partition's outbox may be collected; ``None`` if nothing waits."""
    b = schema.outbox
    newest = connection.scalar(
        select(func.max(b.c.since)).where(b.c.partition == partition.key, b.c.state == "collect")
    )
    return None if newest is None else max(0.0, float(newest) + older_than_s - clock(connection))


def confirm_collected(connection: Connection, store: str, publications: Sequence[ToCollect]) -> None:
    """A store was read back without these numbers; a number that every store has confirmed leaves the outbox."""
    b = schema.outbox
    done = [one.publication for one in publications if one.stores <= {store}]
    for part in batches(done, 5000):
        connection.execute(delete(b).where(b.c.publication.in_(part), b.c.state == "collect"))
    left: dict[frozenset[str], list[int]] = {}
    for one in publications:
        if rest := one.stores - {store}:
            left.setdefault(rest, []).append(one.publication)
    for stores, numbers in left.items():
        for part in batches(numbers, 5000):
            connection.execute(update(b).where(b.c.publication.in_(part)).values(stores=sorted(stores)))


def end_generation(connection: Connection, cid: int, generation_id: int) -> int:
    """End every publication of an index generation at one new sequence number; how many. They are to be collected."""
    p, part = schema.publications, schema.partitions
    n = next_sequence(connection)
    where = (p.c.generation_id == generation_id, p.c.end_seq.is_(None))
    ended = connection.execute(
        select(p.c.publication, p.c.document_id, part.c.partition)
        .join(part, and_(part.c.cid == p.c.cid, p.c.slot.between(part.c.slot_low, part.c.slot_high)))
        .where(*where)
    ).all()
    connection.execute(update(p).where(*where).values(end_seq=n))
    rows = [(row[0], row[1], row[2]) for row in ended]
    _enqueue(connection, cid, generation_id, rows, clock(connection))
    return len(rows)


def _end_publications(
    connection: Connection, cid: int, generation_id: int, old: Sequence[tuple[int | None, str, str]], n: int
) -> None:
    p = schema.publications
    numbers = [number for number, _, _ in old]
    for part in batches(numbers, 5000):
        connection.execute(update(p).where(p.c.publication.in_(part), p.c.end_seq.is_(None)).values(end_seq=n))
    _enqueue(connection, cid, generation_id, old, clock(connection))


def _enqueue(
    connection: Connection, cid: int, generation_id: int, old: Sequence[tuple[int | None, str, str]], at: float
) -> None:
    rows = [
        {
            "publication": number, "document_id": document, "cid": cid, "generation_id": generation_id,
            "partition": partition, "token": 0, "state": "collect", "since": at, "stores": list(STORES),
            "content_digest": "",
        }
        for number, document, partition in old
    ]  # fmt: skip
    if rows:
        insert_rows(connection, schema.outbox, rows)


def lock_collection(connection: Connection, cid: int) -> None:
    """Hold a collection's row to the commit: nobody else begins, promotes or retires a generation, or publishes."""
    owner = schema.collections
    connection.execute(select(owner.c.cid).where(owner.c.cid == cid).with_for_update())


def _refuse_retired(connection: Connection, generation_ids: Sequence[int]) -> None:
    table = schema.generations
    query = select(table.c.generation_id).where(
        table.c.generation_id.in_(generation_ids), table.c.state == "retired"
    )  # fmt: skip
    if (retired := connection.scalar(query)) is not None:
        raise TransientError(f"index generation {retired} became retired while it was written to; run again")
