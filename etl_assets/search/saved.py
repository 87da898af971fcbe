"""Searches that are kept under a name with what they last found: saved, run again, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from etl_assets.errors import ConfigError
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.saved_searches import SavedSearch, save_search, saved_searches
from etl_assets.search.model import Answer, SearchPlaces
from etl_assets.search.query import search

ALL_TENANTS = ""
LONGEST_NAME = 100
_KEPT = ("document_id", "tenant", "collection", "path", "version", "chunk_id", "page", "start", "end")


@dataclass(frozen=True, slots=True)
class RunAgain:
    """A saved search that was run again: ``before`` is the answer it had. Hits are the same when chunk and version are.

    ``added`` and ``removed`` are ids of documents that the answer cites now and did not, or did and does not.
    """

    before: SavedSearch
    answer: Answer
    is_changed: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]


def save(ledger: Ledger, name: str, answer: Answer, *, tenant: str | None, filters: Mapping[str, Any]) -> None:
    """Keep a search and its answer under a name of the tenant, in place of what has this name.

    ``filters`` are arguments of ``search`` beside query and tenant; days are in ISO form.

    Raises:
        ConfigError: the name is blank, longer than 100 characters, or has characters that cannot be shown.
    """
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"saved search {name[:LONGEST_NAME]!r}: use 1 to {LONGEST_NAME} characters that can be shown")
    hits = [{field: getattr(hit, field) for field in _KEPT} for hit in answer.hits]
    with ledger.writing() as connection:
        save_search(
            connection, tenant=tenant or ALL_TENANTS, name=name, query=answer.query, filters=filters,
            sequence=answer.sequence, hits=hits,
        )  # fmt: skip


def saved_named(ledger: Ledger, name: str, tenant: str | None) -> SavedSearch:
    """The one saved search of this name; ``tenant`` chooses among several.

    Raises:
        ConfigError: there is none, or several tenants have one.
    """
    with ledger.reading() as connection:
        found = [one for one in saved_searches(connection, tenant) if one.name == name]
    if not found:
        raise ConfigError(f"saved search {name!r}: there is none; `etl-assets searches list` shows those there are")
    if len(found) > 1:
        owners = ", ".join(one.tenant or "all tenants" for one in found)
        raise ConfigError(f"saved search {name!r}: {owners} have one of this name; add --tenant")
    return found[0]


def run_again(places: SearchPlaces, saved: SavedSearch) -> RunAgain:
    """Ask again what was saved, and keep the new answer in place of the old one, unless a source did not answer.

    Raises:
        ConfigError, TransientError, PermanentError: as ``search``.
    """
    filters = dict(saved.filters)
    for day in ("since", "until"):
        if filters.get(day) is not None:
            filters[day] = date.fromisoformat(filters[day])
    answer = search(places, saved.query, tenant=saved.tenant or None, **filters)
    if not answer.degraded:
        save(places.ledger, saved.name, answer, tenant=saved.tenant, filters=saved.filters)
    cited = frozenset(hit.document_id for hit in answer.hits)
    now = [(hit.document_id, hit.version, hit.chunk_id) for hit in answer.hits]
    then = [(hit["document_id"], hit["version"], hit["chunk_id"]) for hit in saved.hits]
    return RunAgain(
        saved, answer, now != then, tuple(sorted(cited - saved.document_ids)), tuple(sorted(saved.document_ids - cited))
    )
