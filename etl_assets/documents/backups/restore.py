"""Bringing a home back from a backup: its files, its ledger in one transaction, then every document under a new number.

Until the last step the home is marked as being restored: searches and other runs are refused, and the restore may be
started again from its beginning, whatever was interrupted.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from etl_assets.documents.backups.backup import Places
from etl_assets.documents.backups.ledger_copy import brought_back, find_again
from etl_assets.documents.backups.restored_home import RestoreReport, publish_anew
from etl_assets.documents.backups.target import Manifest, SavedFile, Target
from etl_assets.documents.original_keys import TOMBSTONES, original_key, tombstone_of
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.ledger import dump, named_files, restoring, tombstones
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.installation import known_installation
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.tombstones import Tombstone
from etl_assets.protocols.objects import Blobs

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Point:
    """What to restore: a backup by its name, a sequence number or a time (Unix seconds UTC); the newest without any."""

    backup: str | None = None
    sequence: int | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The first backup that has the point; ``earlier`` ones, the nearest first, may hold what it lacks."""

    manifest: Manifest
    earlier: tuple[Manifest, ...]
    newest: Manifest


def restore(
    places: Places, target: Target, point: Point, *, replace: bool, scratch: Path,
    open_platform: Callable[[], Platform], check_keys: Callable[[tuple[str, ...]], None] = lambda masters: None,
) -> RestoreReport:  # fmt: skip
    """Bring a home back. ``open_platform`` opens it once its ledger and settings are those of the backup.

    ``check_keys`` is given the names of the master keys that its files need, and refuses when one is not set.

    Raises:
        ConfigError: the home is not empty and ``replace`` is not set, or there is no such point.
        Damaged: the backup is; nothing of the home was changed then but files that it lacked.
        TransientError, PermanentError: a store does not answer or refuses; restore again.
    """
    started = time.monotonic()
    chosen = _choose(target, point)
    _refuse_unless_empty(places.ledger, replace=replace)
    check_keys(chosen.manifest.masters)
    report = RestoreReport(chosen.manifest.backup, chosen.manifest.sequence)
    about: dict[str, Any] = {"backup": chosen.manifest.backup, "target": target.name}
    with brought_back(target, chosen.manifest, scratch / "ledger.sqlite") as prepared:
        _rewind(target, chosen, point, prepared, scratch, report)
        with places.ledger.reading() as connection:
            counters = restoring.counters(connection)
            about["collections"] = named_files.collections(connection)
        with prepared.writing() as connection:
            about["collections"] += named_files.collections(connection)
            restoring.settle(connection, _stones(places, target, chosen.newest), counters)
        files = _needed_files(target, chosen, prepared, places)
        is_new = known_installation(places.ledger) is None
        with places.ledger.writing() as connection:
            restoring.mark(connection, about)
            if is_new:  # before a hosted store asks whose it is
                dump.enter_meta(connection, "installation", chosen.manifest.installation)
        _bring_files(places, target, files, report)
        _bring_settings(places, target, chosen.manifest)
        _load(places.ledger, prepared, about)
    platform = open_platform()
    try:
        publish_anew(platform, about["collections"], report)
        with platform.ledger.writing() as connection:
            restoring.unmark(connection)
    finally:
        platform.close()
    report.seconds = time.monotonic() - started
    return report


def _choose(target: Target, point: Point) -> _Chosen:
    known = target.manifests()
    if not known:
        raise ConfigError(f"{target.name} holds no finished backup; `etl-assets backup --to {target.name}` makes one")
    if point.backup is not None:
        known = [one for one in known if one.sequence <= target.manifest(point.backup).sequence]
    oldest, newest = known[0], known[-1]
    found: Manifest | None = newest
    if point.sequence is not None:
        found = next((one for one in known if one.sequence >= point.sequence), None)
        found = found if point.sequence >= oldest.sequence else None
    elif point.at is not None:
        found = next((one for one in known if one.taken_at >= point.at), None)
        found = found if point.at >= oldest.taken_at else None
    if found is None:
        raise ConfigError(
            f"{target.name} holds backups from sequence {oldest.sequence} to {newest.sequence}, made between "
            f"{_instant(oldest.taken_at)} and {_instant(newest.taken_at)}: choose a point between them"
        )
    earlier = tuple(one for one in reversed(known) if one.sequence < found.sequence)
    return _Chosen(found, earlier, target.manifests()[-1])


