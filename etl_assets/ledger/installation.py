"""The id of an installation, by which stores that several could write to know whose they are.

It stands in the ledger, so a backup carries it, and a home that is restored is the installation it was.
"""

from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger

_KEY = "installation"


def known_installation(ledger: Ledger) -> str | None:
    """The id, ``None`` while none has been drawn. Raises as ``Ledger.reading``."""
    with ledger.reading() as connection:
        found = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == _KEY))
    return None if found is None else str(found)


def installation_id(ledger: Ledger) -> str:
    """The id, drawn by the first call; processes that call at once get the same. Raises as ``Ledger.writing``."""
    known = known_installation(ledger)
    if known is not None:
        return known
    dialect = sqlite if ledger.dialect == "sqlite" else postgresql
    drawn = dialect.insert(schema.meta).values(key=_KEY, value=uuid4().hex).on_conflict_do_nothing()
    with ledger.writing() as connection:
        connection.execute(drawn)
        return str(connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == _KEY)))
