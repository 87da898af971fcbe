"""One relation that one sentence states, and how sure the sentence itself is."""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["USES", "TARGETS", "EXPLOITS", "ATTRIBUTED_TO", "RELATES_TO"]
Certainty = Literal["stated", "likely", "possible", "alleged"]
"""``likely``: probably, believed, assessed; ``possible``: may, suspected, if; ``alleged``: a claim of somebody."""


class Named(NamedTuple):
    """One mention, as the stage ``mentions`` gives it: ``start`` and ``end`` count code points of its page."""

    start: int
    end: int
    entity_id: str
    entity_type: str
    name: str
    confidence: float


class Statement(NamedTuple):
    """``start`` and ``end`` are those of the sentence in its page; the ends of subject and object are their mentions'.

    ``confidence`` in (0, 1] is of the reading: that the sentence says this of these two. ``negated`` and ``certainty``
    are what the sentence says of it. ``trigger`` is the word that states it.
    """

    start: int
    end: int
    kind: Kind
    subject: Named
    object: Named
    negated: bool
    certainty: Certainty
    confidence: float
    trigger: str
    method: str


def relations_columns() -> "pl.Schema":
    """One row per relation and sentence: ``pages.text[start:end] == sentence`` on ``page``, in code points.

    Subject and object each have ``_id``, ``_type``, ``_name`` of the entity and ``_start``, ``_end`` of the mention;
    where the subject is ``the group``, its span is that of these words. ``kind`` is USES, TARGETS, EXPLOITS,
    ATTRIBUTED_TO or RELATES_TO; ``method`` is ``rule`` or ``reference``, the latter where a word stands for a name.
    """
    import polars as pl

    ends: dict[str, pl.DataType] = {}
    for role in ("subject", "object"):
        ends |= {f"{role}_id": pl.String(), f"{role}_type": pl.String(), f"{role}_name": pl.String()}
        ends |= {f"{role}_start": pl.Int32(), f"{role}_end": pl.Int32()}
    return pl.Schema(
        {
            "page": pl.Int32(), "start": pl.Int32(), "end": pl.Int32(), "sentence": pl.String(), "kind": pl.String(),
            **ends, "negated": pl.Boolean(), "certainty": pl.String(), "confidence": pl.Float32(),
            "trigger": pl.String(), "method": pl.String(),
        }
    )  # fmt: skip
