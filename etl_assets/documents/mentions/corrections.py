"""What people decided about mentions, applied to the rows on every run: another link, no link, a merge, a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from etl_assets.documents.mentions.written import normal_name
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

METHOD = "corrected"
"""``method`` of a row that a correction changed; its ``confidence`` is 1."""


@dataclass(frozen=True, slots=True)
class Meant:
    """The entity that people say is meant."""

    entity_id: str
    entity_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Relink:
    """Mentions are linked to ``meant``; None: they name nothing, and go.

    They are those written like ``written`` (capitals, blanks and quotes apart), of entity ``entity_id``, in document
    ``document_id``, at ``span`` (page, start, end): of these, the ones that are given must all hold; one must be given.
    """

    meant: Meant | None
    written: str | None = None
    entity_id: str | None = None
    document_id: str | None = None
    span: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """Every mention of the entities ``merged`` is one of ``into``."""

    merged: tuple[str, ...]
    into: Meant


@dataclass(frozen=True, slots=True)
class Split:
    """The mentions of ``entity_id`` that are written like one of ``written`` are another entity."""

    entity_id: str
    written: tuple[str, ...]
    into: Meant


Correction: TypeAlias = Relink | Merge | Split


def corrected(mentions: "pl.DataFrame", corrections: Sequence[Correction]) -> "pl.DataFrame":
    """Rows of ``mentions`` with the corrections applied one after the other, in their order; the rest as it was.

    The same corrections applied again change nothing, unless one undoes another.

    Raises:
        ConfigError: a ``Relink`` says nothing of which mentions are meant, or a correction names an entity whose id
            does not begin with its type.
    """
    for one in corrections:
        _checked(one)
    if not corrections or mentions.is_empty():
        return mentions
    names = [normal_name(text) for text in mentions["text"]]
    rows = mentions.rows(named=True)
    changed = [_applied(dict(row), name, corrections) for row, name in zip(rows, names, strict=True)]
    import polars as pl

    return pl.DataFrame([row for row in changed if row is not None], schema=mentions.schema)


def _checked(one: Correction) -> None:
    meant = one.meant if isinstance(one, Relink) else one.into
    if meant is not None and not meant.entity_id.startswith(f"{meant.entity_type}:"):
        raise ConfigError(f"correction: the id {meant.entity_id!r} must begin with its type, {meant.entity_type}:")
    if isinstance(one, Relink) and not (one.written or one.entity_id or one.span):
        raise ConfigError("correction: say which mentions are meant: how they are written, their entity, or one span")
    if isinstance(one, Relink) and one.span is not None and one.document_id is None:
        raise ConfigError(f"correction: the span {one.span} needs the document that it is in")


def _applied(row: dict[str, object], name: str, corrections: Sequence[Correction]) -> dict[str, object] | None:
    for one in corrections:
        meant, concerned = _concerned(row, name, one)
        if not concerned:
            continue
        if meant is None:
            return None
        row |= {"entity_id": meant.entity_id, "entity_type": meant.entity_type, "name": meant.name}
        row |= {"confidence": 1.0, "method": METHOD}
    return row


def _concerned(row: Mapping[str, object], name: str, one: Correction) -> tuple[Meant | None, bool]:
    if isinstance(one, Merge):
        return one.into, row["entity_id"] in one.merged
    if isinstance(one, Split):
        return one.into, row["entity_id"] == one.entity_id and name in map(normal_name, one.written)
    return one.meant, all(
        (
            one.written is None or name == normal_name(one.written),
            one.entity_id is None or row["entity_id"] == one.entity_id,
            one.document_id is None or row["document_id"] == one.document_id,
            one.span is None or (row["page"], row["start"], row["end"]) == one.span,
        )
    )
