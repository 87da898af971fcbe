"""Which catalogue of names a collection's documents are linked to: the packaged one, with what people brought.

Where names are found in text is not here, but in ``mentions``; how a bundle is read, in ``mentions.stix_catalogue``.
"""

import gzip
import hashlib
import json
from collections.abc import Sequence

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.stix_catalogue import Bundle, read_bundle
from etl_assets.errors import ConfigError
from etl_assets.ledger import given_catalogues
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.given_catalogues import GivenCatalogue, Mode, NewCatalogue

LARGEST_BUNDLE_BYTES = 512 * 1024 * 1024
"""ATT&CK for enterprise has 45 MB."""

_MOST_KEPT = 4
_KEPT: dict[str, Catalogue] = {}
"""Assembled catalogues by digest, for the next batch of the same collection or of another one that shares it."""


def bring(
    ledger: Ledger, data: bytes, *, name: str, mode: Mode, tenant: str = "", collection: str = "", by: str
) -> tuple[GivenCatalogue, Bundle]:
    """Put a STIX 2.1 bundle into use, from the next run on: for all, for a tenant, or for a collection.

    What is kept is what can be read of it, so the same bundle has the same digest however its JSON is written. Objects
    that are broken are in the bundle's ``refused``, and their neighbours count.

    Raises:
        DataError: it is no bundle.
        ConfigError: it is too large, or there is nothing in it that a document could name.
    """
    if len(data) > LARGEST_BUNDLE_BYTES:
        raise ConfigError(f"catalogue {name}: {len(data):,} bytes, at most {LARGEST_BUNDLE_BYTES:,} are read; split it")
    bundle = read_bundle(data)
    entries = len(bundle.catalogue().entries)
    if not entries:
        raise ConfigError(
            f"catalogue {name}: it has nothing that a document could name ({len(bundle.refused)} broken objects); "
            "groups, malware, tools, campaigns, techniques, vulnerabilities, organisations and places count"
        )
    content = _packed(bundle)
    digest = hashlib.blake2b(gzip.decompress(content), digest_size=16).hexdigest()
    new = NewCatalogue(tenant, collection, name, mode, digest, entries, content)
    with ledger.writing() as connection:
        return given_catalogues.give(connection, new, by=by), bundle


def catalogue_of(ledger: Ledger, packaged: Catalogue, tenant: str, collection: str) -> Catalogue:
    """The catalogue that a collection uses now. Kept in memory while it is used.

    Raises:
        ConfigError: one that is in force cannot be read: the ledger was altered.
    """
    with ledger.reading() as connection:
        used = given_catalogues.in_use(connection, tenant, collection)
        key = _digest(packaged, used)
        known = _KEPT.get(key)
        if known is not None or not used:
            return known or packaged
        contents = [given_catalogues.content_of(connection, one.catalogue_id) for one in used]
    catalogue = packaged
    for one, content in zip(used, contents, strict=True):
        bundle = _unpacked(one, content)
        catalogue = bundle.catalogue() if one.mode == "replace" else bundle.added_to(catalogue)
    for oldest in list(_KEPT)[: max(0, len(_KEPT) - _MOST_KEPT + 1)]:
        _KEPT.pop(oldest, None)
    _KEPT[key] = catalogue
    return catalogue


def _digest(packaged: Catalogue, used: Sequence[GivenCatalogue]) -> str:
    if not used:
        return packaged.digest
    base = [] if used[0].mode == "replace" else [packaged.digest]
    named = json.dumps([*base, *((one.mode, one.digest) for one in used)])
    return hashlib.blake2b(named.encode(), digest_size=16).hexdigest()


def _packed(bundle: Bundle) -> bytes:
    parts = {"objects": list(bundle.objects), "relationships": list(bundle.relationships)}
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode("utf-8", "surrogatepass"), mtime=0)


def _unpacked(one: GivenCatalogue, content: bytes) -> Bundle:
    try:
        parts = json.loads(gzip.decompress(content).decode("utf-8", "surrogatepass"))
        return Bundle(tuple(parts["objects"]), tuple(parts["relationships"]), ())
    except (OSError, EOFError, ValueError, KeyError) as e:
        raise ConfigError(
            f"catalogue {one.catalogue_id} ({one.name}) cannot be read from the ledger: {e}; bring it again"
        ) from e
