"""What a server of the tests is: how it is installed and started, and what a test may do with it once it runs."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from etl_assets_tests.servers.processes import Kept, NotReady, kept, let_go, users_file


class Unavailable(Exception):
    """A server cannot be had here. The message names what is missing and what to do."""


@dataclass
class Server:
    """One running server. ``variables`` are what the tests read, and what a person may set instead."""

    name: str
    folder: Path
    variables: Mapping[str, str]
    process: Kept
    start_again: Callable[[], "Server"]

    @property
    def pid(self) -> int:
        """The server's own process."""
        return self.process.pid

    def kill(self) -> None:
        """``kill -9`` of the server; back when nothing of it is left."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in its own way, and kill what is left after a few seconds."""
        self.process.stop()

    def end(self) -> None:
        """Stop it for good and remove what it kept."""
        self.stop()
        let_go(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        users_file(self.folder).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()  # when it was the last one

    def restart(self) -> None:
        """Stop it, if it still runs, and start it over the same folder and ports; back when it answers."""
        self.stop()
        self.process = self.start_again().process


@dataclass(frozen=True)
class Recipe:
    """One kind of server.

    ``variables`` are set by ``start`` and tell the tests where it is; a person who sets all of them has the server
    already, and nothing is installed or started. ``needs`` names servers whose variables ``start`` is given.
    """

    name: str
    version: str
    variables: tuple[str, ...]
    install: Callable[[], Path]
    is_installed: Callable[[], bool]
    run: Callable[[Path, Mapping[str, str], bool], tuple[Kept, Mapping[str, str]]]
    needs: tuple[str, ...] = ()

    def start(self, folder: Path, given: Mapping[str, str] | None = None, *, remove: bool = False) -> Server:
        """Start it over a folder, new or used before; back when it has done a real operation.

        It ends with the last process that holds it (``processes.hold``), this one to begin with.

        Raises:
            Unavailable: it is not installed and cannot be.
            NotReady: it did not come up; the message has the end of its log.
        """
        folder.mkdir(parents=True, exist_ok=True)
        given = dict(given or {})
        process, variables = self.run(folder, given, remove)
        return Server(self.name, folder, variables, process, lambda: self.start(folder, given, remove=remove))


__all__ = ["Kept", "NotReady", "Recipe", "Server", "Unavailable", "kept"]
