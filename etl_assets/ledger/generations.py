"""Index generations of a collection: which exist, by which settings each is made, and which one answers.

A generation is ``building`` beside the ``live`` one until it is promoted; the one it replaced is ``previous`` and kept
up to date, so that a rollback is one transaction; a ``retired`` one is collected. No store is touched here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, func, insert, literal, or_, select, update

from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import WHOLE
from etl_assets.ledger.database import clock, draw, next_sequence
from etl_assets.ledger.publications import end_generation, lock_collection

BY_SETTINGS = "settings"
BY_COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Model:
    """Which vectors a generation holds; none at all where ``dimension`` is 0."""

    name: str = "none"
    digest: str = ""
    dimension: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """What a generation is made by. ``recipe`` is the digest of ``settings``, and ``vectors`` whether it has any.

    ``settings`` has, under ``embedding``, the name, digest and dimension of the model.
    """

    settings: Mapping[str, Any]
    recipe: str
    vectors: bool = True

    @property
    def embedding(self) -> Model:
        """The model, whether or not its vectors are published."""
        return Model(**self.settings["embedding"])

    @property
    def published(self) -> Model:
        """The model whose vectors are published."""
        return self.embedding if self.vectors else Model()


@dataclass(frozen=True, slots=True)
class Generation:
    """One index generation of a collection. ``dimension`` is 0 where there are no vectors.

    ``settings`` and ``recipe`` are ``None`` where a program that did not note them made it.
    """

    generation_id: int
    cid: int
    state: str
    embedding_model: str
    embedding_digest: str
    dimension: int
    settings: Mapping[str, Any] | None = None
    recipe: str | None = None
    origin: str | None = None
    verdict: Mapping[str, Any] | None = None
    created_at: float = 0.0
    retired_at: float | None = None

    @property
    def made_by(self) -> Model | None:
        """The model that its settings name, published or not; ``None`` where that was not noted."""
        noted = (self.settings or {}).get("embedding")
        return None if noted is None else Model(**noted)


@dataclass(slots=True)
class Unequal:
    """How what another generation shows differs from what the live one shows; paths, ascending.

    ``lacking``: it lacks this version, and nothing keeps it from being made. ``held``: it lacks it because the
    document is in quarantine under its recipe. ``newer``: it shows a newer version, which is held under the live
    recipe. ``added``: only it shows the document at all. ``documents`` is how many the live one shows.
    """

    documents: int = 0
    lacking: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def missing_share(self) -> float:
        """Which part of the live documents is held back, 0 to 1."""
        return len(self.held) / self.documents if self.documents else 0.0


def generations(connection: Connection, cid: int, *, retired: bool = False) -> dict[int, Generation]:
    """Every generation of a collection in use, or with ``retired`` every one there was, by number, ascending."""
    table = schema.generations
    query = select(table).where(table.c.cid == cid).order_by(table.c.generation_id)
    if not retired:
        query = query.where(table.c.state != "retired")
    fields = Generation.__dataclass_fields__
    return {
        row.generation_id: Generation(**{name: getattr(row, name) for name in fields})
        for row in connection.execute(query)
    }


def live_generation(connection: Connection, cid: int) -> int | None:
    """The generation that answers searches now."""
    table = schema.reigns
    return connection.scalar(select(table.c.generation_id).where(table.c.cid == cid, table.c.end_seq.is_(None)))


def wanted_recipe(connection: Connection, cid: int) -> str | None:
    """The recipe of the settings that were last followed."""
    owner = schema.collections
    return connection.scalar(select(owner.c.wanted_recipe).where(owner.c.cid == cid))


def is_followed(connection: Connection, cid: int, wanted: Definition) -> bool:
    """Whether ``follow`` has nothing to do."""
    known = generations(connection, cid).values()
    settled = all(one.recipe and bool(one.dimension) == wanted.vectors for one in known)
    return bool(known) and settled and wanted_recipe(connection, cid) == wanted.recipe


def follow(connection: Connection, cid: int, wanted: Definition) -> dict[int, Generation]:
    """See that there is a generation for the settings of a collection; every one in use, by number.

    The first one is live at once. When the settings change, what was being built for the older ones is given up, and
    a new one is begun, unless one in use is made by them: the previous one becomes a candidate again. As long as the
    settings stay the same nothing is begun, whatever people promote, roll back or collect. Vectors are switched on
    and off in place.
    """
    lock_collection(connection, cid)
    if live_generation(connection, cid) is None:
        number = _enter(connection, cid, wanted, "live", BY_SETTINGS)
        row = {"cid": cid, "generation_id": number, "begin_seq": next_sequence(connection), "end_seq": None}
        connection.execute(insert(schema.reigns), row)
        _note_wanted(connection, cid, wanted)
    _note_unknown(connection, cid, wanted)
    if wanted_recipe(connection, cid) != wanted.recipe:
        _note_wanted(connection, cid, wanted)
        for one in generations(connection, cid).values():
            if one.state == "building" and one.origin == BY_SETTINGS and one.recipe != wanted.recipe:
                retire(connection, one)
        begin(connection, cid, wanted, BY_SETTINGS)
    _switch_vectors(connection, cid, wanted.vectors)
    return generations(connection, cid)


def begin(connection: Connection, cid: int, wanted: Definition, origin: str) -> int:
    """The generation made by ``wanted``, which is begun unless it is in use; a previous one is a candidate again."""
    lock_collection(connection, cid)
    table = schema.generations
    for one in generations(connection, cid).values():
        if one.recipe == wanted.recipe:
            mine = table.c.generation_id == one.generation_id
            if one.state == "previous":
                connection.execute(update(table).where(mine).values(state="building", origin=origin, verdict=None))
                _changed(connection, cid)
            elif origin == BY_SETTINGS:
                connection.execute(update(table).where(mine).values(origin=origin))
            return one.generation_id
    number = _enter(connection, cid, wanted, "building", origin)
    _changed(connection, cid)
    return number


def note_recipe(connection: Connection, generation_id: int, made_by: Definition) -> None:
    """Enter what a generation is made by that was begun before this was noted."""
    table = schema.generations
    connection.execute(
        update(table)
        .where(table.c.generation_id == generation_id)
        .values(settings=dict(made_by.settings), recipe=made_by.recipe, origin=BY_SETTINGS)
    )


def promote(connection: Connection, cid: int, generation_id: int, *, keep: bool) -> int:
    """Let another generation answer from the next sequence number on, which is returned. The caller holds the lock.

    The one that answered becomes the previous one, or is retired unless ``keep``; an older previous one is retired.
    """
    table, reign = schema.generations, schema.reigns
    known = generations(connection, cid)
    n = next_sequence(connection)
    connection.execute(update(reign).where(reign.c.cid == cid, reign.c.end_seq.is_(None)).values(end_seq=n))
    connection.execute(insert(reign), {"cid": cid, "generation_id": generation_id, "begin_seq": n, "end_seq": None})
    for number, one in known.items():
        if number == generation_id:
            connection.execute(update(table).where(table.c.generation_id == number).values(state="live"))
        elif one.state == "live" and keep:
            connection.execute(update(table).where(table.c.generation_id == number).values(state="previous"))
        elif one.state in ("live", "previous"):
            retire(connection, one)
    _changed(connection, cid)
    return n


def retire(connection: Connection, generation: Generation) -> int:
    """End a generation and every publication in it; the outbox says what the stores have to remove. How many ended."""
    table = schema.generations
    connection.execute(
        update(table)
        .where(table.c.generation_id == generation.generation_id)
        .values(state="retired", retired_at=clock(connection))
    )
    ended = end_generation(connection, generation.cid, generation.generation_id)
    _changed(connection, generation.cid)
    return ended


def compare_visible(connection: Connection, live: int, other: int, producers: Collection[int]) -> Unequal:
    """What another generation shows against what the live one shows, both ways; ``producers`` are of its recipe."""
    a, b, o = schema.publications.alias("live"), schema.publications.alias("other"), schema.objects
    q = schema.quarantine
    is_held = (
        select(literal(1))
        .where(q.c.document_id == o.c.document_id, q.c.version == o.c.version)
        .where(q.c.producer_id.in_(sorted(producers)))
        .exists()
    )
    source = a.outerjoin(
        b, and_(b.c.document_id == a.c.document_id, b.c.generation_id == other, b.c.end_seq.is_(None))
    ).join(o, and_(o.c.document_id == a.c.document_id, o.c.end_seq.is_(None)))
    shown = (a.c.generation_id == live, a.c.end_seq.is_(None))
    query = (
        select(a.c.path, b.c.version, o.c.version, is_held)
        .select_from(source)
        .where(*shown, or_(b.c.publication.is_(None), b.c.version != a.c.version))
        .order_by(a.c.path)
    )
    found = Unequal(int(connection.scalar(select(func.count()).select_from(a).where(*shown)) or 0))
    for path, version, present, held in connection.execute(query):
        (found.newer if version == present else found.held if held else found.lacking).append(path)
    other_way = (
        select(b.c.path)
        .outerjoin(a, and_(a.c.document_id == b.c.document_id, *shown))
        .where(b.c.generation_id == other, b.c.end_seq.is_(None), a.c.publication.is_(None))
        .order_by(b.c.path)
    )
    found.added = list(connection.scalars(other_way))
    return found


def shown_until(connection: Connection, generation_ids: Collection[int]) -> list[int]:
    """When what these generations show last changed: the last begin, the last end, and how many there ever were."""
    p = schema.publications
    query = select(
        func.coalesce(func.max(p.c.begin_seq), 0), func.coalesce(func.max(p.c.end_seq), 0), func.count()
    ).where(p.c.generation_id.in_(sorted(generation_ids)))
    return [int(value) for value in connection.execute(query).one()]


def note_verdict(connection: Connection, generation_id: int, verdict: Mapping[str, Any]) -> None:
    """Keep how a generation compared with the live one."""
    table = schema.generations
    connection.execute(update(table).where(table.c.generation_id == generation_id).values(verdict=dict(verdict)))


def droppable(connection: Connection, cid: int, *, older_than_s: float) -> list[int]:
    """Retired generations whose rows are all collected, whose index spaces no search can read any more."""
    table, box = schema.generations, schema.outbox
    waiting = select(literal(1)).where(box.c.generation_id == table.c.generation_id).exists()
    query = select(table.c.generation_id).where(
        table.c.cid == cid, table.c.state == "retired", table.c.dropped_at.is_(None), ~waiting,
        table.c.retired_at <= clock(connection) - older_than_s,
    )  # fmt: skip
    return list(connection.scalars(query.order_by(table.c.generation_id)))


def seconds_until_droppable(connection: Connection, cid: int, *, older_than_s: float) -> float:
    """How long until the index spaces of what was retired by now may be removed; 0 when there are none."""
    table = schema.generations
    query = select(func.max(table.c.retired_at)).where(
        table.c.cid == cid, table.c.state == "retired", table.c.dropped_at.is_(None)
    )
    retired = connection.scalar(query)
    return 0.0 if retired is None else max(0.0, float(retired) + older_than_s - clock(connection))


def note_dropped(connection: Connection, generation_id: int) -> None:
    """The index spaces of a retired generation are gone."""
    table = schema.generations
    connection.execute(update(table).where(table.c.generation_id == generation_id).values(dropped_at=clock(connection)))


def one_of(connection: Connection, cid: int, state: str, number: int | None = None) -> Generation:
    """The newest generation in a state, or the one of this number.

    Raises:
        ConfigError: there is none, or that one is in another state.
    """
    known = generations(connection, cid)
    if number is not None:
        one = known.get(number)
        if one is None or one.state != state:
            there = ", ".join(f"{n} ({g.state})" for n, g in known.items()) or "none"
            raise ConfigError(f"index generation {number} is not {state}; in use are {there}")
        return one
    found = [one for one in known.values() if one.state == state]
    if not found:
        raise ConfigError(f"no index generation is {state}; `etl-assets generation list` shows what there is")
    return found[-1]


def _enter(connection: Connection, cid: int, made_by: Definition, state: str, origin: str) -> int:
    number, model = draw(connection, "generation"), made_by.published
    row = {
        "generation_id": number, "cid": cid, "state": state, "embedding_model": model.name,
        "embedding_digest": model.digest, "dimension": model.dimension, "created_at": clock(connection),
        "retired_at": None, "settings": dict(made_by.settings), "recipe": made_by.recipe, "origin": origin,
    }  # fmt: skip
    connection.execute(insert(schema.generations), row)
    return number


def _note_wanted(connection: Connection, cid: int, wanted: Definition) -> None:
    owner = schema.collections
    connection.execute(update(owner).where(owner.c.cid == cid).values(wanted_recipe=wanted.recipe))


def _note_unknown(connection: Connection, cid: int, wanted: Definition) -> None:
    """A generation of unknown settings with the wanted model is taken for the wanted one."""
    for one in generations(connection, cid).values():
        if one.recipe is None and one.embedding_digest in ("", wanted.embedding.digest):
            note_recipe(connection, one.generation_id, wanted)


def _switch_vectors(connection: Connection, cid: int, on: bool) -> None:
    table = schema.generations
    for number, one in generations(connection, cid).items():
        if one.made_by is not None and bool(one.dimension) != on:
            model = one.made_by if on else Model()
            named = {"embedding_model": model.name, "embedding_digest": model.digest, "dimension": model.dimension}
            connection.execute(update(table).where(table.c.generation_id == number).values(**named))


def _changed(connection: Connection, cid: int) -> None:
    """Which generations there are has changed: every partition is looked at again."""
    owner, part = schema.collections, schema.partitions
    connection.execute(
        update(owner).where(owner.c.cid == cid).values(generation_revision=owner.c.generation_revision + 1)
    )
    asked = {"dirty": 1, "revision": part.c.revision + 1, "look_at": WHOLE}
    connection.execute(update(part).where(part.c.cid == cid).values(**asked))
