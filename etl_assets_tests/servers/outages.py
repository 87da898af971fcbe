"""Seeded outages: servers and stand-ins that are killed, stopped, cut off or slow, or refuse, while they are used."""

import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.standin import Fault, StandIn
from etl_assets_tests.servers.toxiproxy import add_toxic, proxied, remove_toxic, set_enabled

SLOW_MS = 400
"""How much later each answer of a slow server comes."""


@dataclass(frozen=True, slots=True)
class Outage:
    """``target`` goes away in the way of ``kind``, ``after_s`` seconds after the outage before it ended."""

    target: str
    kind: str
    after_s: float
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.target} {self.kind} for {self.lasts_s:.1f} s, {self.after_s:.1f} s after the one before"


class Target(Protocol):
    """What can go away in any of the ways of ``kinds``, and come back."""

    kinds: tuple[str, ...]

    def begin(self, kind: str) -> None:
        """Go away."""
        ...

    def end(self, kind: str) -> None:
        """Come back; returns when it serves again."""
        ...

    def delay(self, milliseconds: int) -> None:
        """Answer so much later from now on."""
        ...


class BehindProxy:
    """A server behind Toxiproxy at ``address`` (``host:port``), which others may use: only the way there is cut."""

    kinds: tuple[str, ...] = ("cut", "slow")

    def __init__(self, proxy: str, name: str, upstream: str) -> None:
        self._proxy, self._name = proxy, name
        self.address = proxied(proxy, name, upstream)

    def delay(self, milliseconds: int) -> None:
        """Every answer is so much later from now on."""
        add_toxic(self._proxy, self._name, "latency", latency=milliseconds)

    def begin(self, kind: str) -> None:
        """``cut``: connections end and new ones are refused; ``slow``: every answer is late."""
        if kind == "slow":
            add_toxic(self._proxy, self._name, "latency", latency=SLOW_MS, jitter=SLOW_MS // 2)
        else:
            set_enabled(self._proxy, self._name, False)

    def end(self, kind: str) -> None:
        """As before."""
        if kind == "slow":
            remove_toxic(self._proxy, self._name, "latency_downstream")
        else:
            set_enabled(self._proxy, self._name, True)


class OwnServer(BehindProxy):
    """A server of the test alone: also ``killed`` (SIGKILL), ``restarted`` (in its own way), ``frozen`` (SIGSTOP)."""

    kinds = ("killed", "restarted", "frozen", "cut", "slow")

    def __init__(self, proxy: str, name: str, upstream: str, server: Server) -> None:
        super().__init__(proxy, name, upstream)
        self._server = server

    def begin(self, kind: str) -> None:
        """As above."""
        if kind == "killed":
            self._server.kill()
        elif kind == "restarted":
            self._server.stop()
        elif kind == "frozen":
            self._signal(signal.SIGSTOP)
        else:
            super().begin(kind)

    def end(self, kind: str) -> None:
        """As before."""
        if kind in ("killed", "restarted"):
            self._server.restart()
        elif kind == "frozen":
            self._signal(signal.SIGCONT)
        else:
            super().end(kind)

    def _signal(self, number: int) -> None:
        for process in _descendants(self._server.pid):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue  # a session that ended meanwhile


class PlayedServer:
    """Stand-ins that misbehave together. ``more`` is asked at each outage for those that were made meanwhile."""

    kinds = ("limited", "failing", "silent", "slow")

    def __init__(self, *standins: StandIn, more: Mapping[str, StandIn] | None = None) -> None:
        self._standins, self._more = standins, more if more is not None else {}

    def begin(self, kind: str) -> None:
        """``limited``: 429; ``failing``: 503; ``silent``: connections end without an answer; ``slow``: late answers."""
        faults = {
            "limited": Fault("limited", seconds=1.0), "failing": Fault("error", status=503),
            "silent": Fault("hang-up"), "slow": Fault("slow", seconds=SLOW_MS / 1000),
        }  # fmt: skip
        for one in (*self._standins, *self._more.values()):
            one.misbehave(*[faults[kind]] * 100_000)

    def end(self, kind: str) -> None:
        """As before."""
        for one in (*self._standins, *self._more.values()):
            one.misbehave()

    def delay(self, milliseconds: int) -> None:
        """Every answer of those that are there is so much later from now on."""
        for one in (*self._standins, *self._more.values()):
            one.latency_s = milliseconds / 1000


def outages(seed: int, count: int, targets: Mapping[str, Target], *, pause_s: float, longest_s: float) -> list[Outage]:
    """So many outages, each target in its turn: the same ones for the same seed."""
    chance = random.Random(seed)
    turns: list[str] = []
    while len(turns) < count:
        turns += chance.sample(sorted(targets), len(targets))
    return [
        Outage(
            name, chance.choice(targets[name].kinds), round(chance.uniform(0.1, 2 * pause_s), 2),
            round(chance.uniform(0.2, longest_s), 2),
        )
        for name in turns[:count]
    ]  # fmt: skip


class Storm:
    """Carries outages out, one after the other, from when it is entered until it is left; then everything serves.

    ``begun`` are those that took place.
    """

    def __init__(self, targets: Mapping[str, Target], planned: Sequence[Outage]) -> None:
        self._targets, self._planned = targets, planned
        self.begun: list[Outage] = []
        self._is_over = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="storm", daemon=True)

    @property
    def has_passed(self) -> bool:
        """Whether every outage has been."""
        return not self._thread.is_alive()

    def __enter__(self) -> "Storm":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()
        if self._problem is not None and error is None:
            raise self._problem

    def _run(self) -> None:
        try:
            for one in self._planned:
                if self._is_over.wait(one.after_s):
                    return
                self._carry_out(one)
        except BaseException as e:  # noqa: BLE001  handed to whoever leaves the storm
            self._problem = e

    def _carry_out(self, one: Outage) -> None:
        target = self._targets[one.target]
        target.begin(one.kind)
        self.begun.append(one)
        try:
            self._is_over.wait(one.lasts_s)
        finally:
            target.end(one.kind)


def _descendants(process: int) -> Iterator[int]:
    """The process itself first, so that it starts none while its children are counted."""
    yield process
    try:
        threads = [*Path(f"/proc/{process}/task").iterdir()]
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return  # it ended meanwhile
    for child in children:
        yield from _descendants(int(child))
