"""Builders for the suites of the vector index and the keyword index, and the model both are compared with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from numpy.typing import NDArray

from etl_assets.protocols.indexes import Filters, IndexSpace, keyword_rows, vector_rows
from etl_assets.protocols.visibility import Visibility

DIMENSION = 8
SPACE = IndexSpace("acme", "reports", 1)
ALL = Visibility(sequence=1, highest=10**12)
NO_FILTERS = Filters()

TYPES = ["application/pdf", "text/html", 'o\'clock "x" \\ % _ -- ; \u65e5\n', ""]
"""Document types, some of them hard to quote."""

LABELS = ["threat:ransomware", "own:it's odd %"]
"""What documents may be about; one of them is hard to quote."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of either index; ``seed`` decides its vector."""

    publication: int
    chunk_id: str
    text: str = "a word"
    seed: int = 0
    document_type: str | None = "application/pdf"
    document_date: date | None = None
    labels: tuple[str, ...] = ()

    @property
    def document_id(self) -> str:
        return f"document-{self.publication}"

    @property
    def vector(self) -> NDArray[np.float32]:
        return unit_vector(self.seed)

    @property
    def attributes(self) -> dict[str, object]:
        """What filters look at."""
        names = ("document_type", "document_date", "labels")
        return {name: getattr(self, name) for name in names}

    def passes(self, visible: Visibility, filters: Filters) -> bool:
        """The meaning of visibility and filters, said once more and plainly."""
        day = self.document_date
        return (
            visible.admits(self.publication)
            and (not filters.document_types or self.document_type in filters.document_types)
            and (filters.since is None or (day is not None and day >= filters.since))
            and (filters.until is None or (day is not None and day <= filters.until))
            and set(filters.labels) <= set(self.labels)
            and (filters.publications is None or self.publication in filters.publications)
        )


def unit_vector(seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """A vector of length 1 that depends on ``seed`` alone."""
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _ids(rows: Sequence[Row]) -> list[pa.Array]:
    return [
        pa.array([row.publication for row in rows], pa.int64()),
        pa.array([row.document_id for row in rows], pa.string()),
        pa.array([row.chunk_id for row in rows], pa.string()),
        pa.array([row.document_type for row in rows], pa.string()),
        pa.array([row.document_date for row in rows], pa.date32()),
    ]


def vector_table(rows: Iterable[Row]) -> pa.Table:
    """``rows`` as the vector index takes them."""
    held = list(rows)
    flat = np.concatenate([row.vector for row in held]) if held else np.empty(0, np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), DIMENSION)
    return pa.table([*_ids(held), vectors, _labels(held)], schema=vector_rows(DIMENSION))


def keyword_table(rows: Iterable[Row]) -> pa.Table:
    """``rows`` as the keyword index takes them."""
    held = list(rows)
    texts = pa.array([row.text for row in held], pa.string())
    return pa.table([*_ids(held), texts, _labels(held)], schema=keyword_rows())


def _labels(rows: Sequence[Row]) -> pa.Array:
    return pa.array([list(row.labels) for row in rows], pa.list_(pa.string()))


@st.composite
def visibilities(draw: st.DrawFn, highest: int = 30) -> Visibility:
    """Any set of hidden ranges at or below a highest publication."""
    top = draw(st.integers(0, highest))
    hidden = sorted(draw(st.sets(st.integers(1, top), max_size=top))) if top else []
    ranges: list[tuple[int, int]] = []
    for number in hidden:
        if ranges and ranges[-1][1] == number - 1 and draw(st.booleans()):
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return Visibility(sequence=1, highest=top, hidden=tuple(ranges))


DAYS = st.dates(date(2024, 1, 1), date(2024, 1, 6))


def filters() -> st.SearchStrategy[Filters]:
    """Every combination of filters."""
    return st.builds(
        Filters,
        document_types=st.lists(st.sampled_from(TYPES), max_size=3).map(tuple),
        since=st.none() | DAYS,
        until=st.none() | DAYS,
        labels=st.lists(st.sampled_from(LABELS), max_size=2).map(tuple),
        publications=st.none() | st.lists(st.integers(1, 30), max_size=20).map(tuple),
    )


def varied_rows(count: int = 60) -> list[Row]:
    """Rows over publications 1 to 30, types, and dates, some without either; vectors and texts all different."""
    rng = np.random.default_rng(7)
    return [
        Row(
            publication=1 + i % 30,
            chunk_id=f"chunk-{i}",
            text="zebra " + " ".join(f"w{n}" for n in rng.integers(0, 50, 1 + i % 7)),
            seed=i,
            document_type=[*TYPES, None][i % 5],
            document_date=None if i % 4 == 0 else date(2024, 1, 1 + i % 6),
            labels=tuple(LABELS[: i % 3]),
        )
        for i in range(count)
    ]
