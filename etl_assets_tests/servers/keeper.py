"""Runs one server for as long as somebody uses it; started as a program, without the rest of the package.

``keeper.py USERS FOLDER SIGNAL GRACE_S REMOVE COMMAND...``: every user of the server holds a shared lock on the file
USERS, which the kernel frees when the user ends, however it ends. Once nobody holds it, the server gets SIGNAL, after
GRACE_S seconds all that is left of it is killed, and FOLDER is removed if REMOVE is 1. The server's id is in
FOLDER/pid, its output in FOLDER/output.log. SIGTERM ends it the same way at once.

It is the subreaper of its descendants, so nothing that the server left behind (RabbitMQ's epmd) outlives it; if the
keeper itself is killed, the kernel kills the server.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Ended(BaseException):
    """The server has ended, or is no longer wanted."""


def main(users: str, folder: str, stop: str, grace_s: str, remove: str, *command: str) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with open(Path(folder) / "output.log", "ab") as log:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            )  # fmt: skip
        part = Path(folder) / "pid.part"
        part.write_text(str(server.pid))
        part.rename(part.with_name("pid"))
        signal.signal(signal.SIGCHLD, lambda *_: _reap(server.pid))
        _reap(server.pid)  # it may have ended before the handler was there
        with open(users, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _stop(int(stop), float(grace_s))
    except Ended:
        _stop(int(stop), float(grace_s))
    if remove == "1":
        shutil.rmtree(folder, ignore_errors=True)
        _leave(Path(folder).parent)


def _leave(run: Path) -> None:
    """Remove the folder of a test run with its lock files when no server is left in it."""
    if run.name.startswith("etl-assets-servers-") and not any(path.is_dir() for path in run.glob("*")):
        shutil.rmtree(run, ignore_errors=True)


def _end(*_: object) -> None:
    raise Ended


def _reap(server: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            if ended == server:
                raise Ended


def _stop(stop: int, grace_s: float) -> None:
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
    _signal(stop)
    deadline = time.monotonic() + grace_s
    with contextlib.suppress(ChildProcessError):
        while True:
            if time.monotonic() >= deadline:
                _signal(signal.SIGKILL)
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)


def _signal(number: int) -> None:
    """Send a signal to the direct children: the server, and what its dead children left to us."""
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    except OSError:
        children = []
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), number)


if __name__ == "__main__":
    main(*sys.argv[1:])
