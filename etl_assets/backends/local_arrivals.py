"""Arrivals in a folder ``objects/{tenant}/{collection}/any/path``: what people and programs drop files into.

Anybody may write here at any moment, so nothing is trusted between two system calls. What is a document and what
is not:

- A name that starts with a dot, anywhere in the path, is ignored: editors, browsers and sync tools keep their
  unfinished files under such names, and a half-written file must not be taken for a document.
- Names are compared as the bytes they are: composed and decomposed accents are two documents.
- No symbolic link is followed. A link could lead into another tenant's folder or out of the store, and its target
  can change without its own fingerprint changing; so each one is an unusable key.
- Sockets, pipes and devices, and names that are not UTF-8, are unusable keys.

A folder that nothing is mounted on looks like one whose last document went. So the first document that is read leaves
the empty file ``.etl-assets`` at the top: a store without it, and without anything else, is taken for an unmounted or
removed one (``seems_lost``).

Content type and metadata are extended attributes (see ``local_reading``). Changing one changes ctime, hence the
fingerprint.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from etl_assets.backends.local_files import RACES, Scratch, copy_durably, refuse, sync_folder
from etl_assets.backends.local_listing import (
    entries_of,
    fingerprint,
    is_named_folder,
    is_utf8,
    objects_below,
    pages_below,
    shown,
    strays_at,
)
from etl_assets.backends.local_reading import copied, opened, set_attributes, unreadable
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.objects import NAME, FetchedObject, ListedPage, ObjectAttributes, ObjectInfo, UnusableKey

_COPIES_AT_ONCE = 8
_MARK = ".etl-assets"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Entries: TypeAlias = list["os.DirEntry[str]"]


class LocalArrivals:
    """Arrivals (see ``protocols.objects``) over the folder ``objects``; both folders must be on one volume.

    ``scratch`` is where files are written before they are renamed into place; it is made when first needed.
    ``page_files`` is how many files are on one of ``pages``.
    """

    def __init__(self, objects: Path, *, scratch: Path, page_files: int = 1000) -> None:
        self._objects = objects
        self._page_files = page_files
        self._scratch = Scratch(scratch)
        self._is_marked = False

    @property
    def concurrency(self) -> int:
        """How many files are worth copying at once: copying waits for disks, not for a core."""
        return _COPIES_AT_ONCE

    def collections(self) -> list[tuple[str, str]]:
        """(tenant, collection) of every folder pair whose names are usable, sorted.

        Raises:
            PermanentError: ``objects`` is missing, or it or a tenant's folder cannot be listed.
        """
        return sorted(
            (tenant.name, collection.name)
            for tenant in self._tenants()
            if is_named_folder(tenant)
            for collection in entries_of(tenant.path)
            if is_named_folder(collection)
        )

    def strays(self) -> Iterator[UnusableKey]:
        """Every file that lies outside a collection, or under a tenant or collection whose name breaks the rule.

        Raises:
            PermanentError: part of the store cannot be listed.
        """
        for tenant in self._tenants():
            if not is_named_folder(tenant):
                yield from strays_at(tenant, "", "a tenant's name is 1 to 64 of a-z, 0-9, _ and -")
                continue
            for collection in entries_of(tenant.path):
                if not is_named_folder(collection):
                    problem = "a collection's name is 1 to 64 of a-z, 0-9, _ and -"
                    yield from strays_at(collection, f"{tenant.name}/", problem)

    def list(self, tenant: str, collection: str) -> Iterator[ObjectInfo | UnusableKey]:
        """Every object of one collection, in no order. A collection that does not exist is empty.

        A file or folder that goes away meanwhile is simply gone.

        Raises:
            PermanentError: ``objects`` itself is missing, a folder cannot be listed, or the collection has become a
                link: files that cannot be seen must not look deleted.
        """
        if NAME.fullmatch(tenant) is None or NAME.fullmatch(collection) is None:
            return iter(())
        self._tenants()
        return objects_below(self._refuse_links(tenant, collection), f"{tenant}/{collection}/")

    def pages(self, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        """``list`` in pages, from the position ``after``: the name that was listed last, wherever it is now.

        Raises:
            PermanentError: as for ``list``, or ``after`` is no position in this collection.
        """
        if NAME.fullmatch(tenant) is None or NAME.fullmatch(collection) is None:
            return iter((ListedPage((), ""),))
        self._tenants()
        folder = self._refuse_links(tenant, collection)
        return pages_below(folder, f"{tenant}/{collection}/", after, page_files=self._page_files)

    def seems_lost(self) -> str:
        """Why this may not be the store that documents were read from before; "" when nothing speaks for it.

        Raises:
            PermanentError: ``objects`` is missing or cannot be listed.
        """
        if self._tenants() or os.path.lexists(self._objects / _MARK):
            return ""
        return (
            f"object store {self._objects}: has nothing in it, as if it were unmounted or removed; put it back, "
            "or make an empty folder in it if every document is meant to go"
        )

    def look(self, key: str) -> ObjectInfo | None:
        """One key as a listing would show it now; ``None`` if it is gone, or cannot name a document.

        Raises:
            PermanentError: ``objects`` is missing, a folder cannot be entered, or the collection has become a link.
        """
        try:
            tenant, collection, *_, name = _checked_key(key)
        except ConfigError:
            return None
        self._refuse_links(tenant, collection)
        try:
            with self._parent(key) as parent:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            refuse(e, f"looking at {shown(key)}")
        return ObjectInfo(key, fingerprint(status), status.st_size) if stat.S_ISREG(status.st_mode) else None

    def fetch(self, key: str, target: Path) -> FetchedObject:
        """Copy one object to the new file ``target``; on failure nothing is left there.

        Raises:
            FileNotFoundError: the key is gone.
            TransientError: the object changed while it was read.
            DataError: it cannot be read (``unreadable``): no permission, a link, a pipe, a bad disk block.
            PermanentError: there is no room for ``target``, or the store itself is missing.
            ConfigError: ``key`` cannot name a document here.
        """
        _checked_key(key)
        with self._parent_to_read(key) as parent:
            name = key.rpartition("/")[2]
            source = opened(parent, name, key)
            try:
                fetched = copied(source, parent, name, key, target)
            finally:
                os.close(source)
        self._mark()
        return fetched

    def put(self, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        """Write one object atomically: a listing sees it whole or not at all.

        Raises:
            ConfigError: ``key`` cannot name a document here.
            PermanentError: no room, no right, a folder stands in the key's place (or a file in a folder's), or
                attributes are given and the file system keeps none.
        """
        _checked_key(key)
        with self._scratch.folder() as folder:
            try:
                copy_durably(source, folder / "new", mode=0o666)
                set_attributes(folder / "new", attributes or ObjectAttributes(), key)
                self._rename_in(folder / "new", key)
            except OSError as e:
                if e.filename is not None and os.fspath(e.filename) == os.fspath(source):
                    raise
                refuse(e, f"writing {shown(key)}")

    def delete(self, key: str) -> None:
        """Remove one object and the folders above it that are empty then; the collection's folder stays.

        An empty collection is still a collection: its settings, and what was published of it, are not the
        business of whoever removes its last file. A missing object is no error.

        Raises:
            PermanentError: no right to remove it.
        """
        tenant, collection, *folders, name = _checked_key(key)
        try:
            with self._parent(key) as parent:
                os.unlink(name, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as e:
            refuse(e, f"removing {shown(key)}")
        while folders:
            name = folders.pop()
            try:
                with self._parent("/".join((tenant, collection, *folders, name))) as parent:
                    os.rmdir(name, dir_fd=parent)
            except OSError:  # not empty, or gone already: either way there is nothing more to tidy
                return

    def _refuse_links(self, tenant: str, collection: str) -> str:
        """The collection's folder, none of whose parts may have become a link: its files would look deleted."""
        above = os.path.join(self._objects, tenant)
        path = os.path.join(above, collection)
        for folder in (above, path):
            if os.path.islink(folder):
                raise PermanentError(
                    f"{folder} is a symbolic link, which is not followed: mount or move the folder here"
                )
        return path

    def _mark(self) -> None:
        """Leave the file that tells this store from an empty mount point; one that is read-only goes without."""
        if not self._is_marked:
            with suppress(OSError):
                os.close(os.open(self._objects / _MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644))
            self._is_marked = True

    def _tenants(self) -> Entries:
        try:
            with os.scandir(self._objects) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as e:
            raise self._missing(e) from e

    def _missing(self, error: OSError) -> PermanentError:
        remedy = "create the folder or mount it, and let this user read it"
        return PermanentError(f"object store {self._objects}: {error.strerror}; {remedy}")

    @contextmanager
    def _parent(
        self, key: str, before_entering: Callable[[int, str], object] = lambda above, name: None
    ) -> Iterator[int]:
        """A descriptor of the folder that holds ``key``, reached without following one symbolic link.

        ``before_entering`` is called with the descriptor of each folder on the way and the name of the next.

        Raises:
            PermanentError: the store itself is missing, which must not look like a missing object.
            OSError: as the system says of a folder in between; NotADirectoryError when it is a file or a link.
        """
        try:
            descriptor = os.open(self._objects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as e:
            raise self._missing(e) from e
        try:
            for name in key.split("/")[:-1]:
                before_entering(descriptor, name)
                below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent_to_read(self, key: str) -> Iterator[int]:
        with ExitStack() as stack:
            try:
                parent = stack.enter_context(self._parent(key))
            except NotADirectoryError as e:
                raise FileNotFoundError(errno.ENOENT, "no such object", key) from e
            except FileNotFoundError:
                raise
            except OSError as e:
                unreadable(key, e)
            yield parent

    def _rename_in(self, new: Path, key: str) -> None:
        made: list[str] = []

        def make(above: int, name: str) -> None:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=above)
                made.append(name)

        for attempt in range(RACES):
            try:
                with self._parent(key, make) as parent:
                    os.rename(new, key.rpartition("/")[2], dst_dir_fd=parent)
                    sync_folder(parent)
                break
            except FileNotFoundError:
                # A delete removed the folder as empty after it was made: make it again.
                if attempt == RACES - 1 or not new.exists():
                    raise
        if made:
            # Only now: syncing each folder as it is made would hold the race with a delete open for milliseconds.
            with suppress(FileNotFoundError), self._parent(key, lambda above, name: sync_folder(above)):
                pass


def _checked_key(key: str) -> list[str]:
    """The segments of a key that may name a document.

    Raises:
        ConfigError: a listing would never show it.
    """
    segments = key.split("/")
    if len(segments) < 3 or not all(NAME.fullmatch(name) for name in segments[:2]):
        raise ConfigError(f"key {shown(key)}: use tenant/collection/path, names of 1 to 64 of a-z, 0-9, _ and -")
    if any(not name or name.startswith(".") for name in segments) or "\x00" in key or not is_utf8(key):
        raise ConfigError(f"key {shown(key)}: no part may be empty, start with a dot, hold a NUL or not be UTF-8")
    return segments
