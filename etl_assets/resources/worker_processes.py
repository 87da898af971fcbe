"""Keeps worker processes on this machine: between a minimum and a maximum, by how many runs wait in the queue.

A worker takes one run at a time. To be stopped it is drained: it finishes its run and takes no other. Workers outlive
a restart of the broker, and are drained by the kernel's signal when this process dies.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from uuid import uuid4

from etl_assets.errors import ConfigError, TransientError
from etl_assets.resources.run_queue import BUSY_FILE, QUEUE, broker_url, open_queue, waiting
from etl_assets.settings import Settings

CHECK_EVERY_S = 30.0
_POLL_S = 0.2
_QUICK_DEATH_S = 10.0
_PR_SET_PDEATHSIG = 1
Say = Callable[[str], None]


def _silent(_line: str) -> None:
    """Tell nobody."""


def wanted_workers(*, ready: int, busy: int, idle: int, least: int, most: int) -> int:
    """How many workers there should be, not counting those that are being drained.

    Every run that waits gets a worker as far as ``most`` allows; idle ones beyond ``least`` go only when none waits.
    """
    if ready > 0:
        return max(least, min(most, busy + max(ready, idle)))
    return max(least, min(most, busy))


class Worker:
    """One worker process; ``busy`` while it executes a run."""

    def __init__(self, settings: Settings, dagster_home: Path, scratch: Path) -> None:
        self.name = f"{os.uname().nodename}-{uuid4().hex[:8]}"
        self.draining = False
        self.started = time.monotonic()
        self._busy_file = scratch / self.name
        self._busy_file.touch()
        env = {
            **os.environ, **settings.as_environment(), "DAGSTER_HOME": str(dagster_home),
            BUSY_FILE: str(self._busy_file),
        }  # fmt: skip
        libc = ctypes.CDLL(None)  # loaded here: after the fork only what is loaded already may be called
        self.log = settings.home.logs / "workers.log"
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments(self.name)], env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=settings.home.root,
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process that takes messages; the run itself is executed by a child of it."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has gone."""
        return self._process.poll() is not None

    @property
    def busy(self) -> bool:
        """Whether it executes a run at this moment."""
        with open(self._busy_file) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def drain(self) -> None:
        """Let it finish its run and go."""
        if not self.draining:
            self.draining = True
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; its run is started anew elsewhere."""
        self._process.kill()
        self._process.wait()


def arguments(name: str) -> list[str]:
    """The command line of a worker: one run at a time, executed by a child that lives as long as the worker."""
    return [
        "--app", "etl_assets.resources.run_worker", "worker", "--pool", "prefork", "--concurrency", "1",
        "--queues", QUEUE, "--hostname", f"{name}@{os.uname().nodename}", "--loglevel", "WARNING",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


@dataclass
class Workers:
    """The workers of this machine. ``start`` makes one, ``ready`` says how many runs wait."""

    least: int
    most: int
    start: Callable[[], Worker]
    ready: Callable[[], int]
    say: Say = _silent
    kept: list[Worker] = field(default_factory=list)
    idle_before: list[Worker] = field(default_factory=list)
    quick_deaths: int = 0

    def replace_dead(self) -> None:
        """Forget workers that have ended, and start others for those that nobody asked to."""
        for worker in [one for one in self.kept if one.ended]:
            self.kept.remove(worker)
            if worker.draining:
                self.say(f"worker {worker.name} has finished")
                continue
            quick = time.monotonic() - worker.started < _QUICK_DEATH_S
            self.quick_deaths = self.quick_deaths + 1 if quick else 0
            if self.quick_deaths > 2 * self.most:
                raise ConfigError(f"workers end as soon as they start; {worker.log} tells why")
            self.say(f"worker {worker.name} was lost; another one takes its place")
            self._add()

    def scale(self) -> None:
        """Start or drain workers so that there are as many as the queue wants."""
        try:
            ready = self.ready()
        except TransientError as e:
            self.say(f"{e}; the workers stay as they are")
            return
        staying = [one for one in self.kept if not one.draining]
        idle = [one for one in staying if not one.busy]
        busy = len(staying) - len(idle)
        wanted = wanted_workers(ready=ready, busy=busy, idle=len(idle), least=self.least, most=self.most)
        for _ in range(min(wanted - len(staying), self.most - len(self.kept))):
            self._add()
        # A message that was just taken is not in the queue any more, and its run has not begun: so at two looks.
        unused = [one for one in idle if one in self.idle_before]
        self.idle_before = [] if ready else idle
        for worker in unused[: max(len(staying) - wanted, 0)]:
            self.say(f"worker {worker.name} is not needed")
            worker.drain()
        count = len([one for one in self.kept if not one.draining])
        if count != len(staying):
            self.say(f"{ready} runs wait, {busy} are executed: {count} workers")

    def kill(self) -> None:
        """End all of them at once."""
        for worker in self.kept:
            worker.kill()
        self.kept.clear()

    def _add(self) -> None:
        self.kept.append(self.start())


def keep_workers(
    settings: Settings, dagster_home: Path, *, least: int, most: int, check_every_s: float = CHECK_EVERY_S,
    say: Say = _silent,
) -> None:  # fmt: skip
    """Keep ``least`` to ``most`` workers until SIGTERM or SIGINT, then drain them; a second signal ends them at once.

    Raises:
        ConfigError: there is no broker, ``least`` is above ``most``, or workers cannot start.
    """
    if least > most:
        raise ConfigError(f"--min {least} is above --max {most}")
    app = open_queue(broker_url(settings))
    scratch = Path(tempfile.mkdtemp(prefix="workers-", dir=settings.home.tmp))

    def ready() -> int:
        from kombu.exceptions import OperationalError

        try:
            return waiting(app)
        except (OperationalError, OSError) as e:
            raise TransientError(f"the broker does not answer: {type(e).__name__}") from e

    workers = Workers(least, most, lambda: Worker(settings, dagster_home, scratch), ready, say)
    try:
        with _signals() as signals:
            for _ in range(least):
                workers.kept.append(workers.start())
            say(f"{least} workers take runs from the queue {QUEUE}")
            due = time.monotonic() + check_every_s
            while not signals:
                workers.replace_dead()
                if time.monotonic() >= due:
                    workers.scale()
                    due = time.monotonic() + check_every_s
                time.sleep(_POLL_S)
            say("draining: every worker finishes its run; a second signal ends them at once")
            _drain_unless_asked_again(workers, signals)
    finally:
        workers.kill()
        shutil.rmtree(scratch, ignore_errors=True)


def _drain_unless_asked_again(workers: Workers, signals: list[int]) -> None:
    for worker in workers.kept:
        worker.drain()
    while len(signals) < 2 and [one for one in workers.kept if not one.ended]:
        time.sleep(_POLL_S)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals to stop that have come so far."""
    seen: list[int] = []

    def asked(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
