"""What people said of a document's labels, laid over what was computed. Keeping corrections is not done here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.documents.classification.calibration import Calibration, PlattLine

if TYPE_CHECKING:
    import polars as pl

BY_PEOPLE = "people"
"""What stands as the classifier of a row that a person decided."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A person's word: the label ``label`` of set ``kind`` holds for the document, or does not."""

    document_id: str
    kind: str
    label: str
    holds: bool


def corrected(rows: "pl.DataFrame", corrections: Sequence[Correction]) -> "pl.DataFrame":
    """Rows of the stage with the corrections applied: score 1 or 0, ``accepted`` accordingly, evidence kept.

    A label that was not found is added without evidence. Of several words on one label the last holds. Corrections
    of documents that ``rows`` does not have are added as well: give those of its documents. Techniques are rows of
    sentences: one that is denied is denied in every sentence of the document, and one that holds is not added twice.
    """
    import polars as pl

    last = {(one.document_id, one.kind, one.label): one.holds for one in corrections}
    if not last:
        return rows
    columns = ("document_id", "kind", "label")
    said = pl.DataFrame(
        [(*key, holds) for key, holds in last.items()], orient="row",
        schema={**dict.fromkeys(columns, pl.String()), "holds": pl.Boolean()},
    )  # fmt: skip
    joined = rows.join(said, on=columns, how="left", maintain_order="left")
    is_said = pl.col("holds").is_not_null()
    decided = joined.with_columns(
        score=pl.when(is_said).then(pl.col("holds").cast(pl.Float32)).otherwise(pl.col("score")),
        accepted=pl.when(is_said).then(pl.col("holds")).otherwise(pl.col("accepted")),
        classifier=pl.when(is_said).then(pl.lit(BY_PEOPLE)).otherwise(pl.col("classifier")),
    ).select(rows.columns)
    new = said.join(rows, on=columns, how="anti", maintain_order="left").with_columns(
        rank=pl.lit(1, pl.Int8()), score=pl.col("holds").cast(pl.Float32), accepted=pl.col("holds"),
        evidence=pl.lit([], rows.schema["evidence"]), classifier=pl.lit(BY_PEOPLE),
    )  # fmt: skip
    return pl.concat([decided, new.sort(columns).select(rows.columns)])


def judged(
    rows: "pl.DataFrame", corrections: Iterable[Correction], calibration: Calibration
) -> list[tuple[str, float, bool]]:
    """(label, score, what people say), for ``recalibrated``; ``rows`` of one set as computed, not yet corrected.

    ``calibration`` is the one under which they were computed: its lines are taken back, so that a calibration learned
    again rests on the scores themselves. A label that the rows do not have was scored too low to be kept: it counts 0.
    """
    keys = zip(rows["document_id"], rows["kind"], rows["label"], strict=True)
    known: dict[tuple[str, str, str], float] = {}
    for key, score in zip(keys, rows["score"], strict=True):
        known[key] = max(known.get(key, 0.0), score)
    last = {(one.document_id, one.kind, one.label): one.holds for one in corrections}
    return [
        (key[2], calibration.lines.get(key[2], PlattLine()).undone(known.get(key, 0.0)), holds)
        for key, holds in sorted(last.items())
    ]
