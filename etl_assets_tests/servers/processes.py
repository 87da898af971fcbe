"""Starting, awaiting, holding and ending the process of a server."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

KEEPER = Path(__file__).with_name("keeper.py")
_held: dict[Path, IO[Any]] = {}


class NotReady(Exception):
    """The server ended, or did not answer in time. The message has the end of its log."""


@dataclass
class Kept:
    """A server under its keeper. ``keeper`` and ``pid`` are process ids."""

    folder: Path
    keeper: int
    pid: int = 0

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until the server and its keeper have ended; ``False`` when the time is over first."""
        try:
            descriptor = os.pidfd_open(self.keeper)
        except ProcessLookupError:
            return True
        try:
            if not select.select([descriptor], [], [], timeout_s)[0]:
                return False
        finally:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.keeper, 0)
        return True

    def stop(self) -> None:
        """End the server by its keeper."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper, signal.SIGTERM)
        self.wait()


def kept(
    folder: Path,
    command: Sequence[str],
    probe: Callable[[], object],
    *,
    environment: Mapping[str, str] | None = None,
    limit_s: float = 90.0,
    stop: signal.Signals = signal.SIGTERM,
    grace_s: float = 5.0,
    remove: bool = False,
) -> Kept:
    """Run a server under a keeper and wait until ``probe``, a real operation, does not raise.

    Raises:
        NotReady: it ended first, or did not succeed within ``limit_s``.
    """
    hold(folder)
    (folder / "pid").unlink(missing_ok=True)
    arguments = [str(users_file(folder)), str(folder), str(int(stop)), str(grace_s), "1" if remove else "0"]
    # Not subprocess.Popen, which warns when it is collected while the process runs, as this one should.
    keeper = os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", "-E", str(KEEPER), *arguments, *command],
        {**os.environ, **(environment or {})},
        setsid=True,
    )
    server = Kept(folder, keeper)
    try:
        _await(server, probe, limit_s)
    except BaseException:
        server.stop()
        raise
    server.pid = int((folder / "pid").read_text())
    return server


def _await(server: Kept, probe: Callable[[], object], limit_s: float) -> None:
    folder = server.folder
    deadline = time.monotonic() + limit_s
    while True:
        reason: BaseException | str = "it was not started"
        try:
            if (folder / "pid").exists():
                probe()
                return
        except Exception as e:  # noqa: BLE001  whatever a client raises before its server is there
            reason = e
        if server.wait(0.05):
            raise NotReady(f"{folder.name}: it ended at its start{_tail(folder)}")
        if time.monotonic() > deadline:
            raise NotReady(f"{folder.name}: not ready after {limit_s:.0f} s ({reason}){_tail(folder)}")


def _tail(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n" + (folder / "output.log").read_text(errors="replace")[-3000:]
    return ""


def users_file(folder: Path) -> Path:
    """Who uses the server of a folder holds a shared lock on this file beside it."""
    return folder.with_name(folder.name + ".users")


def hold(folder: Path) -> bool:
    """Use the server of a folder until this process ends; ``False`` when it is being ended already."""
    if folder in _held:
        return True
    file = open(users_file(folder), "a")  # noqa: SIM115  it is held to the end of the process
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held[folder] = file
    return True


def let_go(folder: Path) -> None:
    """Stop using the server of a folder: it ends when nobody else does."""
    file = _held.pop(folder, None)
    if file is not None:
        file.close()


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ports(folder: Path, *names: str) -> dict[str, int]:
    """One free port on 127.0.0.1 for each name; a folder keeps the ports it was given first."""
    file = folder / "ports.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    sockets = [socket.socket() for _ in names]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        found = {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}
    finally:
        for one in sockets:
            one.close()
    file.write_text(json.dumps(found))
    return found


def as_user(*users: str) -> tuple[list[str], int, int]:
    """(beginning of a command, uid, gid) to run a program that refuses root as the first user that exists.

    The beginning is empty for people who are not root: the program runs as themselves.
    """
    if os.geteuid() != 0:
        return [], os.geteuid(), os.getegid()
    import pwd

    for user in users:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(user)
            # setpriv sets the death signal last: the kernel clears it when a process changes its user.
            prefix = [shutil.which("setpriv") or "setpriv", f"--reuid={user}", f"--regid={entry.pw_gid}",
                      "--init-groups", "--pdeathsig=KILL"]  # fmt: skip
            return prefix, entry.pw_uid, entry.pw_gid
    raise NotReady(f"none of the users {', '.join(users)} exists, and the program does not run as root")
