"""What was made of which version: wanted, done, missing, unwanted. One row per version, producer and input."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.catalogue import Partition, mark_dirty, within
from etl_assets.ledger.database import clock, insert_rows, next_sequence

T = TypeVar("T")
Aliased = Any  # SQLAlchemy types an alias of a table as several different things
_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class Step:
    """One stage as a partition wants it now: its name, its producer, and the stages it reads, in order.

    ``producer`` is the producer's own name; "" where only its number matters.
    """

    stage: str
    producer_id: int
    inputs: tuple[str, ...]
    producer: str = ""


Recipe = Mapping[str, Step]
"""Stage name -> step; every input of a step is a step of the recipe too."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One document whose output at a stage is wanted and not there. ``inputs`` are (output id, segment id)."""

    document_id: str
    slot: int
    path: str
    version: str
    size_bytes: int
    input_digest: str
    inputs: tuple[tuple[int, int | None], ...]
    input_rows: int


@dataclass(frozen=True, slots=True)
class Output:
    """One finished output, ready for the ledger. ``segment_id`` is ``None`` when it has no rows."""

    output_id: int
    document_id: str
    slot: int
    version: str
    input_digest: str
    output_digest: str
    row_count: int
    seconds: float
    tokens: int
    segment_id: int | None
    facts: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Twin:
    """An output of the same producer over the same input, somewhere in the same tenant."""

    output_id: int
    output_digest: str
    row_count: int
    tokens: int
    segment_id: int | None
    facts: Mapping[str, Any] | None = field(default=None)


def missing(connection: Connection, partition: Partition, recipe: Recipe, stage: str) -> list[Missing]:
    """Present documents whose inputs at ``stage`` are done and whose output is not, quarantined ones left out.

    Ordered by the first input's segment, so that neighbours in a batch are neighbours on disk.
    """
    return _stage_inputs(connection, partition, recipe, stage, is_made=False)


def _stage_inputs(
    connection: Connection, partition: Partition, recipe: Recipe, stage: str, *, is_made: bool
) -> list[Missing]:
    step = recipe[stage]
    made = _outputs_as("made")
    held = schema.quarantine.alias("held")
    source, inputs = _chain(recipe, step.inputs)
    o = schema.objects
    digest = _input_digest(step, inputs)
    source = source.outerjoin(made, _is_output(made, step, digest))
    source = source.outerjoin(
        held,
        and_(
            held.c.document_id == o.c.document_id, held.c.stage == stage,
            held.c.version == o.c.version, held.c.producer_id == step.producer_id, held.c.input_digest == digest,
        ),
    )  # fmt: skip
    lacking = and_(made.c.output_id.is_(None), held.c.document_id.is_(None))
    rows: Any = sum((inputs[name].c.row_count for name in step.inputs), literal(0)) if step.inputs else literal(1)
    columns: list[Any] = [o.c.document_id, o.c.slot, o.c.path, o.c.version, o.c.size_bytes, digest, rows]
    order: list[Any] = [o.c.document_id]
    for name in step.inputs:
        columns += [inputs[name].c.output_id, inputs[name].c.segment_id]
    if step.inputs:
        order.insert(0, inputs[step.inputs[0]].c.segment_id)
    query = (
        select(*columns)
        .select_from(source)
        .where(*_present(partition), made.c.output_id.is_not(None) if is_made else lacking)
        .order_by(*order)
    )
    return [
        Missing(
            row[0], row[1], row[2], row[3], row[4], row[5],
            inputs=tuple(zip(row[7::2], row[8::2], strict=True)), input_rows=int(row[6]),
        )
        for row in connection.execute(query).all()
    ]  # fmt: skip


def made(
    connection: Connection, partition: Partition, recipe: Recipe, stage: str, *, only: Collection[str]
) -> list[Missing]:
    """As ``missing``, for those of these documents whose output at ``stage`` is there."""
    return [one for one in _stage_inputs(connection, partition, recipe, stage, is_made=True) if one.document_id in only]


def end_replaced(connection: Connection, producer_id: int, outputs: Sequence[Output]) -> None:
    """End the open outputs that these ones, over the same inputs, are entered in place of."""
    x = schema.outputs
    n = next_sequence(connection)
    for one in outputs:
        mine = (
            x.c.document_id == one.document_id, x.c.producer_id == producer_id, x.c.version == one.version,
            x.c.input_digest == one.input_digest, x.c.end_seq.is_(None),
        )  # fmt: skip
        connection.execute(update(x).where(*mine).values(end_seq=n))


