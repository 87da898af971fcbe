"""Where originals are kept, and beside them the tombstones of what was deleted."""

from etl_assets.ledger.tombstones import Tombstone
from etl_assets.protocols.objects import Blobs

TOMBSTONES = "tombstones.d/"
"""What the keys of tombstones begin with: no tenant's name holds a dot."""
_EARLIER = ".earlier"


def original_key(tenant: str, document: str, version: str) -> str:
    """Where the bytes of a version are kept."""
    return f"{tenant}/{document}/{version}"


def tombstone_key(stone: Tombstone, *, earlier: bool = False) -> str:
    """Where a tombstone is kept beside the originals; all it says is in its name. ``earlier``: of a version that had
    been replaced when its document was deleted, and that an older ledger may show."""
    name = (stone.version or "unread") + (_EARLIER if earlier else "")
    return f"{TOMBSTONES}{stone.tenant}/{stone.collection}/{stone.document_id}/{name}"


def forget_tombstones(originals: Blobs, stone: Tombstone) -> None:
    """Remove what is kept beside the originals for the document of a tombstone that has ended."""
    folder = tombstone_key(stone).rpartition("/")[0]
    for key, _, _ in list(originals.keys(f"{folder}/")):
        originals.delete(key)


def tombstone_of(key: str) -> tuple[Tombstone, bool]:
    """The tombstone that a key without ending of its store says, and whether it is of an earlier version."""
    _, tenant, collection, document, name = key.split("/")
    version = name.removesuffix(_EARLIER)
    return Tombstone(document, "" if version == "unread" else version, tenant, collection, ""), name != version
