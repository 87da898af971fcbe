"""``etl-assets entity merge``, ``split``, ``corrections`` and ``undo``: which entities are one, and which are not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, table
from etl_assets.cli.session import as_json, opened
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.corrections import Correction
    from etl_assets.protocols.graph import Entity

_KINDS = ("merge", "split")
_TENANT = click.option("--tenant", metavar="NAME", help="Whose documents; needed where several tenants have the name.")


@click.command()
@click.argument("kept", metavar="NAME|ID")
@click.argument("merged", metavar="OTHER")
@_TENANT
@as_json
def merge(kept: str, merged: str, tenant: str | None, as_json: bool) -> None:
    """Say that OTHER is the same thing as NAME: every mention of OTHER becomes one of NAME.

    It holds for the tenant, for documents that come later too, until it is undone. The next sync links the documents
    anew that name OTHER, and no others.
    """
    from etl_assets.ledger.corrections import Place, correct

    with opened() as platform:
        owner, gone = _mentioned(platform, merged, tenant)
        into = meant_entity(platform, kept, owner)
        if into.entity_id == gone.entity_id:
            raise ConfigError(f"entity merge: {printable(kept)} and {printable(merged)} are {into.entity_id} already")
        with platform.ledger.writing() as connection:
            made = correct(connection, Place(owner), "merge", gone.entity_id, {"entity": entity_value(into)}, by=_by())
    _tell(made, f"{gone.name} ({gone.entity_id}) is {into.name} ({into.entity_id}) in {owner}", as_json)


@click.command()
@click.argument("name", metavar="NAME|ID")
@click.argument("text")
@click.option("--into", metavar="NAME|ID", help="What TEXT means; an entity of its own, called TEXT, without it.")
@_TENANT
@as_json
def split(name: str, text: str, into: str | None, tenant: str | None, as_json: bool) -> None:
    """Say that TEXT, where it was taken for NAME, means something else.

    Other spellings stay with NAME. It holds for the tenant until it is undone.
    """
    from etl_assets.documents.mentions.recognised import normal_name
    from etl_assets.ledger.corrections import Place, correct
    from etl_assets.protocols.graph import Entity

    if not text.strip():
        raise ConfigError("entity split: the text is blank; give the words as documents have them")
    with opened() as platform:
        owner, one = _mentioned(platform, name, tenant)
        own = Entity(f"{one.entity_type}:{normal_name(text)}", one.entity_type, text.strip())
        meant = own if into is None else meant_entity(platform, into, owner)
        if meant.entity_id == one.entity_id:
            raise ConfigError(f"entity split: {printable(text)} would stay {one.entity_id}; name another with --into")
        with platform.ledger.writing() as connection:
            value = {"text": text.strip(), "entity": entity_value(meant)}
            made = correct(connection, Place(owner), "split", one.entity_id, value, by=_by())
    _tell(made, f"“{text.strip()}”, taken for {one.entity_id}, is {meant.name} ({meant.entity_id}) in {owner}", as_json)


@click.command(name="corrections")
@_TENANT
@click.option("--history", is_flag=True, help="Those too that were undone.")
@as_json
def list_corrections(tenant: str | None, history: bool, as_json: bool) -> None:
    """List what was merged and split, by whom and when."""
    from etl_assets.ledger.corrections import corrections

    with opened() as platform, platform.ledger.reading() as connection:
        found = [one for one in corrections(connection, tenant=tenant, ended=history) if one.kind in _KINDS]
    if as_json:
        for one in found:
            json_line(_plain(one))
        return
    table(
        ("id", "tenant", "what", "entity", "means", "since", "by", "undone"),
        [(str(one.correction_id), one.tenant, one.kind, _of(one), one.value["entity"]["entity_id"],
          instant(one.made_at), one.made_by, instant(one.ended_at) or "") for one in found],
    )  # fmt: skip


@click.command()
@click.argument("correction_id", metavar="ID", type=click.IntRange(min=1))
@as_json
def undo(correction_id: int, as_json: bool) -> None:
    """Take a merge or a split back; ID is the one that `entity corrections` lists."""
    from etl_assets.ledger.corrections import corrections, take_back

    with opened() as platform, platform.ledger.writing() as connection:
        known = {one.correction_id for one in corrections(connection) if one.kind in _KINDS}
        ended = take_back(connection, correction_id, by=_by()) if correction_id in known else None
    if ended is None:
        raise ConfigError(f"correction {correction_id}: no merge or split of this id is in force; "
                          "`etl-assets entity corrections` lists them")  # fmt: skip
    _tell(ended, f"{ended.kind} of {_of(ended)} is undone", as_json)


def _mentioned(platform: Platform, name: str, tenant: str | None) -> tuple[str, Entity]:
    """The one entity of this name that documents of one tenant mention.

    Raises:
        ConfigError: none, or several.
    """
    from etl_assets.bindings import search_places
    from etl_assets.cli.entity import meant_entities
    from etl_assets.documents.catalogues import catalogue_of
    from etl_assets.search.graph_questions import GraphQuestions

    questions = GraphQuestions(search_places(platform), tenant=tenant)
    found = meant_entities(questions, catalogue_of(platform.ledger, platform.catalogue(), tenant or "", ""), name, None)
    if len(found) > 1:
        listed = ", ".join(f"{one.entity_id} in {owner}" for owner, one in found[:10])
        raise ConfigError(f"entity {printable(name)}: several are meant ({listed}); give an id and --tenant")
    return found[0]


def meant_entity(platform: Platform, name: str, tenant: str) -> Entity:
    """The entity that people mean, whether documents of the tenant mention it yet or only the catalogue has it."""
    from etl_assets.documents.catalogues import catalogue_of
    from etl_assets.protocols.graph import Entity

    folded = name.strip().casefold()
    named = [
        Entity(one.entity_id, one.entity_type, one.name)
        for one in catalogue_of(platform.ledger, platform.catalogue(), tenant, "").entries
        if folded in {text.casefold() for text in (one.entity_id, one.attack_id, one.name, *one.aliases) if text}
    ]
    return named[0] if len(named) == 1 else _mentioned(platform, name, tenant)[1]


def entity_value(entity: Entity) -> dict[str, str]:
    """An entity as corrections hold it."""
    return {"entity_id": entity.entity_id, "entity_type": entity.entity_type, "name": entity.name}


def _of(one: Correction) -> str:
    return one.subject if one.kind == "merge" else f"{one.subject} at “{one.value['text']}”"


def _by() -> str:
    from etl_assets.cli.acting import acting_person

    return acting_person()


def _plain(one: Correction) -> dict[str, Any]:
    return asdict(one) | {"made_at": instant(one.made_at), "ended_at": instant(one.ended_at), "value": dict(one.value)}


def _tell(one: Correction, what: str, as_json: bool) -> None:
    if as_json:
        json_line(_plain(one))
    else:
        say(f"correction {one.correction_id}: {printable(what)}; run: etl-assets sync")
