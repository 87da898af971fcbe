"""``etl-assets document show`` and ``history``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, shortened, table
from etl_assets.cli.session import as_json, opened, read_settings

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.settings import Settings

_COMPARED_AT_ONCE = 2_000
"""So many documents that are new since the last comparison take some seconds."""

Record = dict[str, Any]

_SENTENCES, _ENTITIES = 2, 20
"""What is shown to people of each label, and of entities and relations; ``--json`` has all."""


@click.command()
@click.argument("name", metavar="ID|PATH")
@as_json
def show(name: str, as_json: bool) -> None:
    """Explain one document: its versions, what each stage made of it, where it is published, why it is held back."""
    settings = read_settings()
    with opened(settings) as platform:
        record = explained(platform, name)
        record["near_duplicates"] = _repeated(platform, settings, record)
        record["findings"] = _found(platform, record)
    if as_json:
        json_line(record)
        return
    say(f"{printable(record['tenant'])}/{printable(record['collection'])}/{printable(record['path'])}")
    say(f"{record['document_id']}  {record['state']}" + (f": {record['reason']}" if record["reason"] else ""))
    for row in record["quarantine"]:
        say(f"held at {row['stage']} since {row['first_at']}, {row['attempts']} attempts: {printable(row['message'])}")
    say("", "versions")
    table(
        ("version", "bytes", "arrived", "until"),
        [(one["version"][:16], one["size_bytes"], one["arrived_at"], "gone or replaced" if one["end_seq"] else "now")
         for one in record["versions"]],
        numeric=("bytes",),
    )  # fmt: skip
    say("", "stages, of what is kept now")
    table(
        ("stage", "rows", "seconds", "tokens", "computed", "producer"),
        [(one["stage"], one["row_count"], f"{one['seconds']:.3f}", one["tokens"], one["computed_at"], one["producer"])
         for one in record["stages"]],
        numeric=("rows", "seconds", "tokens"),
    )  # fmt: skip
    if record["near_duplicates"]:
        say("", "near-duplicates")
        table(
            ("similarity", "document"),
            [(f"{one['similarity']:.0%}", f"{one['collection']}/{one['path']}") for one in record["near_duplicates"]],
        )
    _show_findings(record["findings"])
    say("", "published")
    table(
        ("publication", "version", "index generation", "model", "rows"),
        [(str(one["publication"]), one["version"][:16], f"{one['generation_id']} ({one['state']})",
          one["embedding_model"], ", ".join(f"{store} {count}" for store, count in one["counts"].items()))
         for one in record["published"]],
    )  # fmt: skip


@click.command()
@click.argument("name", metavar="ID|PATH")
@as_json
def history(name: str, as_json: bool) -> None:
    """Tell what happened to one document, in the ledger's order: arrivals, computations, publications."""
    with opened() as platform:
        events = told(platform, name)
    if as_json:
        for event in events:
            json_line(event)
        return
    table(
        ("sequence", "time", "event", "version", "what"),
        [(event["sequence"], event["at"] or "", event["event"], event["version"][:16], event["detail"])
         for event in events],
        numeric=("sequence",),
    )  # fmt: skip


def explained(platform: Platform, name: str) -> Record:
    """Everything about one document, as plain values."""
    from etl_assets.cli.choosing import one_document
    from etl_assets.documents.listing import listed_documents
    from etl_assets.ledger import documents_view as view

    named = one_document(platform, name)
    listed = (
        one for one in listed_documents(platform, tenant=named.tenant, collection=named.collection)
        if one.document_id == named.document_id
    )  # fmt: skip
    line = next(listed, None)
    with platform.ledger.reading() as connection:
        held = [one for one in view.held_documents(connection) if one.document_id == named.document_id]
        versions = view.versions_of(connection, named.document_id)
        made = view.outputs_of(connection, named.document_id)
        shown = view.publications_of(connection, named.document_id)
        waiting = view.waiting_of(connection, named.document_id)
    now = [one for one in made if one["end_seq"] is None]
    facts: Record = next((dict(one["facts"]) for one in reversed(now) if one["stage"] == "pages" and one["facts"]), {})
    return {
        **asdict(named),
        "state": line.state if line else "removed",
        "reason": line.reason if line else None,
        "title": line.title if line else None,
        "facts": facts,
        "versions": [one | {"arrived_at": instant(one["arrived_at"])} for one in versions],
        "stages": [_without(one, "end_seq", "facts") | {"computed_at": instant(one["computed_at"])} for one in now],
        "published": [_without(one, "end_seq") for one in shown if one["end_seq"] is None],
        "waiting": [one | {"since": instant(one["since"])} for one in waiting],
        "quarantine": [
            asdict(one) | {"first_at": instant(one.first_at), "last_at": instant(one.last_at)} for one in held
        ],
    }


def _repeated(platform: Platform, settings: Settings, record: Record) -> list[Record] | None:
    """What it repeats in its tenant; None where too many documents were never compared."""
    from etl_assets.bindings import search_places, signature_store
    from etl_assets.search.near_duplicates import NearDuplicates, SignaturesMissing

    if not record["published"]:
        return []
    try:
        near = NearDuplicates(
            search_places(platform), signature_store(settings), record["tenant"], most_new=_COMPARED_AT_ONCE
        )
    except SignaturesMissing:
        return None
    return [dict(one.as_json()) for one in near.of_document(record["document_id"])]


