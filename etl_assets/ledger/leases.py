"""Who may write in a partition. Every writing transaction proves its token first, so a sleeper cannot write late.

A lease is a row with a token, a holder and an expiry by the ledger database's clock. On SQLite the holder also keeps
a POSIX lock on a file: the kernel frees it when the process dies, so a killed holder is replaced at once instead of
after the expiry.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from etl_assets.errors import TransientError
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, draw, now

LEASE_S = 20.0
"""A lease that is not renewed for so long may be taken by somebody else."""

_POLL_S = 0.05


class LeaseLost(TransientError):
    """Somebody else holds the partition now: nothing more may be written under this token."""


class Lease:
    """One held partition. ``token`` is drawn when it is taken and never given out again."""

    def __init__(self, ledger: Ledger, partition: str, token: int, holder: str, ttl_s: float, lock: int | None) -> None:
        self._ledger = ledger
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
        """Renew the lease inside a transaction, or raise LeaseLost."""
        table = schema.leases
        renewed = connection.execute(
            update(table)
            .where(table.c.name == self.partition, table.c.token == self.token)
            .values(expires_at=now(connection) + self._ttl_s)
        )
        if renewed.rowcount != 1:
            raise LeaseLost(
                f"partition {self.partition}: the lease of {self.holder} was taken over by another run; "
                "what this run had not committed is left to that one"
            )

    def _beat(self) -> None:
        while not self._stop.wait(self._ttl_s / 4):
            try:
                with self.writing():
                    pass
            except LeaseLost:
                return
            except TransientError:
                continue  # a busy database: the next beat, or the next write, finds out

    def release(self) -> None:
        """Let somebody else have the partition. The token stays valid until somebody takes it."""
        self._stop.set()
        self._heart.join()
        table = schema.leases
        try:
            with self._ledger.writing() as connection:
                connection.execute(
                    update(table)
                    .where(table.c.name == self.partition, table.c.token == self.token)
                    .values(expires_at=0.0)
                )
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def acquire(ledger: Ledger, partition: str, *, holder: str, wait_s: float = 0.0, ttl_s: float = LEASE_S) -> Lease:
    """Take the lease of a partition, waiting at most ``wait_s`` for whoever has it.

    The same ``holder`` gets the same token back as long as nobody took the lease in between.

    Raises:
        TransientError: somebody alive holds it; the message names the holder.
    """
    deadline = time.monotonic() + wait_s
    while True:
        lock = _try_lock(ledger.lock_folder, partition)
        free = lock is not None and lock >= 0
        try:
            token, owner = _take(ledger, partition, holder, ttl_s, holder_is_dead=free)
        except BaseException:
            if lock is not None and lock >= 0:
                os.close(lock)
            raise
        if token is not None:
            return Lease(ledger, partition, token, holder, ttl_s, lock if free else None)
        if lock is not None and lock >= 0:
            os.close(lock)
        if time.monotonic() >= deadline:
            raise TransientError(f"partition {partition} is being worked on by {owner}; try again when it is done")
        time.sleep(_POLL_S)


def _take(ledger: Ledger, partition: str, holder: str, ttl_s: float, *, holder_is_dead: bool) -> tuple[int | None, str]:
    table = schema.leases
    with ledger.writing() as connection:
        row = connection.execute(
            select(table.c.token, table.c.holder, (table.c.expires_at <= now(connection)).label("expired"))
            .where(table.c.name == partition)
            .with_for_update()
        ).one_or_none()
        if row is not None and not (row.expired or holder_is_dead or row.holder == holder):
            return None, str(row.holder)
        values = {"holder": holder, "expires_at": now(connection) + ttl_s}
        if row is not None and row.holder == holder:
            connection.execute(update(table).where(table.c.name == partition).values(values))
            return int(row.token), holder
        token = draw(connection, "token")
        if row is None:
            connection.execute(insert(table).values(name=partition, token=token, layout_revision=0, **values))
        else:
            connection.execute(update(table).where(table.c.name == partition).values(token=token, **values))
        return token, holder


def void_all(connection: Connection) -> None:
    """End every lease: after a restore nobody from before may write."""
    connection.execute(delete(schema.leases))


def _try_lock(folder: Path | None, partition: str) -> int | None:
    """A locked file descriptor; -1 when another process has the lock; ``None`` when the ledger has no lock files."""
    if folder is None:
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.blake2b(partition.encode(), digest_size=16).hexdigest()
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor
