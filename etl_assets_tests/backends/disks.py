"""Real conditions of a disk for tests of the local stores: a full volume, and a user without rights."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def small_volume(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A mounted tmpfs of ``size_bytes`` at ``folder``; skips where nobody may mount one."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(exist_ok=True)
    options = f"size={size_bytes},mode=777".encode()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        pytest.skip("mounting a small tmpfs needs root with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)


@contextmanager
def folder_for_everybody() -> Iterator[Path]:
    """A temporary folder that other users may enter and write to, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def without_rights() -> Iterator[None]:
    """Act as the user nobody for a while when the tests run as root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
