"""``etl-assets status``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, table
from etl_assets.cli.session import as_json, opened, scoped, unknown_collection, warn_of_moves, warn_of_unusable

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.runs import RunRow


@click.command()
@scoped
@as_json
def status(tenant: str | None, collection: str | None, as_json: bool) -> None:
    """Show for each collection how many documents are in which state, and its last run."""
    with opened() as platform:
        warn_of_unusable(platform, tenant, collection)
        warn_of_moves(platform)
        records = collection_states(platform, tenant, collection)
        pauses = _pauses(platform, tenant, collection)
    if not records and (tenant or collection):
        raise unknown_collection(tenant, collection)
    if as_json:
        for record in records:
            json_line(record)
        return
    table(
        ("collection", "current", "pending", "quarantined", "removed", "partitions", "last run", ""),
        [
            (_named(record), record["current"], record["pending"], record["quarantined"], record["removed"],
             len(record["partitions"]), *_last(record["last_run"]))
            for record in records
        ],
        numeric=("current", "pending", "quarantined", "removed", "partitions"),
    )  # fmt: skip
    for record in records:
        for one in record["generations"]:
            if one["state"] == "building":
                why = "; ".join(one["reasons"]) or "`etl-assets generation list` shows how far it is"
                say(f"{_named(record)}: index generation {one['generation']} is being built: {printable(why)}")
    for line in pauses:
        say(line)
    if not records:
        say("no collection yet; start with: etl-assets demo, or etl-assets document add PATH ...")


def _pauses(platform: Platform, tenant: str | None, collection: str | None) -> list[str]:
    """Each pause that holds for anything of what is shown, in words."""
    from etl_assets.cli.control import told_pause
    from etl_assets.ledger.catalogue import partitions
    from etl_assets.ledger.controls import controls

    now = controls(platform.ledger)
    if not now.by_scope:
        return []
    places = partitions(platform.ledger, tenant=tenant, collection=collection)
    found = (now.pause_of(place.key) for place in places)
    return [told_pause(one) for one in dict.fromkeys(found) if one is not None]


def collection_states(platform: Platform, tenant: str | None, collection: str | None) -> list[dict[str, Any]]:
    """One record per collection that the ledger or the store knows, by name; last, what is outside of any."""
    from etl_assets.documents.listing import STATES, listed_documents
    from etl_assets.ledger.catalogue import partitions
    from etl_assets.ledger.runs import last_runs

    counts: dict[tuple[str, str], Counter[str]] = {}
    for one in listed_documents(platform, tenant=tenant, collection=collection):
        counts.setdefault((one.tenant, one.collection), Counter())[one.state] += 1
    keys: dict[tuple[str, str], list[str]] = {}
    for place in partitions(platform.ledger, tenant=tenant, collection=collection):
        keys.setdefault((place.tenant, place.collection), []).append(place.key)
    there = {
        place for place in platform.arrivals.collections()
        if tenant in (None, place[0]) and collection in (None, place[1])
    }  # fmt: skip
    generations = _generations(platform, tenant, collection)
    runs = last_runs(platform.ledger)
    names = sorted({*counts, *keys, *there}, key=lambda name: (name == ("", ""), name))
    return [
        {
            "tenant": name[0], "collection": name[1],
            **{state: counts.get(name, Counter())[state] for state in STATES},
            "partitions": keys.get(name, []),
            "generations": generations.get(name, []),
            "last_run": _run(max((runs[key] for key in keys.get(name, ()) if key in runs), key=_started, default=None)),
        }
        for name in names
    ]  # fmt: skip


def _generations(
    platform: Platform, tenant: str | None, collection: str | None
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The index generations in use of each collection; ``reasons`` are why one is not promoted."""
    from etl_assets.ledger.catalogue import partitions
    from etl_assets.ledger.generations import generations

    places = {
        (place.tenant, place.collection): place.cid
        for place in partitions(platform.ledger, tenant=tenant, collection=collection)
    }
    with platform.ledger.reading() as connection:
        return {
            name: [
                {
                    "generation": one.generation_id, "state": one.state, "model": one.embedding_model,
                    "reasons": list((one.verdict or {}).get("reasons", ())) if one.state == "building" else [],
                }
                for one in generations(connection, cid).values()
            ]
            for name, cid in places.items()
        }  # fmt: skip


def _started(run: RunRow) -> float:
    return run.started_at


def _run(run: RunRow | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "run_id": run.run_id, "partition": run.partition, "state": run.state,
        "started_at": instant(run.started_at), "ended_at": instant(run.ended_at), "error": run.report.get("error"),
    }  # fmt: skip


def _named(record: dict[str, Any]) -> str:
    return f"{record['tenant']}/{record['collection']}" if record["tenant"] else "(outside any collection)"


def _last(run: dict[str, Any] | None) -> tuple[str, str]:
    if run is None:
        return "never; run etl-assets sync", ""
    return f"{run['started_at']} {run['state']}", run["error"] or ""
