"""``etl-assets entity show``, ``neighbours`` and ``path``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import json_line, printable, say, shortened
from etl_assets.cli.session import as_json, opened, scoped
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.mentions.catalogue import Catalogue
    from etl_assets.protocols.graph import Entity
    from etl_assets.search.graph_answers import EntityAnswer
    from etl_assets.search.graph_questions import GraphQuestions
    from etl_assets.search.links import Citation, Link

_STATED = click.option("--stated", is_flag=True, help="Walk only what sentences state, not what documents share.")
_KIND = click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help="Walk only relations of this kind, such as USES; repeatable."
)
_TYPE = click.option("--type", "entity_type", metavar="TYPE", help="Only an entity of this type, such as malware.")


@click.command()
@click.argument("name", metavar="NAME|ID")
@scoped
@_TYPE
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many documents.")
@as_json
def show(
    name: str, tenant: str | None, collection: str | None, entity_type: str | None, limit: int, as_json: bool
) -> int:
    """Tell what documents say of an entity: where it is mentioned, and which relations their sentences state.

    NAME is its name or one of its other names in any letter case, or its id, such as group:G0007. Where several
    entities have the name, they are listed and the exit code is 1: give an id or --type.
    """
    with _asked(tenant, collection) as (questions, catalogue):
        meant = meant_entities(questions, catalogue, name, entity_type)
        if _is_ambiguous(meant):
            return _list_candidates(name, meant, as_json)
        answers = [questions.show(owner, entity, limit=limit) for owner, entity in meant]
        known = {one.entity_id for one in catalogue.entries}
    for answer in answers:
        if as_json:
            json_line(answer.as_json() | {"in_catalogue": answer.entity.entity_id in known})
        else:
            _tell(answer, known)
    return 0


@click.command()
@click.argument("name", metavar="NAME|ID")
@scoped
@_TYPE
@click.option("--hops", type=click.IntRange(1, 4), default=1, show_default=True, help="How far.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many neighbours.")
@_STATED
@_KIND
@as_json
def neighbours(
    name: str, tenant: str | None, collection: str | None, entity_type: str | None, hops: int, limit: int,
    stated: bool, kinds: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """List what stands near an entity, each with the sentence that connects them, and where it stands.

    Sentences that contradict one another are all told. The last line says how far was looked.
    """
    asked: dict[str, Any] = {"hops": hops, "limit": limit, "stated": stated, "kinds": [one.upper() for one in kinds]}
    with _asked(tenant, collection) as (questions, catalogue):
        meant = meant_entities(questions, catalogue, name, entity_type)
        if _is_ambiguous(meant):
            return _list_candidates(name, meant, as_json)
        found = [(owner, one, questions.neighbours(owner, one, **asked)) for owner, one in meant]
    for owner, entity, answer in found:
        if as_json:
            named: dict[str, Any] = {"tenant": owner, "of": entity.entity_id, "bounds": answer.bounds.as_json()}
            for one in answer.near:
                json_line(named | one.as_json())
            continue
        say(f"{_name(entity)} in {owner}")
        for one in answer.near:
            say(f"{one.hops} hop{'s' if one.hops > 1 else ' '} {_name(one.entity)}, {_documents(one.weight)}")
            _tell_links(_one_of_each(one.links))
        say("", f"{len(answer.near)} of at most {limit:,} shown; {answer.bounds}")
    return 0


@click.command()
@click.argument("start", metavar="NAME|ID")
@click.argument("end", metavar="NAME|ID")
@scoped
@click.option("--hops", type=click.IntRange(1, 6), default=6, show_default=True, help="The longest way.")
@click.option("--through", multiple=True, metavar="TYPE", help="Only through entities of this type; repeatable.")
@_STATED
@_KIND
@as_json
def path(
    start: str, end: str, tenant: str | None, collection: str | None, hops: int, through: tuple[str, ...],
    stated: bool, kinds: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """Show a shortest way between two entities, with the sentence and its place for each edge.

    The exit code is 1 where there is none.
    """
    asked: dict[str, Any] = {
        "hops": hops,
        "through": through,
        "stated": stated,
        "kinds": [one.upper() for one in kinds],
    }
    with _asked(tenant, collection) as (questions, catalogue):
        ends = [(name, meant_entities(questions, catalogue, name, None)) for name in (start, end)]
        for name, meant in ends:
            if _is_ambiguous(meant):
                return _list_candidates(name, meant, as_json)
        (_, first), (_, last) = ends
        of_end = dict(last)
        ways = [
            (owner, one, of_end[owner], questions.path(owner, one, of_end[owner], **asked))
            for owner, one in first
            if owner in of_end
        ]
    for owner, one, other, way in ways:
        if as_json:
            json_line({"tenant": owner, "start": one.entity_id, "end": other.entity_id, "bounds": way.bounds.as_json(),
                       "edges": [[link.as_json() for link in links] for links in way.edges]})  # fmt: skip
            continue
        say(f"{_name(one)} to {_name(other)} in {owner}: " + (f"{len(way.edges)} edges" if way.edges else "no way"))
        for links in way.edges:
            _tell_links(_one_of_each(links))
        say("", str(way.bounds))
    return 0 if any(way.edges for *_, way in ways) else 1


@contextmanager
def _asked(tenant: str | None, collection: str | None) -> Iterator[tuple[GraphQuestions, Catalogue]]:
    from etl_assets.bindings import search_places
    from etl_assets.documents.catalogues import catalogue_of
    from etl_assets.search.graph_questions import GraphQuestions

    with opened() as platform:
        catalogue = catalogue_of(platform.ledger, platform.catalogue(), tenant or "", collection or "")
        yield GraphQuestions(search_places(platform), tenant=tenant, collection=collection), catalogue


def meant_entities(
    questions: GraphQuestions, catalogue: Catalogue, name: str, entity_type: str | None
) -> list[tuple[str, Entity]]:
    """Entities of this id or name; where there are none, those that the catalogue gives it as another name.

    Raises:
        ConfigError: no visible document mentions any.
    """
    found = questions.candidates(name, entity_type=entity_type)
    if not found:
        folded = name.strip().casefold()
        ids = {one.entity_id for one in catalogue.entries if folded in (other.casefold() for other in one.aliases)}
        ids |= {one.entity_id for one in catalogue.entries if one.attack_id.casefold() == folded}
        found = [pair for one in sorted(ids) for pair in questions.candidates(one, entity_type=entity_type)]
    if not found:
        raise ConfigError(
            f"entity {printable(name)}: no published document mentions it; `etl-assets search` finds passages, and "
            f'`etl-assets sql "select distinct name, entity_id from mentions"` lists what was found'
        )
    return found


def _is_ambiguous(meant: Sequence[tuple[str, Entity]]) -> bool:
    return len({owner for owner, _ in meant}) < len(meant)


def _list_candidates(name: str, meant: Sequence[tuple[str, Entity]], as_json: bool) -> int:
    if as_json:
        candidates = [{"tenant": owner, "entity_id": one.entity_id, "entity_type": one.entity_type, "name": one.name}
                      for owner, one in meant]  # fmt: skip
        json_line({"ambiguous": name, "candidates": candidates})
        return 1
    say(f"{printable(name)} may mean several entities; give an id or --type:")
    for owner, one in meant:
        say(f"  {_name(one)} in {owner}")
    return 1


def _name(entity: Entity) -> str:
    return f"{shortened(entity.name, 60)} ({printable(entity.entity_id)})"


def _documents(count: int) -> str:
    return f"{count:,} document" + ("" if count == 1 else "s")


def _tell(answer: EntityAnswer, known: set[str]) -> None:
    entity = answer.entity
    origin = "of the catalogue" if entity.entity_id in known else "no thing of the catalogue"
    where = f"{_documents(answer.document_count)}{' or more' if answer.has_more else ''} of {answer.tenant}"
    say(f"{_name(entity)}, {entity.entity_type}, {origin}, in {where}")
    for one in answer.documents:
        say("", f"{printable(one.collection)}/{printable(one.path)}: {shortened(one.title, 80)}, {one.count} times")
        for cited in one.passages:
            _tell_citation(cited, with_path=False)
    if answer.links:
        say("", "stated of it" + (", the newest of more" if answer.is_cut else ""))
        _tell_links(answer.links)


def _one_of_each(links: Sequence[Link]) -> list[Link]:
    """The first link of each statement: what contradicts another is a statement of its own."""
    said: dict[tuple[str, str, str, bool], Link] = {}
    for one in links:
        said.setdefault((one.subject.entity_id, one.kind, one.object.entity_id, one.negated), one)
    return [*said.values()]


def _tell_links(links: Sequence[Link]) -> None:
    for link in links:
        said = [] if link.kind == "MENTIONED_WITH" else [link.certainty]
        said += ["denied"] if link.negated else []
        how = f" ({', '.join(said)})" if said else ""
        say(f"  {shortened(link.subject.name, 60)} {link.kind} {shortened(link.object.name, 60)}{how}")
        for cited in link.citations:
            _tell_citation(cited, with_path=True)


def _tell_citation(cited: Citation, *, with_path: bool) -> None:
    place = f"page {cited.page}, characters {cited.start} to {cited.end}"
    say(
        f"    {printable(cited.path)}, {place}" if with_path else f"    {place}", f"    “{shortened(cited.quote, 300)}”"
    )