def wanted_outputs(partition: Partition, recipe: Recipe, stage: str) -> Select[Any]:
    """Present documents' finished outputs at ``stage``: output id, digest, segment, row count, document id."""
    source, inputs = _chain(recipe, (stage,))
    x = inputs[stage]
    columns = (x.c.output_id, x.c.output_digest, x.c.segment_id, x.c.row_count, x.c.document_id)
    return select(*columns).select_from(source).where(*_present(partition))


def unfinished(connection: Connection, partition: Partition, recipe: Recipe) -> dict[str, int]:
    """Present documents without a finished output, by stage, those in quarantine at or before it left out.

    A document that lacks an early stage counts at every later one too: at most so many will be computed.
    """
    o, held = schema.objects, schema.quarantine
    counts: dict[str, int] = {}
    for stage in recipe:
        step = recipe[stage]
        source, inputs = _chain(recipe, step.inputs, outer=True)
        made = _outputs_as("made")
        source = source.outerjoin(made, _is_output(made, step, _input_digest(step, inputs)))
        blocked = (
            select(literal(1))
            .where(held.c.document_id == o.c.document_id, held.c.version == o.c.version)
            .where(or_(*(_blocks(recipe[name], inputs) for name in [stage, *_before(recipe, stage)])))
            .exists()
        )
        query = (
            select(func.count()).select_from(source).where(*_present(partition), made.c.output_id.is_(None), ~blocked)
        )
        counts[stage] = int(connection.scalar(query) or 0)
    return counts


def _before(recipe: Recipe, stage: str) -> list[str]:
    names = [name for one in recipe[stage].inputs for name in [*_before(recipe, one), one]]
    return list(dict.fromkeys(names))


def _blocks(step: Step, inputs: Mapping[str, Aliased]) -> ColumnElement[bool]:
    held = schema.quarantine
    return and_(
        held.c.stage == step.stage, held.c.producer_id == step.producer_id,
        held.c.input_digest == _input_digest(step, inputs),
    )  # fmt: skip


def joined_chain(recipe: Recipe, stages: Iterable[str]) -> tuple[Any, dict[str, Aliased]]:
    """Present objects joined to their finished outputs at these stages and all stages before them."""
    return _chain(recipe, tuple(stages))


def twins(connection: Connection, tenant: str, producer_id: int, input_digests: Sequence[str]) -> dict[str, Twin]:
    """Outputs, current or ended, whose rows can be read again, by input digest."""
    x, owner, file = schema.outputs, schema.collections, schema.segments
    columns = (x.c.input_digest, x.c.output_id, x.c.output_digest, x.c.row_count, x.c.tokens, x.c.segment_id, x.c.facts)
    found: dict[str, Twin] = {}
    for part in batches(input_digests, _IN_LIST):
        query = (
            select(*columns)
            .join(owner, owner.c.cid == x.c.cid)
            .outerjoin(file, file.c.segment_id == x.c.segment_id)
            .where(
                x.c.input_digest.in_(part), x.c.producer_id == producer_id, owner.c.tenant == tenant,
                or_(x.c.segment_id.is_(None), file.c.segment_id.is_not(None)),
            )
        )  # fmt: skip
        for row in connection.execute(query).all():
            found[row[0]] = Twin(*row[1:])
    return found


def record_outputs(
    connection: Connection, partition: Partition, producer_id: int, run_id: str, outputs: Sequence[Output]
) -> None:
    """Enter finished outputs, and lift what quarantine these documents were in at this producer's stage."""
    if not outputs:
        return
    n = next_sequence(connection)
    at = clock(connection)
    rows = [
        {
            "output_id": one.output_id, "document_id": one.document_id, "cid": partition.cid, "slot": one.slot,
            "version": one.version, "producer_id": producer_id, "input_digest": one.input_digest,
            "output_digest": one.output_digest, "row_count": one.row_count, "seconds": one.seconds,
            "tokens": one.tokens, "segment_id": one.segment_id, "facts": one.facts, "run_id": run_id,
            "computed_at": at, "begin_seq": n, "end_seq": None,
        }
        for one in outputs
    ]  # fmt: skip
    insert_rows(connection, schema.outputs, rows)
    mark_dirty(connection, partition.key, ())


