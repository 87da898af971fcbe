"""How fast things went: seconds by unit of work, from what the last batches and runs took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, median_low
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, func, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.publications import STORES

LAST_BATCHES = 60
LAST_RUNS = 20

ASSUMED: Mapping[str, float] = MappingProxyType(
    {
        "raw_documents": 0.005, "pages": 0.02, "chunks": 0.0005, "embeddings": 0.0002, "knowledge": 0.001,
        "classifications": 0.004, "mentions": 0.003, "relations": 0.001,
        "vector": 0.0005, "keyword": 0.0005, "graph": 0.001, "commit": 1.0,
    }
)  # fmt: skip
"""Seconds where nothing was ever measured: a document taken in, a page, a chunk, a token embedded by a model of this
machine, a page searched for names, a row written to a store; ``commit`` is for each partition."""

STARTS: Mapping[str, float] = MappingProxyType(
    {
        "pages": 0.6,
        "chunks": 0.3,
        "embeddings": 1.5,
        "knowledge": 0.8,
        "classifications": 0.5,
        "relations": 0.1,
        "mentions": 0.1,
        "vector": 0.6,
        "keyword": 0.3,
        "graph": 0.1,
    }
)
"""Seconds that the first batch of a process takes to load parsers, models, names and libraries."""

SENT_S = 0.0002
"""Seconds of a token that is sent to a hosted classifier, where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``each_s`` for every unit and ``start_s`` for every run; not ``measured`` where it is assumed."""

    each_s: float
    start_s: float = 0.0
    measured: bool = True

    def seconds(self, units: float) -> float:
        """How long so many units take; nothing for none."""
        return self.start_s + self.each_s * units if units else 0.0


def fitted(runs: Sequence[Sequence[tuple[float, float]]], start_s: float) -> Rate | None:
    """The rate of what was measured: (units, seconds) of every batch, run by run, in order.

    The first batch of a run also loads what the stage needs, where the process had not. So the rate is that of later
    batches; where no run had any, the first ones are taken for what is left without ``start_s``, though for no less
    than half. ``None`` when no unit was ever measured.
    """
    runs = [[point for point in run if point[0] > 0] for run in runs]
    first = [run[0] for run in runs if run]
    if not first:
        return None
    later = [point for run in runs for point in run[1:]]
    if not later:
        later = [(units, max(seconds - start_s, seconds / 2)) for units, seconds in first]
    each = sum(seconds for _, seconds in later) / sum(units for units, _ in later)
    return Rate(each, median_low(max(seconds - each * units, 0.0) for units, seconds in first))


def stage_rate(connection: Connection, place: Partition, stage: str, model: str) -> Rate:
    """Of a stage, by the last batches of the collection, else of any collection that used the same model.

    For a token where a model computes, else for a row.
    """
    table = schema.spend
    amount = table.c.tokens if model else table.c.rows_computed
    base = select(table.c.run_id, amount, table.c.seconds).where(
        table.c.stage == stage, table.c.model == model, amount > 0
    )
    for query in (base.where(table.c.tenant == place.tenant, table.c.collection == place.collection), base):
        rows = connection.execute(query.order_by(table.c.spend_id.desc()).limit(LAST_BATCHES)).all()
        found: dict[str, list[tuple[float, float]]] = {}
        for run_id, units, seconds in reversed(rows):
            found.setdefault(run_id, []).append((float(units), float(seconds)))
        rate = fitted(list(found.values()), STARTS.get(stage, 0.0))
        if rate is not None:
            return rate
    return Rate(SENT_S if model and stage != "embeddings" else ASSUMED.get(stage, 0.001), measured=False)


def run_rates(connection: Connection, place: Partition) -> dict[str, Rate]:
    """Of taking in a document, of a row of each store, and of all else a run does (``commit``, for each partition)."""
    reports = _reports(connection, place)
    rates = {
        "raw_documents": _of_step(reports, "raw_documents", ("added", "changed"), "elapsed_s"),
        **{store: _of_step(reports, f"{store}_index", ("rows",), "seconds") for store in STORES},
    }
    found = {name: rate or Rate(ASSUMED[name], measured=False) for name, rate in rates.items()}
    rest = [max(seconds - _accounted(report), 0.0) for seconds, report in reports if _wrote(report)]
    found["commit"] = Rate(0.0, median(rest)) if rest else Rate(0.0, ASSUMED["commit"], measured=False)
    return found


def _reports(connection: Connection, place: Partition) -> list[tuple[float, Mapping[str, Any]]]:
    """(seconds, report) of the last runs that ended well: of the collection, else of all."""
    run, part = schema.runs, schema.partitions
    base = (
        select(run.c.ended_at - run.c.started_at, run.c.report)
        .where(run.c.state == "succeeded", run.c.ended_at.is_not(None))
        .order_by(run.c.started_at.desc())
        .limit(LAST_RUNS)
    )
    mine = base.join(part, part.c.partition == run.c.partition).where(part.c.cid == place.cid)
    rows = connection.execute(mine).all() or connection.execute(base).all()
    return [(float(row[0]), row[1]) for row in rows]


def _of_step(
    reports: Sequence[tuple[float, Mapping[str, Any]]], step: str, units: Sequence[str], seconds: str
) -> Rate | None:
    """One measurement for each run, of which some loaded libraries: the quickest one did not.

    A single run may have, so it is not believed beyond three times what is assumed.
    """
    name = step.removesuffix("_index")
    parts = [report[step] for _, report in reports if isinstance(report.get(step), Mapping)]
    points = [(sum(one.get(unit, 0) for unit in units), float(one.get(seconds, 0.0))) for one in parts]
    points = [point for point in points if point[0]]
    if not points:
        return None
    each = min(took / amount for amount, took in points)
    start = median_low(max(took - each * amount, 0.0) for amount, took in points)
    if len(points) == 1:
        believed = min(each, 3 * ASSUMED[name])
        return Rate(believed, min(points[0][1] - believed * points[0][0], STARTS.get(name, 0.0)))
    return Rate(each, start)


def _accounted(report: Mapping[str, Any]) -> float:
    """Seconds of a run that its steps account for."""
    steps = [one for one in report.values() if isinstance(one, Mapping)]
    return sum(float(one.get("elapsed_s") or one.get("seconds") or 0.0) for one in steps)


def _wrote(report: Mapping[str, Any]) -> bool:
    committed = report.get("published_documents")
    return isinstance(committed, Mapping) and bool(committed.get("published") or committed.get("removed"))


def row_bytes(connection: Connection, place: Partition, stage: str) -> float:
    """Bytes of the lake that a row of a stage takes: in the collection, else anywhere, 0.0 where nothing is stored."""
    file = schema.segments
    base = select(func.sum(file.c.size_bytes), func.sum(file.c.row_count)).where(file.c.stage == stage)
    for query in (base.where(file.c.cid == place.cid), base):
        size, rows = connection.execute(query).one()
        if rows:
            return float(size) / float(rows)
    return 0.0
