"""How fast things went: seconds by unit of work, from what the last batches and runs took."""

from collections.abc import Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, func, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.publications import STORES
from etl_assets.ledger.rate_fit import ASSUMED_ERROR, LEAST_ERROR, ONE_RUN_ERROR, Measured, Rate, fitted

LAST_BATCHES = 60
LAST_RUNS = 20

ASSUMED: Mapping[str, float] = MappingProxyType(
    {
        "raw_documents": 0.002, "pages": 0.004, "chunks": 0.0006, "embeddings": 0.00015, "knowledge": 0.0001,
        "classifications": 0.0005, "mentions": 0.001, "relations": 0.004,
        "vector": 0.0001, "keyword": 0.00005, "graph": 0.0001, "commit": 0.3,
    }
)  # fmt: skip
"""Seconds where nothing was ever measured: a document taken in, a page, a chunk, a token embedded by a model of this
machine, a row of the other stages, a row written to a store; ``commit`` is for each partition. They are what one core
of an idle machine took, so that a machine is told from them by one factor."""

STARTS: Mapping[str, float] = MappingProxyType(
    {
        "raw_documents": 0.03, "pages": 0.4, "chunks": 0.05, "embeddings": 0.7, "knowledge": 0.2,
        "classifications": 0.1, "mentions": 0.1, "relations": 0.02, "vector": 1.7, "keyword": 0.03, "graph": 0.02,
    }
)  # fmt: skip
"""Seconds that the first batch of a process takes to load parsers, models, names and libraries, measured likewise."""

SENT_S = 0.0002
"""Seconds of a token that is sent to a hosted classifier, where nothing was measured."""


_LIVES_ON = 10
"""So many runs without the first one of a process, and processes are taken to live on."""


def assumed(name: str) -> Rate:
    """What is assumed of a stage, a store or another step where nothing was measured."""
    return Rate(ASSUMED.get(name, 0.001), STARTS.get(name, 0.0), False, ASSUMED_ERROR)


def stage_rate(connection: Connection, place: Partition, stage: str, model: str) -> Rate:
    """Of a stage, by the last batches of the collection, else of any collection that used the same model.

    For a token where a model computes, else for a row. The first batch of a process also loads what the stage needs.
    """
    table = schema.spend
    amount = table.c.tokens if model else table.c.rows_computed
    base = select(table.c.run_id, amount, table.c.seconds).where(
        table.c.stage == stage, table.c.model == model, amount > 0
    )
    usual = Rate(SENT_S, 0.0, False, ASSUMED_ERROR) if model and stage != "embeddings" else assumed(stage)
    for query in (base.where(table.c.tenant == place.tenant, table.c.collection == place.collection), base):
        rows = connection.execute(query.order_by(table.c.spend_id.desc()).limit(LAST_BATCHES)).all()
        runs = list(dict.fromkeys(str(row[0]) for row in rows))
        began, seen = _began(connection, stage, runs), set[str]()
        points: list[Measured] = []
        for run_id, units, seconds in reversed(rows):
            points.append(Measured(float(units), float(seconds), began[run_id] and run_id not in seen, run_id))
            seen.add(run_id)
        rate = fitted(points, usual, begins=_begins([began[run_id] for run_id in runs]))
        if rate is not None:
            return rate
    return usual


def _began(connection: Connection, step: str, runs: Sequence[str]) -> dict[str, bool]:
    """For each run whether a process began with this step in it; so it is taken where no report says."""
    run = schema.runs
    found = dict.fromkeys(runs, True)
    query = select(run.c.run_id, run.c.report).where(run.c.run_id.in_(runs))
    for run_id, report in connection.execute(query):
        values = report.get(step)
        if isinstance(values, Mapping):
            found[run_id] = bool(values.get("cold", True))
    return found


def _begins(began: Sequence[bool]) -> float:
    """The share of runs, newest first, with which a process began; 0 where the last ones were all further ones."""
    return sum(began) / len(began) if any(began[:_LIVES_ON]) else 0.0


def run_rates(connection: Connection, place: Partition) -> dict[str, Rate]:
    """Of taking in a document, of a row of each store, and of all else a run does (``commit``, for each partition)."""
    reports = _reports(connection, place)
    found = {
        "raw_documents": _of_step(reports, "raw_documents", ("added", "changed"), "elapsed_s"),
        **{store: _of_step(reports, f"{store}_index", ("rows",), "seconds") for store in STORES},
    }
    rest = [max(seconds - _accounted(report), 0.0) for _, seconds, report in reports if _wrote(report)]
    error = max(LEAST_ERROR, ONE_RUN_ERROR / len(rest)) if rest else ASSUMED_ERROR
    found["commit"] = Rate(0.0, median(rest) if rest else ASSUMED["commit"], bool(rest), error)
    return found


def _reports(connection: Connection, place: Partition) -> list[tuple[str, float, Mapping[str, Any]]]:
    """(run id, seconds, report) of the last runs that ended well, newest first: of the collection, else of all."""
    run, part = schema.runs, schema.partitions
    base = (
        select(run.c.run_id, run.c.ended_at - run.c.started_at, run.c.report)
        .where(run.c.state == "succeeded", run.c.ended_at.is_not(None))
        .order_by(run.c.started_at.desc())
        .limit(LAST_RUNS)
    )
    mine = base.join(part, part.c.partition == run.c.partition).where(part.c.cid == place.cid)
    rows = connection.execute(mine).all() or connection.execute(base).all()
    return [(str(row[0]), float(row[1]), row[2]) for row in rows]


def _of_step(
    reports: Sequence[tuple[str, float, Mapping[str, Any]]], step: str, units: Sequence[str], seconds: str
) -> Rate:
    """One measurement for each run that had something to do."""
    parts = [(run_id, report[step]) for run_id, _, report in reports if isinstance(report.get(step), Mapping)]
    points = [
        Measured(
            float(sum(one.get(unit, 0) for unit in units)), float(one.get(seconds, 0.0)),
            bool(one.get("cold", True)), run_id,
        )
        for run_id, one in parts
    ]  # fmt: skip
    usual = assumed(step.removesuffix("_index"))
    return fitted(points, usual, begins=_begins([one.is_start for one in points if one.units])) or usual


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
