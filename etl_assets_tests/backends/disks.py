"""Real conditions of a disk for tests of the local stores: a full volume, and a user without rights."""

import ctypes
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def full_volume(folder: Path, size_bytes: int) -> Iterator[Path]:
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


def without_rights(act: Callable[[], None]) -> None:
    """Run ``act`` in a child process that is not root, so that permissions count; fails when ``act`` does."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            act()
            status = 0
        except BaseException:  # the only way to tell is what is printed: the process ends here
            traceback.print_exc()
        finally:
            os._exit(status)
    _, outcome = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(outcome) == 0, "the child process failed; its traceback is above"


def open_to_everybody(folder: Path) -> None:
    """Let other users walk down to ``folder``: temporary folders of a test are private to its user."""
    for part in (folder, *folder.parents):
        if os.stat(part).st_uid == os.geteuid() and part != Path("/"):
            part.chmod(part.stat().st_mode | 0o555)