def _found(platform: Platform, record: Record) -> Record:
    """Labels, entities and relations of what searches show of it; who corrected it stands under ``corrections``."""
    from etl_assets.bindings import search_places
    from etl_assets.ledger.corrections import corrections
    from etl_assets.search.findings import document_findings

    with platform.ledger.reading() as connection:
        made = corrections(connection, document_id=record["document_id"])
    told = [{"kind": one.kind, "subject": one.subject, "value": dict(one.value), "made_by": one.made_by,
             "made_at": instant(one.made_at)} for one in made]  # fmt: skip
    live = [one for one in record["published"] if one["state"] == "live"]
    if not live:
        return {"labels": [], "entities": [], "relations": [], "corrections": told}
    found = document_findings(search_places(platform), live[0]["generation_id"], live[0]["publication"])
    return {**found, "corrections": told}


def _show_findings(found: Record) -> None:
    from etl_assets.documents.classification.labelling import VERSION as PACKAGED
    from etl_assets.documents.labels import TECHNIQUE

    by = {one["subject"]: f"by a person: {one['made_by']}, {one['made_at']}" for one in found["corrections"]}
    if found["labels"]:
        say("", "labels")
        for one in found["labels"]:
            name = f"{one['kind']}:{one['label']}"
            who = by.get(name) or ("" if one["kind"] == TECHNIQUE or one["classifier"] == PACKAGED
                                   else f"by {one['classifier']}")  # fmt: skip
            say(f"{printable(name)}  {one['score']:.2f}  {printable(who)}".rstrip())
            for behind in one["evidence"][:_SENTENCES]:
                place = f"page {behind['page']}, characters {behind['start']} to {behind['end']}"
                say(f"    “{shortened(behind['text'], 200)}” ({place})")
    if found["entities"]:
        say("", "entities")
        table(
            ("entity", "name", "times", "confidence", "first at"),
            [(one["entity_id"], one["name"], one["count"], f"{one['confidence']:.2f}",
              f"page {one['page']}, {one['start']}") for one in found["entities"][:_ENTITIES]],
            numeric=("times",),
        )  # fmt: skip
    if found["relations"]:
        say("", "relations")
        for one in found["relations"][:_ENTITIES]:
            said = "not " if one["negated"] else ""
            say(f"{printable(one['subject_name'])} {said}{one['kind']} {printable(one['object_name'])} "
                f"({one['certainty']}): “{shortened(one['sentence'], 200)}” (page {one['page']})")  # fmt: skip


def told(platform: Platform, name: str) -> list[Record]:
    """What happened to one document, oldest first."""
    from etl_assets.cli.choosing import one_document
    from etl_assets.ledger import documents_view as view
    from etl_assets.ledger import pinned_versions

    named = one_document(platform, name)
    with platform.ledger.reading() as connection:
        held = [one for one in view.held_documents(connection) if one.document_id == named.document_id]
        versions = view.versions_of(connection, named.document_id)
        made = view.outputs_of(connection, named.document_id)
        shown = view.publications_of(connection, named.document_id)
        pin = pinned_versions.pinned(connection, [named.document_id]).get(named.document_id)
    begun = {one["begin_seq"] for one in versions}
    begun_shown = {one["begin_seq"] for one in shown}
    events = []
    for one in versions:
        events.append(_event(one, "arrived", f"{one['size_bytes']:,} bytes", at=one["arrived_at"]))
        if one["end_seq"] is not None and one["end_seq"] not in begun:
            events.append(_event(one, "removed", "its key is gone", ended=True))
    for one in made:
        detail = f"{one['stage']}: {one['row_count']:,} rows in {one['seconds']:.3f} s by {one['producer']}"
        events.append(_event(one, "computed", detail, at=one["computed_at"]))
    for one in shown:
        rows = ", ".join(f"{store} {count}" for store, count in one["counts"].items())
        events.append(_event(one, "published", f"publication {one['publication']}: {rows}"))
        if one["end_seq"] is not None and one["end_seq"] not in begun_shown:
            events.append(_event(one, "withdrawn", f"publication {one['publication']}", ended=True))
    events.sort(key=lambda event: event["sequence"])
    if pin is not None:
        events.append(
            {
                "sequence": None, "at": instant(pin.since), "event": "pinned", "version": pin.version,
                "detail": f"published again by a person; its key has {pin.key_version[:16]}",
            }
        )  # fmt: skip
    for row in held:
        events.append(
            {
                "sequence": None, "at": instant(row.last_at), "event": "quarantined", "version": row.version,
                "detail": f"{row.stage}: {row.reason}: {row.message}",
            }
        )  # fmt: skip
    return events


def _event(one: Record, word: str, detail: str, *, at: float | None = None, ended: bool = False) -> Record:
    sequence = one["end_seq"] if ended else one["begin_seq"]
    return {"sequence": sequence, "at": instant(at), "event": word, "version": one["version"], "detail": detail}


def _without(record: Record, *names: str) -> Record:
    return {name: value for name, value in record.items() if name not in names}
