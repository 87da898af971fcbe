"""Searches that people saved, with what each found when it was last run. No text of any document is kept here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, upsert


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """One saved search. ``tenant`` is "" when it searches all tenants; times are Unix seconds UTC.

    ``filters`` are the arguments of the search beside its query. ``hits`` are those of the last answer, best first:
    ``document_id``, ``tenant``, ``collection``, ``path``, ``version``, ``chunk_id``, ``page``, ``start``, ``end``.
    """

    tenant: str
    name: str
    query: str
    filters: Mapping[str, Any]
    created_at: float
    answered_at: float
    answered_seq: int
    hits: Sequence[Mapping[str, Any]]

    @property
    def document_ids(self) -> frozenset[str]:
        """The documents that its last answer cites."""
        return frozenset(str(hit["document_id"]) for hit in self.hits)


def saved_searches(connection: Connection, tenant: str | None = None) -> list[SavedSearch]:
    """Every saved search, or those of a tenant ("": of all tenants together), by tenant and name."""
    table = schema.saved_searches
    query = select(*(table.c[name] for name in SavedSearch.__dataclass_fields__)).order_by(table.c.tenant, table.c.name)
    if tenant is not None:
        query = query.where(table.c.tenant == tenant)
    return [SavedSearch(*row) for row in connection.execute(query)]


def save_search(
    connection: Connection, *, tenant: str, name: str, query: str, filters: Mapping[str, Any], sequence: int,
    hits: Sequence[Mapping[str, Any]],
) -> None:  # fmt: skip
    """Enter a search and its answer of now, in place of what has that name; since when it is saved does not change."""
    table = schema.saved_searches
    mine = (table.c.tenant == tenant, table.c.name == name)
    created = connection.scalar(select(table.c.created_at).where(*mine))
    at = clock(connection)
    row = {
        "tenant": tenant, "name": name, "query": query, "filters": dict(filters),
        "created_at": at if created is None else created, "answered_at": at, "answered_seq": sequence,
        "hits": [dict(hit) for hit in hits],
    }  # fmt: skip
    upsert(connection, table, [row])


def remove_search(connection: Connection, tenant: str, name: str) -> bool:
    """Forget a saved search; whether there was one."""
    table = schema.saved_searches
    return connection.execute(delete(table).where(table.c.tenant == tenant, table.c.name == name)).rowcount > 0
