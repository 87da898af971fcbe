"""Requests and tokens per minute, held across the processes of one machine by a small SQLite file.

A caller reserves the moment at which its request may start, in the order of asking, and waits for it: nobody can
starve, and no window of the given length ever holds more than the limits, whatever the processes do. A process that
is killed loses at most the reservations of its waiting calls, which leave the window by themselves; no lock stays
behind. Several machines with one key need ``RedisBudget`` or a share of the limits each.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from etl_assets.errors import ConfigError, TransientError

MARGIN = 1.02
"""Windows are kept this much longer than the vendor's, since requests do not travel equally fast."""

BUSY_TIMEOUT_S = 30.0

SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE TABLE reservations (id INTEGER PRIMARY KEY, start_s REAL NOT NULL, tokens INTEGER NOT NULL)",
    "CREATE INDEX reservations_by_start ON reservations (start_s)",
    "CREATE TABLE pauses (id INTEGER PRIMARY KEY CHECK (id = 1), until_s REAL NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may start within any ``window_s`` seconds. ``None`` is no limit."""

    requests: int | None = None
    tokens: int | None = None
    window_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests), ("tokens", self.tokens)):
            if value is not None and value < 1:
                raise ConfigError(f"rate limit: {name} is {value}, it must be 1 or more, or left out")
        if self.window_s <= 0:
            raise ConfigError(f"rate limit: window_s is {self.window_s}, it must be above 0")

    def split(self, share: float) -> "tuple[Limits, Limits]":
        """(the rest, ``share`` of the limits): two budgets that together stay within the one, at least 1 each.

        Raises:
            ConfigError: a limit of 1 cannot be split.
        """
        requests, tokens = _part(self.requests, share), _part(self.tokens, share)
        return (
            Limits(_rest(self.requests, requests), _rest(self.tokens, tokens), self.window_s),
            Limits(requests, tokens, self.window_s),
        )


def _part(limit: int | None, share: float) -> int | None:
    return None if limit is None else max(1, int(limit * share))


def _rest(limit: int | None, part: int | None) -> int | None:
    return None if limit is None or part is None else limit - part


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave to start one request ``wait_s`` seconds from when it was given."""

    number: int
    wait_s: float


class Budget(Protocol):
    """Reservations in the order of asking."""

    def reserve(self, tokens: int, *, patience_s: float) -> Reservation:
        """Leave for a request of about so many tokens.

        One that exceeds the token limit by itself gets a window of its own.

        Raises:
            TransientError: its turn would come later than in ``patience_s`` seconds; nothing is reserved.
        """
        ...

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Correct the tokens of a reservation to what the request really cost."""
        ...

    def pause(self, seconds: float) -> None:
        """Nobody may start a request for so long: the backend asked for it."""
        ...


class FileBudget:
    """Budget of all processes that name the same file. ``clock`` gives Unix seconds, alike in all of them.

    Should the clock be set back, reservations that seem further ahead than any caller waits are dropped.
    """

    def __init__(self, file: Path, limits: Limits, *, name: str, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._limits = limits
        self._name = name
        self._clock = clock
        self._window_s = limits.window_s * MARGIN

    def reserve(self, tokens: int, *, patience_s: float) -> Reservation:
        """Leave for a request of about ``tokens`` tokens; see ``Budget``."""
        with self._writing() as connection:
            now = self._clock()
            connection.execute("DELETE FROM reservations WHERE start_s <= ?", (now - self._window_s,))
            start = self._start(connection, now, tokens)
            if start - now > patience_s:
                # Raising rolls back, so that who gives up takes nobody's place.
                raise out_of_budget(self._name, self._limits, start - now, patience_s)
            added = connection.execute("INSERT INTO reservations (start_s, tokens) VALUES (?, ?)", (start, tokens))
            return Reservation(int(added.lastrowid or 0), start - now)

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Correct the tokens of a reservation; one that has left the window already is no error."""
        with self._writing() as connection:
            connection.execute("UPDATE reservations SET tokens = ? WHERE id = ?", (tokens, reservation.number))

    def pause(self, seconds: float) -> None:
        """Nobody starts a request for so long, nor sooner than an earlier pause ends."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO pauses VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET until_s = max(until_s, excluded.until_s)",
                (self._clock() + seconds,),
            )

    def _start(self, connection: sqlite3.Connection, now: float, tokens: int) -> float:
        """The first moment, not before that of anybody who asked earlier, at which the window has room."""
        ahead = now + self._window_s * 60
        connection.execute("DELETE FROM reservations WHERE start_s > ?", (ahead,))
        connection.execute("DELETE FROM pauses WHERE until_s > ?", (ahead,))
        rows = connection.execute("SELECT start_s, tokens FROM reservations ORDER BY start_s").fetchall()
        paused = connection.execute("SELECT until_s FROM pauses").fetchone()
        start: float = max(now, rows[-1][0] if rows else now, paused[0] if paused else now)
        count, total = len(rows), sum(row[1] for row in rows)
        for began, used in rows:
            if began + self._window_s > start and self._has_room(count + 1, total + tokens):
                break
            start = max(start, began + self._window_s)
            count, total = count - 1, total - used
        return start

    def _has_room(self, requests: int, tokens: int) -> bool:
        limits = self._limits
        return (limits.requests is None or requests <= limits.requests) and (
            limits.tokens is None or tokens <= limits.tokens
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. A file that is no database any more is removed: the backend's own refusals still hold."""
        try:
            with closing(self._opened()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                    for statement in SCHEMA:
                        connection.execute(statement)
                yield connection
                connection.execute("COMMIT")
        except sqlite3.OperationalError as e:
            raise TransientError(f"rate budget {self._name}: {self._file} cannot be used ({e})") from e
        except sqlite3.DatabaseError as e:
            self._file.unlink(missing_ok=True)
            raise TransientError(f"rate budget {self._name}: {self._file} was damaged and is made anew ({e})") from e

    def _opened(self) -> sqlite3.Connection:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(f"rate budget {self._name}: {self._file.parent} cannot be made ({e.strerror})") from e
        connection = sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        # Nothing here must survive a loss of power; the journal on disk is for a process that is killed.
        connection.execute("PRAGMA synchronous = OFF")
        return connection


def out_of_budget(name: str, limits: Limits, wait_s: float, patience_s: float) -> TransientError:
    """Says that a request's turn would come too late."""
    allowed = f"{limits.requests or 'any'} requests and {limits.tokens or 'any'} tokens in {limits.window_s:g} s"
    return TransientError(
        f"rate budget {name}: {allowed} are used up, the next turn is in {wait_s:.1f} s and this call waits at most "
        f"{patience_s:.1f} s; try later, or raise the limits if the account's are higher"
    )
