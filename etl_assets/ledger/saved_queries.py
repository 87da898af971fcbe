"""The words of the searches that people saved, for asking them of another index."""

from sqlalchemy import Connection, or_, select

from etl_assets.ledger import schema

MOST_QUERIES = 200
"""A comparison asks so many of them at most, those that were saved last."""


def saved_queries(connection: Connection, tenant: str, collection: str) -> dict[str, str]:
    """Queries by name that reach a collection: those of its tenant and of everybody, unless for another collection."""
    table = schema.saved_searches
    query = (
        select(table.c.name, table.c.query, table.c.filters)
        .where(or_(table.c.tenant == tenant, table.c.tenant == ""))
        .order_by(table.c.created_at.desc(), table.c.name)
    )
    reaching = (row for row in connection.execute(query) if (row.filters or {}).get("collection") in (None, collection))
    return {row.name: row.query for row, _ in zip(reaching, range(MOST_QUERIES), strict=False)}
