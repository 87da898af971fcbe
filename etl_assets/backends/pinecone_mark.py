"""Whose a Pinecone index is: a record in a namespace of its own, which no index space can have for a name.

Pinecone has no write on a condition, so of two installations that come first at the same moment each sees the other's
record, or one does, and withdraws. What proves that: a write returns once queries reflect it.
"""

from contextlib import suppress

import numpy as np

from etl_assets.backends.ownership import foreign
from etl_assets.backends.pinecone_namespace import Namespace, Record
from etl_assets.backends.pinecone_records import Condition
from etl_assets.backends.pinecone_server import MissingError, PineconeServer
from etl_assets.errors import TransientError

NAMESPACE = "etl-assets-installation"
_MOST = 10
_MARKS: Condition = {"publication": {"$gte": 0}}


def claim(server: PineconeServer, address: str, dimension: int, mine: str) -> None:
    """Mark the index as that of installation ``mine``; nothing more is written once it is.

    Raises:
        ConfigError: it belongs to another installation.
        TransientError: another installation marked it at the same moment; both have withdrawn.
    """
    there = marks(server, address, dimension)
    name = server.index_name(dimension)
    if there - {mine}:
        raise foreign(
            f"Pinecone index {name}",
            "set ETL_PINECONE_INDEX_PREFIX to one that no other installation uses, or take a project of its own",
        )
    if mine in there:
        return
    namespace = Namespace(server, address, dimension, NAMESPACE)
    namespace.write([Record(mine, np.eye(1, dimension, dtype=np.float32)[0], {"publication": 0})])
    if marks(server, address, dimension) - {mine}:
        server.call(f"withdrawing from {name}", lambda: server.at(address).delete(ids=[mine], namespace=NAMESPACE))
        raise TransientError(f"Pinecone index {name}: another installation marked it at the same moment; run again")


def marks(server: PineconeServer, address: str, dimension: int) -> set[str]:
    """The installations that have marked the index: none or one, but for a moment."""
    namespace = Namespace(server, address, dimension, NAMESPACE)
    with suppress(MissingError):
        return set(namespace.nearest([1.0, *([0.0] * (dimension - 1))], _MOST, _MARKS))
    return set()
