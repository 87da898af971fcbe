"""What a reader may see, as the SQL condition that LanceDB applies before it ranks. Numbers and quoted values only.

LanceDB 0.40 takes no bound parameters: every value is an int, a date, or quoted by ``text``.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date

from etl_assets.protocols.indexes import Filters
from etl_assets.protocols.visibility import Visibility

RUN_WORTH_A_RANGE = 16
"""From this length on, a run of consecutive numbers is written as BETWEEN.

Measured at 40,000 rows: a BETWEEN costs about 0.2 ms to plan and to apply, a number in a list 0.01 ms.
"""

LONGEST_CONDITION = 4_096
"""Past this cost, in listed numbers, a condition is first narrowed to the publications that the table holds.

Measured: 5,000 ranges cost 970 ms in one query, 10,000 listed numbers 50 to 160 ms.
"""


def text(value: str) -> str:
    """``value`` as a SQL string. Quotes are doubled; DataFusion gives no meaning to a backslash."""
    return "'" + value.replace("'", "''") + "'"


def in_texts(column: str, values: Iterable[str]) -> str:
    """Rows whose ``column`` is one of ``values``, of which there must be one at least."""
    return f"{column} IN ({', '.join(text(value) for value in values)})"


def in_numbers(column: str, numbers: Iterable[int]) -> str:
    """Rows whose ``column`` is one of ``numbers``, of which there must be one at least. Runs become ranges."""
    return " OR ".join(_alternatives(column, _runs(sorted(set(numbers)))))


def condition(visible: Visibility, filters: Filters, held: Callable[[], Sequence[int]]) -> str | None:
    """What the rows of a query must satisfy, or None when no row can.

    ``held`` reads the publications the table holds; it is called only when the condition would grow too long.
    """
    publications = _publications(visible, filters.publications, held)
    if publications is None:
        return None
    parts = [publications]
    if filters.document_types:
        parts.append(in_texts("document_type", filters.document_types))
    if filters.since is not None:
        parts.append(f"document_date >= {_day(filters.since)}")
    if filters.until is not None:
        parts.append(f"document_date <= {_day(filters.until)}")
    parts += [f"array_has(labels, {text(label)})" for label in sorted(set(filters.labels))]
    return " AND ".join(f"({part})" for part in parts)


def _publications(
    visible: Visibility, allowed: tuple[int, ...] | None, held: Callable[[], Sequence[int]]
) -> str | None:
    if allowed is None and _cost(visible.hidden) <= LONGEST_CONDITION:
        hidden = _alternatives("publication", visible.hidden)
        return " AND ".join([f"publication <= {visible.highest}", *(f"NOT ({part})" for part in hidden)])
    wanted = _admitted(visible, held() if allowed is None else allowed)
    if _cost(_runs(wanted)) > LONGEST_CONDITION:
        present = sorted(held())
        wanted = sorted(set(wanted).intersection(present))
        if len(wanted) > len(present) // 2:
            # Almost everything may be seen: what may not is the shorter list.
            unwanted = sorted(set(present).difference(wanted))
            return f"NOT ({in_numbers('publication', unwanted)})" if unwanted else "publication IS NOT NULL"
    return in_numbers("publication", wanted) if wanted else None


def _admitted(visible: Visibility, publications: Iterable[int]) -> list[int]:
    """Those a reader may see, ascending; by bisection, since ranges and numbers may both count thousands."""
    lows = [low for low, _ in visible.hidden]

    def seen(publication: int) -> bool:
        before = bisect_right(lows, publication)
        return publication <= visible.highest and (not before or visible.hidden[before - 1][1] < publication)

    return sorted({publication for publication in publications if seen(publication)})


def _runs(ascending: Sequence[int]) -> list[tuple[int, int]]:
    """Inclusive ranges that hold exactly these numbers."""
    runs: list[tuple[int, int]] = []
    for number in ascending:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _cost(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(min(high - low + 1, RUN_WORTH_A_RANGE) for low, high in ranges)


def _alternatives(column: str, ranges: Iterable[tuple[int, int]]) -> list[str]:
    """One condition for each long range, and one for all the short ones."""
    listed: list[int] = []
    parts: list[str] = []
    for low, high in ranges:
        if high - low + 1 < RUN_WORTH_A_RANGE:
            listed.extend(range(low, high + 1))
        else:
            parts.append(f"{column} BETWEEN {low} AND {high}")
    if listed:
        parts.append(f"{column} IN ({', '.join(map(str, listed))})")
    return parts


def _day(day: date) -> str:
    return f"date '{day.isoformat()}'"
