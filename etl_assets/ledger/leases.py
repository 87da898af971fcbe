"""Who may write in a partition. Every writing transaction proves its token first, so a sleeper cannot write late.

A lease is a row with a token, a holder and an expiry by the ledger database's clock. On SQLite the holder also keeps
a POSIX lock on a file of its token: the kernel frees it when the process dies, so a killed holder is replaced at once
instead of after the expiry.

The processes of one run share a token. Each has a row of its own, its claim, and only the last one that releases lets
the partition go. Each attempt of a step draws a token for that step, in a row as well, which its transactions prove
besides: a step that hangs, or that is delivered twice, cannot write once another attempt has begun.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger import restoring, schema
from etl_assets.ledger.database import Ledger, draw, now

LEASE_S = 20.0
"""A lease that is not renewed for so long may be taken by somebody else."""

_POLL_S = 0.05
_IN_LIST = 5000


class LeaseLost(TransientError):
    """Somebody else holds the partition now: nothing more may be written under this token."""


class Lease:
    """One held partition. ``token`` is drawn when it is taken and never given out again."""

    def __init__(
        self, ledger: Ledger, partition: str, token: int, holder: str, ttl_s: float, lock: int | None, claim: int
    ) -> None:
        self._ledger = ledger
        self._claim = _claim_name(partition, claim)
        self._step: tuple[str, int] | None = None
        self.partition = partition
        self.token = token
        self.holder = holder
        self._ttl_s = ttl_s
        self._lock = lock
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"lease {partition}", daemon=True)
        self._heart.start()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A ledger transaction that aborts unless this lease still holds the partition.

        Raises:
            LeaseLost: it does not; nothing of the transaction was kept.
        """
        with self._ledger.writing() as connection:
            self.prove(connection)
            yield connection

    def prove(self, connection: Connection) -> None:
        """Renew the lease inside a transaction, or raise LeaseLost; also when another attempt of the step has begun."""
        self._renew(connection)
        step = self._step
        if step is None:
            return
        table, (name, token) = schema.leases, step
        # Held to the commit: an attempt that begins in this moment waits for it, and then sees what it wrote.
        row = select(table.c.token).where(table.c.name == _step_name(self.partition, name)).with_for_update()
        if connection.scalar(row) != token:
            raise LeaseLost(
                f"partition {self.partition}: another attempt of the step {name} of {self.holder} has begun; "
                "what this one had not committed is left to that one"
            )

    def begin_step(self, name: str) -> int:
        """Begin an attempt of a step: its token, under which alone this lease writes from now on.

        Whatever an earlier attempt of the step, in whichever process, has not committed by now it never will.

        Raises:
            LeaseLost: somebody else holds the partition.
        """
        table, row = schema.leases, _step_name(self.partition, name)
        with self._ledger.writing() as connection:
            self._renew(connection)
            token = draw(connection, "token")
            values = {"token": token, "holder": self.holder}
            if connection.execute(update(table).where(table.c.name == row).values(**values)).rowcount == 0:
                connection.execute(insert(table).values(name=row, expires_at=0.0, layout_revision=0, **values))
        self._step = (name, token)
        return token

    def others(self, connection: Connection) -> int:
        """How many other processes of this run hold the partition, as far as they are alive."""
        table = schema.leases
        alive = (table.c.token == self.token) & (table.c.expires_at > now(connection))
        mine = table.c.name.startswith(_claim_name(self.partition, None), autoescape=True)
        return len(connection.scalars(select(table.c.name).where(mine, alive, table.c.name != self._claim)).all())

    def renew(self) -> None:
        """Hold the lease for its whole time again, or raise LeaseLost; whichever attempt of a step has begun."""
        with self._ledger.writing() as connection:
            self._renew(connection)

    def discard(self) -> None:
        """Release the lease and leave nothing of it: for a name that is never used again."""
        self.release()
        _discard(self._ledger, [self.partition])

    def _renew(self, connection: Connection) -> None:
        table = schema.leases
        until = now(connection) + self._ttl_s
        held = (table.c.name == self.partition, table.c.token == self.token)
        if connection.execute(update(table).where(*held).values(expires_at=until)).rowcount != 1:
            raise LeaseLost(
                f"partition {self.partition}: the lease of {self.holder} was taken over by another run; "
                "what this run had not committed is left to that one"
            )
        connection.execute(update(table).where(table.c.name == self._claim).values(expires_at=until))

    def _beat(self) -> None:
        while not self._stop.wait(self._ttl_s / 4):
            try:
                self.renew()
            except LeaseLost:
                return
            except EtlAssetsError:
                continue  # a busy database or a full disk: the next beat, or the next write, finds out

    def release(self) -> None:
        """Let somebody else have the partition, unless other processes of this run hold it still.

        The token stays valid until somebody takes it.
        """
        self._stop.set()
        self._heart.join()
        table = schema.leases
        held = (table.c.name == self.partition, table.c.token == self.token)
        try:
            with self._ledger.writing() as connection:
                # Of two that release at once, the second one sees that the first has gone.
                connection.execute(select(table.c.token).where(*held).with_for_update())
                connection.execute(delete(table).where(table.c.name == self._claim))
                if not self.others(connection):
                    connection.execute(update(table).where(*held).values(expires_at=0.0))
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def acquire(ledger: Ledger, partition: str, *, holder: str, wait_s: float = 0.0, ttl_s: float = LEASE_S) -> Lease:
    """Take the lease of a partition, waiting at most ``wait_s`` for whoever has it.

    The same ``holder`` gets the same token back after it released the lease, or while it is alive in another process,
    as long as nobody took the lease in between. After it died or slept beyond its expiry it gets a new one: what it
    was about to write then must not be written any more.

    Raises:
        TransientError: somebody alive holds it, and the message names the holder; or this home is being restored.
        PermanentError: the lock file cannot be made.
    """
    if holder != restoring.RUN:
        with ledger.reading() as connection:
            restoring.refuse_while_restoring(connection)
    deadline = time.monotonic() + wait_s
    while True:
        taken, owner = _take(ledger, partition, holder, ttl_s)
        if taken is not None:
            return Lease(ledger, partition, taken.token, holder, ttl_s, taken.lock, taken.claim)
        if time.monotonic() >= deadline:
            raise TransientError(f"partition {partition} is being worked on by {owner}; try again when it is done")
        time.sleep(_POLL_S)


