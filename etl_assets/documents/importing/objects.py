"""The documents of an import in the object store: written, kept and removed, and never anybody else's touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from etl_assets.documents.importing.foreign_spool import folders_of
from etl_assets.documents.model import document_id
from etl_assets.documents.parsing.chunk_file import ChunkFile, chunk_lines
from etl_assets.errors import DataError, TransientError
from etl_assets.ledger import imports
from etl_assets.ledger.imports import Brought
from etl_assets.ledger.leases import Lease, acquire
from etl_assets.protocols.objects import ObjectInfo

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

AT_ONCE = 128
"""Documents that are on their way together: so many files are in the scratch folder."""


@dataclass(slots=True)
class Written:
    """What was done. ``replaced`` are paths where somebody has put other bytes, ``conflicts`` those that were taken."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Due:
    """A document to write in place of ``former``, "" for none."""

    path: str
    file: Path
    version: str
    former: str


class ImportedObjects:
    """The object store of one collection, as an import sees it. ``seen`` are the paths of the import's documents."""

    def __init__(self, platform: Platform, tenant: str, collection: str, cid: int, lease: Lease | None = None) -> None:
        self._ledger, self._arrivals, self._originals = platform.ledger, platform.arrivals, platform.originals
        self._prefix, self._cid, self._lease = f"{tenant}/{collection}/", cid, lease
        self._place = (tenant, collection)
        self.seen: set[str] = set()

    def write(
        self, number: str, before: Mapping[str, Brought], files: Iterable[tuple[str, ChunkFile]], scratch: Path, *,
        dry: bool = False,
    ) -> Written:  # fmt: skip
        """Write what differs from what is there. With ``dry`` it is only counted."""
        done = Written()
        there = self._listed()
        folders = {folder for path in there for folder in folders_of(path)}
        due: list[_Due] = []
        for path, file in files:
            self.seen.add(path)
            one = self._due(path, file, before.get(path), there, scratch / f"due-{len(due)}", done)
            if one is not None and (path in folders or any(folder in there for folder in folders_of(path))):
                done.conflicts.append(path)
            elif one is not None:
                due.append(one)
                done.added += not one.former
                done.changed += one.former not in ("", one.version)
                done.unchanged += one.former == one.version
            if len(due) == AT_ONCE:
                self._put(number, due if not dry else [])
                due = []
        self._put(number, due if not dry else [])
        return done

    def remove(self, number: str, documents: Sequence[Brought]) -> Written:
        """Remove what an import brought; where other bytes stand by now, they stay."""
        done = Written()
        for start in range(0, len(documents), AT_ONCE):
            part = documents[start : start + AT_ONCE]
            with ThreadPoolExecutor(max(self._arrivals.concurrency, 1), thread_name_prefix="undo") as pool:
                outcomes = list(pool.map(self._remove, part))
            done.removed += [one.path for one, gone in zip(part, outcomes, strict=True) if gone]
            done.replaced += [one.path for one, gone in zip(part, outcomes, strict=True) if gone is False]
            with self._writing() as connection:
                imports.forget_brought(connection, number, [one.path for one in part])
        return done

    def _remove(self, one: Brought) -> bool | None:
        """Whether it was ours and is gone now; ``None`` where nothing was."""
        version = self._version_of(one.path)
        if version is None:
            return None
        if version not in one.versions:
            return False
        self._arrivals.delete(self._prefix + one.path)
        return True

    def _due(
        self, path: str, file: ChunkFile, before: Brought | None, there: Mapping[str, ObjectInfo], target: Path,
        done: Written,
    ) -> _Due | None:  # fmt: skip
        """The document as it has to be written, if it has to."""
        digest = hashlib.sha256()
        with target.open("wb") as out:
            for line in chunk_lines(file):
                digest.update(line)
                out.write(line)
        version, found = digest.hexdigest(), there.get(path)
        if found is None:
            return _Due(path, target, version, "")
        if before is not None and (before.version, before.fingerprint) == (version, found.fingerprint):
            done.unchanged += 1
            return None
        now = self._version_of(path)
        ours = {version, *(before.versions if before is not None else ())}
        if now is not None and now not in ours:
            (done.conflicts if before is None else done.replaced).append(path)
            return None
        return _Due(path, target, version, now or "")

    def _put(self, number: str, due: Sequence[_Due]) -> None:
        """Enter what will be written, write it, and enter what it shows then."""
        if not due:
            return
        with self._writing() as connection:
            intended = [self._entry(one, one.former, "") for one in due]
            imports.record_brought(connection, number, self._cid, intended)
        with ThreadPoolExecutor(max(self._arrivals.concurrency, 1), thread_name_prefix="import") as pool:
            shown = list(pool.map(self._put_one, due))
        with self._writing() as connection:
            finished = [self._entry(one, "", seen) for one, seen in zip(due, shown, strict=True)]
            imports.record_brought(connection, number, self._cid, finished)

    def _entry(self, one: _Due, former: str, fingerprint: str) -> Brought:
        return Brought(one.path, one.version, former, fingerprint, document_id(*self._place, one.path))

    def _put_one(self, one: _Due) -> str:
        key = self._prefix + one.path
        if one.former != one.version:
            self._arrivals.put(key, one.file)
        seen = self._arrivals.look(key)
        return seen.fingerprint if seen is not None else ""

    def _listed(self) -> dict[str, ObjectInfo]:
        listed = self._arrivals.list(*self._place)
        return {one.key.removeprefix(self._prefix): one for one in listed if isinstance(one, ObjectInfo)}

    def _version_of(self, path: str) -> str | None:
        """SHA-256 of what stands at a path; ``None`` for nothing, "" for what cannot be read."""
        for left in reversed(range(3)):
            with self._originals.scratch() as scratch:
                try:
                    return self._arrivals.fetch(self._prefix + path, scratch / "now").sha256
                except FileNotFoundError:
                    return None
                except DataError:
                    return ""
                except TransientError:
                    if not left:
                        raise
        raise AssertionError("unreachable")

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        assert self._lease is not None
        with self._lease.writing() as connection:
            yield connection


@contextmanager
def held_objects(platform: Platform, tenant: str, collection: str, cid: int = 0) -> Iterator[ImportedObjects]:
    """The collection's objects, while no other import writes or removes any.

    Raises:
        TransientError: another import of the collection is at work.
    """
    name = f"{tenant}.{collection}.import"
    lease = acquire(platform.ledger, name, holder=f"import {uuid4().hex[:8]}", ttl_s=platform.lease_s)
    try:
        yield ImportedObjects(platform, tenant, collection, cid, lease)
    finally:
        lease.release()