def _instant(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _refuse_unless_empty(ledger: Ledger, *, replace: bool) -> None:
    with ledger.reading() as connection:
        is_unfinished = restoring.unfinished(connection) is not None
    if not (replace or is_unfinished or restoring.is_empty(ledger)):
        raise ConfigError(
            "this home holds documents already: restore into an empty one (--into FOLDER), or say --replace to give up "
            "what it holds"
        )


def _rewind(
    target: Target, chosen: _Chosen, point: Point, prepared: Ledger, scratch: Path, report: RestoreReport
) -> None:
    """Take the ledger back to the point, with what earlier backups know of the files of that time."""
    n = chosen.manifest.sequence if point.sequence is None else point.sequence
    if point.at is not None:
        before = max((one.sequence for one in chosen.earlier), default=0)
        with prepared.reading() as connection:
            n = max(before, min(n, restoring.sequence_at(connection, point.at)))
    report.sequence = n
    if n == chosen.manifest.sequence:
        return
    with prepared.writing() as connection:
        restoring.rewind(connection, n)
    opened = [
        partial(brought_back, target, one, scratch / f"earlier-{number}.sqlite")
        for number, one in enumerate(chosen.earlier)
    ]
    report.recomputed = find_again(prepared, opened)


def _stones(places: Places, target: Target, newest: Manifest) -> list[Tombstone]:
    """What was deleted, as far as anybody knows: the newest backup, this home's ledger, and beside its originals."""
    found: dict[str, Tombstone] = {}
    earlier: list[Tombstone] = []
    for table in newest.tables:
        if table.name == "tombstones":
            for piece in table.pieces:
                for row in dump.read_part(table.columns, target.content(piece)):
                    found[row["document_id"]] = Tombstone(*(row[name] for name in _STONE))
    for key, _, _ in places.originals.keys(TOMBSTONES):
        stone, is_earlier = tombstone_of(
            next((key.removesuffix(one) for one in places.endings if one and key.endswith(one)), key)
        )  # fmt: skip
        if is_earlier:
            earlier.append(stone)
        else:
            found[stone.document_id] = stone
    with places.ledger.reading() as connection:
        for tenant, collection in named_files.collections(connection):
            found |= tombstones.of_collection(connection, tenant, collection)
    # The last one of a document is what its key may still hold.
    return [*earlier, *found.values()]


_STONE = tuple(Tombstone.__dataclass_fields__)


def _needed_files(target: Target, chosen: _Chosen, prepared: Ledger, places: Places) -> list[SavedFile]:
    """Where each file lies that the prepared ledger names.

    Raises:
        PermanentError: the original of a version that is to be there is in none of the backups.
    """
    wanted = _named(prepared)
    found: dict[tuple[str, str], SavedFile] = {}
    for manifest in (chosen.manifest, *chosen.earlier):
        lacking = {name for name in wanted if name not in found}
        if not lacking:
            break
        for one in target.files(manifest):
            name = (one.store, plain_key(one.key, places.endings))
            if name in lacking:
                found.setdefault(name, one)
    lost = sorted(f"{store}/{key}" for (store, key), needed in wanted.items() if needed and (store, key) not in found)
    if lost:
        raise PermanentError(
            f"{target.name}: no backup holds {len(lost)} files of that point, such as {lost[0]}: choose the point of a "
            "backup itself"
        )
    return list(found.values())


def plain_key(key: str, endings: tuple[str, ...]) -> str:
    """What the ledger calls a file."""
    return next((key.removesuffix(one) for one in endings if one and key.endswith(one)), key)


def _named(prepared: Ledger) -> Mapping[tuple[str, str], bool]:
    """(store, key) of every file -> whether it must be there: an original of an ended version need not."""
    with prepared.reading() as connection:
        named = {("lake", key): True for key in named_files.live_segment_keys(connection)}
        for one in named_files.named_originals(connection):
            named["originals", original_key(one.tenant, one.document_id, one.version)] = one.needed
    return named


def _bring_files(places: Places, target: Target, files: list[SavedFile], report: RestoreReport) -> None:
    """Put every file in its place, unless the very same bytes are there."""
    present = {(name, key) for name in ("lake", "originals") for key, _, _ in places.store(name).keys("")}
    for name in ("lake", "originals"):
        store = places.store(name)
        mine = [one for one in files if one.store == name]
        _delete_twins(places, store, mine, {key for of_store, key in present if of_store == name})
        for some in batches([one for one in mine if not _is_there(store, one, (name, one.key) in present)], _AT_ONCE):
            with ExitStack() as opened:
                items = [(one.key, opened.enter_context(target.opened(one.piece))) for one in some]
                store.put_all(items)
            report.files += len(some)
            report.file_bytes += sum(one.piece.size_bytes for one in some)


def _delete_twins(places: Places, store: Blobs, files: list[SavedFile], present: set[str]) -> None:
    """Delete what has a file's name with another ending: it would be read in the file's place.

    A home that was encrypted since the backup has such files, and their data keys are not those of the backup's ledger.
    """
    for one in files:
        plain = plain_key(one.key, places.endings)
        for twin in {plain + ending for ending in places.endings} - {one.key}:
            if twin in present:
                store.delete(twin)


def _is_there(store: Blobs, one: SavedFile, listed: bool) -> bool:
    if not listed:
        return False
    with store.local(one.key) as path, open(path, "rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == one.piece.sha256
    if not same:
        store.delete(one.key)
    return same


def _bring_settings(places: Places, target: Target, manifest: Manifest) -> None:
    if manifest.collections is None:
        return
    path = places.collections_file
    new = path.with_name(f"{path.name}.restored")
    new.write_bytes(target.content(manifest.collections))
    os.replace(new, path)


def _load(ledger: Ledger, prepared: Ledger, about: Mapping[str, Any]) -> None:
    """Put the prepared rows in the place of all others, in one transaction: every lease is void then."""
    installation = known_installation(ledger)
    with prepared.reading() as source, ledger.writing() as connection:
        dump.empty(connection)
        dump.copy_all(source, connection)
        if installation is not None:
            dump.enter_meta(connection, "installation", installation)
        restoring.mark(connection, about)