def drop_unwanted(connection: Connection, partition: Partition, recipes: Sequence[Recipe]) -> int:
    """End every open output of a partition that no recipe wants and no open publication rests on; how many."""
    x, p = schema.outputs, schema.publications
    wanted: set[int] = set()
    for recipe in recipes:
        for stage in recipe:
            wanted.update(row[0] for row in connection.execute(wanted_outputs(partition, recipe, stage)))
    published = select(p.c.outputs).where(*within(p, partition), p.c.end_seq.is_(None))
    for (outputs,) in connection.execute(published).all():
        wanted.update(outputs.values())
    mine = (*within(x, partition), x.c.end_seq.is_(None))
    unwanted = [row[0] for row in connection.execute(select(x.c.output_id).where(*mine)) if row[0] not in wanted]
    if unwanted:
        n = next_sequence(connection)
        for part in batches(unwanted, _IN_LIST):
            connection.execute(update(x).where(x.c.output_id.in_(part)).values(end_seq=n))
    _release_unwanted(connection, partition, recipes)
    table = schema.partitions
    connection.execute(update(table).where(table.c.partition == partition.key).values(dirty=2))
    return len(unwanted)


def _release_unwanted(connection: Connection, partition: Partition, recipes: Sequence[Recipe]) -> None:
    """Let documents go that are held for what no recipe would compute any more: nothing else would."""
    held, o = schema.quarantine, schema.objects
    columns = (held.c.document_id, held.c.stage, held.c.producer_id, held.c.input_digest)
    mine = select(*columns).join(o, o.c.document_id == held.c.document_id).where(*_present(partition))
    lasting = or_(held.c.stage == quarantine.RAW_STAGE, held.c.producer_id == quarantine.AWAITS_RETRY)
    rows = {tuple(row) for row in connection.execute(mine.where(~lasting))}
    if not rows:
        return
    documents = sorted({row[0] for row in rows})
    for recipe in recipes:
        for step in recipe.values():
            source, inputs = _chain(recipe, step.inputs)
            same = and_(
                held.c.document_id == o.c.document_id, held.c.version == o.c.version, _blocks(step, inputs)
            )  # fmt: skip
            for part in batches(documents, _IN_LIST):
                query = select(*columns).select_from(source.join(held, same)).where(*_present(partition))
                rows -= {tuple(row) for row in connection.execute(query.where(o.c.document_id.in_(part)))}
    for row in sorted(rows):
        connection.execute(
            delete(held).where(*(column == value for column, value in zip(columns, row, strict=True)))
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """Where an output's rows are (``None``: it has none), and how many they are."""

    segment_id: int | None
    row_count: int


def output_places(connection: Connection, output_ids: Sequence[int]) -> dict[int, OutputPlace]:
    """Where the rows of these outputs are, open or ended."""
    x = schema.outputs
    found: dict[int, OutputPlace] = {}
    for part in batches(output_ids, _IN_LIST):
        query = select(x.c.output_id, x.c.segment_id, x.c.row_count).where(x.c.output_id.in_(part))
        found.update((row[0], OutputPlace(row[1], row[2])) for row in connection.execute(query).all())
    return found


def batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """Consecutive parts of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _present(partition: Partition) -> tuple[ColumnElement[bool], ...]:
    return (*within(schema.objects, partition), schema.objects.c.end_seq.is_(None))


def _chain(recipe: Recipe, stages: Sequence[str], *, outer: bool = False) -> tuple[Any, dict[str, Aliased]]:
    source: Any = schema.objects
    inputs: dict[str, Aliased] = {}

    def add(stage: str) -> None:
        nonlocal source
        if stage in inputs:
            return
        step = recipe[stage]
        for name in step.inputs:
            add(name)
        inputs[stage] = _outputs_as(stage)
        condition = _is_output(inputs[stage], step, _input_digest(step, inputs))
        source = source.join(inputs[stage], condition, isouter=outer)

    for stage in stages:
        add(stage)
    return source, inputs


@cache
def _outputs_as(name: str) -> Aliased:
    """The table under another name, once: every alias made anew makes all its columns anew, 8 % of a small run."""
    return schema.outputs.alias(name)


def _is_output(made: Aliased, step: Step, input_digest: ColumnElement[str]) -> ColumnElement[bool]:
    o = schema.objects
    return and_(
        made.c.document_id == o.c.document_id, made.c.producer_id == step.producer_id,
        made.c.version == o.c.version, made.c.input_digest == input_digest, made.c.end_seq.is_(None),
    )  # fmt: skip


def _input_digest(step: Step, inputs: Mapping[str, Aliased]) -> ColumnElement[str]:
    if not step.inputs:
        return schema.objects.c.input_digest
    digest: ColumnElement[str] = inputs[step.inputs[0]].c.output_digest
    for name in step.inputs[1:]:
        digest = digest + "+" + inputs[name].c.output_digest
    return digest
