"""``etl-assets label``: what people know better about one document, and what the next calibration learns from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.acting import acting_person
from etl_assets.cli.choosing import one_document
from etl_assets.cli.output import instant, json_line, printable, say, table
from etl_assets.cli.session import as_json, opened
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.corrections import Correction, Kind

_KINDS = ("label", "link")
_DOCUMENT = click.argument("document", metavar="ID|PATH")


@click.command()
@_DOCUMENT
@click.argument("label")
@as_json
def add(document: str, label: str, as_json: bool) -> None:
    """Say that a document has LABEL, such as ransomware, energy or SET:LABEL.

    It holds for later versions of the document too, until it is undone.
    """
    _label(document, label, True, as_json)


@click.command()
@_DOCUMENT
@click.argument("label")
@as_json
def remove(document: str, label: str, as_json: bool) -> None:
    """Say that a document does not have LABEL."""
    _label(document, label, False, as_json)


@click.command()
@_DOCUMENT
@click.argument("text")
@click.argument("entity", metavar="NAME|ID")
@as_json
def link(document: str, text: str, entity: str, as_json: bool) -> None:
    """Say that TEXT, wherever the document has it as whole words, names this entity."""
    from etl_assets.cli.entity_corrections import entity_value, meant_entity

    with opened() as platform:
        owner = one_document(platform, document).tenant
        meant = meant_entity(platform, entity, owner)
        made = _entered(platform, document, "link", _words(text), {"entity": entity_value(meant)})
    _tell(made, f"“{text.strip()}” is {meant.name} ({meant.entity_id}) in {made.path}", as_json)


@click.command()
@_DOCUMENT
@click.argument("text")
@as_json
def unlink(document: str, text: str, as_json: bool) -> None:
    """Say that TEXT names nothing in the document."""
    with opened() as platform:
        made = _entered(platform, document, "link", _words(text), {"entity": None})
    _tell(made, f"“{text.strip()}” names nothing in {made.path}", as_json)


@click.command(name="list")
@click.option("--document", metavar="ID|PATH", help="Only of this document.")
@click.option("--tenant", metavar="NAME", help="Only of this tenant's documents.")
@click.option("--history", is_flag=True, help="Those too that were replaced or undone.")
@as_json
def list_labels(document: str | None, tenant: str | None, history: bool, as_json: bool) -> None:
    """List what people corrected of labels and links, by whom and when."""
    from etl_assets.ledger.corrections import corrections

    with opened() as platform:
        identity = None if document is None else one_document(platform, document).document_id
        with platform.ledger.reading() as connection:
            known = corrections(connection, tenant=tenant, document_id=identity, ended=history)
    found = [one for one in known if one.kind in _KINDS]
    if as_json:
        for one in found:
            json_line(_plain(one))
        return
    table(
        ("id", "document", "what", "by", "since", "until"),
        [(str(one.correction_id), f"{one.tenant}/{one.collection}/{one.path}", _said(one), one.made_by,
          instant(one.made_at), instant(one.ended_at) or "") for one in found],
    )  # fmt: skip
    say(f"{len(found):,} corrections")


@click.command()
@click.argument("correction_id", metavar="ID", type=click.IntRange(min=1))
@as_json
def undo(correction_id: int, as_json: bool) -> None:
    """Take a correction back; ID is the one that `label list` shows."""
    from etl_assets.ledger.corrections import corrections, take_back

    with opened() as platform, platform.ledger.writing() as connection:
        known = {one.correction_id for one in corrections(connection) if one.kind in _KINDS}
        ended = take_back(connection, correction_id, by=acting_person()) if correction_id in known else None
    if ended is None:
        raise ConfigError(
            f"correction {correction_id}: none of this id is in force; `etl-assets label list` shows those that are"
        )
    _tell(ended, f"undone: {_said(ended)}", as_json)


@click.command()
@click.argument("collection", metavar="TENANT/COLLECTION")
@as_json
def calibrate(collection: str, as_json: bool) -> None:
    """Learn from what people corrected how far the scores of a collection's labels are off.

    A label needs ten corrections, some that say yes and some that say no. What was learned holds from the next sync on.
    Each classifier learns from its own scores. Nothing is sent: of a hosted one, those that are kept here are read.
    """
    from etl_assets.bindings import search_places
    from etl_assets.documents.label_corrections import ENOUGH, corrected_documents, keep_calibration, learned
    from etl_assets.documents.model import pages_columns
    from etl_assets.documents.planning.label_spend import kept_answers
    from etl_assets.search.published_tables import visible_of, whole_table

    tenant, _, name = collection.partition("/")
    with opened() as platform:
        settings = platform.collections.of(tenant, name).classification
        known = corrected_documents(platform.ledger, tenant, name)
        places, documents = search_places(platform), {one.document_id for one in known}
        shown = [one for one in visible_of(places, tenant, name) if one[1].document_id in documents]
        pages = whole_table(places, shown, "pages", pages_columns())
        lines = learned(known, pages, settings, kept_answers(platform, tenant, settings))
        keep_calibration(platform.ledger, tenant, name, lines, by=acting_person())
    if as_json:
        for line in lines:
            json_line(asdict(line))
        return
    for line in lines:
        say(f"{line.subject}: moved by {line.level:+.2f} (logits), learned from {line.judgements} corrections")
    say("run: etl-assets sync" if lines else f"nothing was learned: no label has {ENOUGH} corrections of both kinds")


def _label(document: str, label: str, accepted: bool, as_json: bool) -> None:
    from etl_assets.documents.label_corrections import label_subject

    with opened() as platform:
        named = one_document(platform, document)
        settings = platform.collections.of(named.tenant, named.collection).classification
        made = _entered(platform, document, "label", label_subject(label, settings), {"accepted": accepted})
    _tell(made, f"{made.path} {_said(made)}", as_json)


def _entered(platform: Platform, document: str, kind: Kind, subject: str, value: dict[str, Any]) -> Correction:
    from etl_assets.ledger.corrections import Place, correct
    from etl_assets.ledger.objects import objects_of

    named = one_document(platform, document)
    with platform.ledger.writing() as connection:
        present = objects_of(connection, [named.document_id]).get(named.document_id)
        version = "" if present is None else present.version
        place = Place(named.tenant, named.collection, named.document_id, named.path, version)
        return correct(connection, place, kind, subject, value, by=acting_person())


def _words(text: str) -> str:
    if not text.strip():
        raise ConfigError("label: the text is blank; give the words as the document has them")
    return text.strip()


def _said(one: Correction) -> str:
    if one.kind == "label":
        return f"{'has' if one.value['accepted'] else 'has not'} {one.subject}"
    entity = one.value["entity"]
    return f"“{one.subject}” is {entity['entity_id']}" if entity else f"“{one.subject}” names nothing"


def _plain(one: Correction) -> dict[str, Any]:
    return asdict(one) | {"made_at": instant(one.made_at), "ended_at": instant(one.ended_at), "value": dict(one.value)}


def _tell(one: Correction, what: str, as_json: bool) -> None:
    if as_json:
        json_line(_plain(one))
    else:
        say(f"correction {one.correction_id}: {printable(what)}; run: etl-assets sync")
