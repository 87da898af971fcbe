"""Databases of their own for tests on one PostgreSQL."""

import psycopg
from sqlalchemy.engine import make_url


def new_database(admin: str, name: str) -> str:
    """The URL of an empty database, made by the user of the URL ``admin``; whoever asks for it removes it."""
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')  # type: ignore[call-overload]
    return make_url(admin).set(database=name).render_as_string(hide_password=False)


def drop_database(admin: str, name: str) -> None:
    """Remove a database, whoever is connected to it."""
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]