def living_holders(ledger: Ledger, names: Sequence[str]) -> dict[str, str]:
    """Who holds each of these leases, as far as somebody alive does.

    On PostgreSQL a dead holder counts until its lease has expired.
    """
    table = schema.leases
    with ledger.reading() as connection:
        rows = [
            row
            for start in range(0, len(names), _IN_LIST)
            for row in connection.execute(
                select(table.c.name, table.c.holder, table.c.token)
                .where(table.c.name.in_(names[start : start + _IN_LIST]), table.c.expires_at > now(connection))
            )
        ]  # fmt: skip
    folder = ledger.lock_folder
    return {row.name: row.holder for row in rows if not _nobody_holds(_lock_path(folder, row.name, row.token))}


def discard_dead(ledger: Ledger, prefix: str) -> None:
    """Leave nothing of leases whose names begin so and that nobody alive holds."""
    table = schema.leases
    with ledger.reading() as connection:
        expired = table.c.name.startswith(prefix, autoescape=True) & (table.c.expires_at <= now(connection))
        names = list(connection.scalars(select(table.c.name).where(expired)))
    _discard(ledger, names)


def _discard(ledger: Ledger, names: list[str]) -> None:
    if not names:
        return
    table = schema.leases
    with ledger.writing() as connection:
        gone = (table.c.name.in_(names), table.c.expires_at <= now(connection))
        rows = connection.execute(select(table.c.name, table.c.token).where(*gone)).all()
        connection.execute(delete(table).where(*gone))
    for name, token in rows:
        _remove(_lock_path(ledger.lock_folder, name, token))


@dataclass(frozen=True, slots=True)
class _Taken:
    """A token that is ours, its locked file (``None``: the ledger has no lock files) and our claim to it."""

    token: int
    lock: int | None
    claim: int


def _take(ledger: Ledger, partition: str, holder: str, ttl_s: float) -> tuple[_Taken | None, str]:
    table = schema.leases
    lock: int | None = None
    try:
        with ledger.writing() as connection:
            row = connection.execute(
                select(table.c.token, table.c.holder, table.c.expires_at, now(connection).label("now"))
                .where(table.c.name == partition)
                .with_for_update()
            ).one_or_none()
            values: dict[str, object] = {"holder": holder, "expires_at": now(connection) + ttl_s}
            if row is None:
                token = draw(connection, "token")
                # The counter is held to the commit, so whoever draws second sees what the first one entered.
                other = connection.scalar(select(table.c.holder).where(table.c.name == partition))
                if other is not None:
                    return None, str(other)
                connection.execute(insert(table).values(name=partition, token=token, layout_revision=0, **values))
            else:
                path = _lock_path(ledger.lock_folder, partition, row.token)
                gone = row.expires_at <= row.now or _nobody_holds(path)
                released = row.expires_at == 0
                if row.holder != holder and not gone:
                    return None, str(row.holder)
                token = int(row.token)
                if row.holder != holder or (gone and not released):
                    token = draw(connection, "token")
                    _remove(path)
                    dead = table.c.name.startswith(_claim_name(partition, None), autoescape=True)
                    connection.execute(delete(table).where(dead))
                connection.execute(update(table).where(table.c.name == partition).values(token=token, **values))
            claim = draw(connection, "claim")
            connection.execute(
                insert(table).values(name=_claim_name(partition, claim), token=token, layout_revision=0, **values)
            )
            lock = _hold(_lock_path(ledger.lock_folder, partition, token))
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise
    return _Taken(token, lock, claim), holder


def _claim_name(partition: str, claim: int | None) -> str:
    """Name of the row of one process that holds the partition; without a claim, what all of them begin with."""
    return f"{partition}/holders/" + ("" if claim is None else str(claim))


def _step_name(partition: str, step: str) -> str:
    return f"{partition}/steps/{step}"


def void_all(connection: Connection) -> None:
    """End every lease: after a restore nobody from before may write."""
    connection.execute(delete(schema.leases))


def _lock_path(folder: Path | None, partition: str, token: int) -> Path | None:
    """The file that the holders of a token keep locked, one for each token: a sleeper's lock says nothing of others."""
    if folder is None:
        return None
    return folder / f"{hashlib.blake2b(partition.encode(), digest_size=16).hexdigest()}.{token}"


def _hold(path: Path | None) -> int | None:
    """A descriptor with a shared lock, since the processes of one run may share its token."""
    if path is None:
        return None
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise PermanentError(f"lock file {path}: {e.strerror}; free some space or check the folder's rights") from e
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _nobody_holds(path: Path | None) -> bool:
    """Whether no process alive holds the token of this file; ``False`` where that cannot be told."""
    if path is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # another user's file: the expiry decides
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)
