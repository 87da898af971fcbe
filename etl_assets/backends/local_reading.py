"""Reading one file that anybody may be writing at this moment, and the extended attributes it carries.

What a file is read as is what it was from the first byte to the last, or it is not read. The content type is the
extended attribute ``user.mime_type``, and metadata are ``user.etl.NAME``, where the file system has them.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from etl_assets.backends.local_files import BLOCK_BYTES, refuse, write_all
from etl_assets.backends.local_listing import fingerprint, shown
from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.protocols.objects import FetchedObject, ObjectAttributes

_CONTENT_TYPE = "user.mime_type"
_METADATA = "user.etl."
# O_NONBLOCK: opening a pipe that took a file's place must not wait for a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SETTLE_NS = 20_000_000
"""Kernels before 6.13 stamp files by a clock that ticks every 1 to 10 ms: bytes written within the tick of the last
stamp change nothing that ``stat`` shows. A file this young is left to age before it is read."""


def opened(parent: int, name: str, key: str) -> int:
    """A descriptor of the file ``name`` in the folder ``parent``, itself a descriptor. No link is followed.

    Raises:
        FileNotFoundError: it is gone.
        DataError: it cannot be opened (``unreadable``).
    """
    try:
        return os.open(name, _READ, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as e:
        unreadable(key, e)


def unreadable(key: str, error: OSError) -> NoReturn:
    """Say why a file was not read.

    Raises:
        TransientError: another machine replaced it on a shared disk.
        DataError: for every other error (``unreadable``).
    """
    if error.errno == errno.ESTALE:
        raise TransientError(f"{shown(key)}: changed while being read") from error
    problem = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
    raise DataError(f"{shown(key)}: cannot be read: {problem}", reason="unreadable") from error


def copied(source: int, parent: int, name: str, key: str, target: Path) -> FetchedObject:
    """Copy the open file ``source``, which stood as ``name`` in ``parent``, to the new file ``target``.

    Raises:
        TransientError: it changed, or another took its name, meanwhile.
        DataError: it is no regular file, or a block cannot be read (``unreadable``).
        PermanentError: there is no room for ``target``.
    """
    before = _settled(source)
    if not stat.S_ISREG(before.st_mode):
        raise DataError(f"{shown(key)}: cannot be read: not a regular file", reason="unreadable")
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise
    except OSError as e:
        refuse(e, f"copying {shown(key)}")
    try:
        sha256, size = _copy(source, writing, key)
        attributes = _attributes(source, key)
        after, now = os.fstat(source), os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not fingerprint(before) == fingerprint(after) == fingerprint(now) or size != before.st_size:
            raise TransientError(f"{shown(key)}: changed while being read")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(writing)
    return FetchedObject(sha256, size, fingerprint(before), attributes)


def _settled(source: int) -> os.stat_result:
    """The status of an open file, taken once its last change is old enough for the next one to show."""
    while True:
        status = os.fstat(source)
        age = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)
        if not 0 <= age < _SETTLE_NS:
            return status
        time.sleep((_SETTLE_NS - age) / 1e9)


def _copy(source: int, writing: int, key: str) -> tuple[str, int]:
    """(SHA-256 in hex, size in bytes) of what was copied."""
    digest, size = hashlib.sha256(), 0
    while True:
        try:
            block = os.read(source, BLOCK_BYTES)
        except OSError as e:
            unreadable(key, e)
        if not block:
            return digest.hexdigest(), size
        digest.update(block)
        size += len(block)
        try:
            write_all(writing, block)
        except OSError as e:
            refuse(e, f"copying {shown(key)}")


def _attributes(source: int, key: str) -> ObjectAttributes:
    """Content type and metadata of an open file; none where the file system keeps no extended attributes."""
    try:
        names = os.listxattr(source)
    except OSError as e:
        if e.errno in (errno.ENOTSUP, errno.EPERM):
            return ObjectAttributes()
        raise
    wanted = [name for name in names if name == _CONTENT_TYPE or name.startswith(_METADATA)]
    try:
        values = {name: os.getxattr(source, name).decode("utf-8", "backslashreplace") for name in wanted}
    except OSError as e:
        if e.errno == errno.ENODATA:
            raise TransientError(f"{shown(key)}: its attribute changed while being read") from e
        raise
    content_type = values.pop(_CONTENT_TYPE, None)
    return ObjectAttributes(content_type, {name.removeprefix(_METADATA): text for name, text in sorted(values.items())})


def set_attributes(path: Path, attributes: ObjectAttributes, key: str) -> None:
    """Give a file its content type and metadata.

    Raises:
        PermanentError: the file system keeps none.
    """
    values: Mapping[str, str] = {f"{_METADATA}{name}": text for name, text in attributes.metadata.items()}
    if attributes.content_type is not None:
        values = {_CONTENT_TYPE: attributes.content_type, **values}
    for name, text in values.items():
        try:
            os.setxattr(path, name, text.encode())
        except OSError as e:
            raise PermanentError(
                f"{shown(key)}: the file system does not keep the attribute {name}: {e.strerror}; "
                "write it without content type and metadata, or use another file system"
            ) from e
