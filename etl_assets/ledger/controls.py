"""What people paused and what they put first: by tenant, collection, partition and batch, or all of it.

A pause holds for everything inside its scope, whatever holds for a part of it; of priorities the one of the narrowest
scope counts. What is held back is not lost: it is asked for again, or goes on, once no pause holds for it any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import parse_partition_key
from etl_assets.ledger.database import Ledger, clock, draw, upsert

EVERYTHING = "*"
_BATCH = "batch:"


@dataclass(frozen=True, slots=True)
class Control:
    """What holds for one scope. ``changed_at`` is Unix seconds UTC; ``priority`` is -100 to 100, ``None``: none set."""

    scope: str
    paused: bool = False
    priority: int | None = None
    reason: str = ""
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Controls:
    """All that holds now, by scope."""

    by_scope: Mapping[str, Control] = field(default_factory=dict)

    def pause_of(self, partition: str, batch: str | None = None) -> Control | None:
        """The widest pause that holds for runs of a partition, in a batch; ``None`` when they may begin."""
        found = (self.by_scope.get(scope) for scope in reversed(scopes_of(partition, batch)))
        return next((one for one in found if one is not None and one.paused), None)

    def priority_of(self, partition: str, batch: str | None = None) -> int | None:
        """Higher ones begin first; ``None`` where nobody set one, which counts as 0."""
        found = (self.by_scope.get(scope) for scope in scopes_of(partition, batch))
        return next((one.priority for one in found if one is not None and one.priority is not None), None)

    def paused_within(self, scope: str) -> list[Control]:
        """Pauses of parts of a scope, by name; they hold also when that of the scope itself is lifted."""
        return [one for name, one in sorted(self.by_scope.items()) if one.paused and _is_within(name, scope)]


def batch_scope(batch: str) -> str:
    """The scope of the runs that were asked for together."""
    return _BATCH + batch


def scopes_of(partition: str, batch: str | None = None) -> tuple[str, ...]:
    """Every scope that a run is in, the narrowest first.

    Raises:
        ConfigError: it is no partition key.
    """
    tenant, collection, _, _ = parse_partition_key(partition)
    own = (partition, f"{tenant}/{collection}", tenant, EVERYTHING)
    return own if batch is None else (batch_scope(batch), *own)


def told(scope: str) -> str:
    """A scope in words."""
    if scope == EVERYTHING:
        return "everything"
    return f"batch {scope.removeprefix(_BATCH)}" if scope.startswith(_BATCH) else scope


def controls(ledger: Ledger) -> Controls:
    """What holds now."""
    with ledger.reading() as connection:
        return controls_in(connection)


def controls_in(connection: Connection) -> Controls:
    """What holds at this moment of a transaction."""
    table = schema.controls
    columns = [table.c[name] for name in Control.__dataclass_fields__]
    rows = (Control(row[0], bool(row[1]), *row[2:]) for row in connection.execute(select(*columns)))
    return Controls({one.scope: one for one in rows})


def pause(ledger: Ledger, scope: str, *, reason: str, by: str) -> Control | None:
    """Let nothing in a scope begin; what held before, if it was paused already."""
    return _change(ledger, scope, "pause", {"reason": reason, "by": by}, paused=1, reason=reason)


def resume(ledger: Ledger, scope: str, *, by: str) -> Control | None:
    """Lift the pause of exactly this scope; ``None`` when there was none."""
    return _change(ledger, scope, "resume", {"by": by}, paused=0, reason="")


def prioritise(ledger: Ledger, scope: str, priority: int | None, *, by: str) -> None:
    """Let what waits in a scope begin before what is less urgent; ``None`` takes back what was set."""
    _change(ledger, scope, "prioritise", {"priority": priority, "by": by}, priority=priority)


def forget(connection: Connection, scopes: Iterable[str]) -> None:
    """Remove what was decided about scopes that there are no longer."""
    table = schema.controls
    connection.execute(delete(table).where(table.c.scope.in_(sorted(scopes))))


def note(connection: Connection, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Enter in the audit what a person asked for."""
    row = {
        "entry": draw(connection, "audit"), "at": clock(connection), "action": action, "subject": subject,
        "detail": dict(detail),
    }  # fmt: skip
    connection.execute(insert(schema.audit), row)


def _change(
    ledger: Ledger, scope: str, action: str, detail: Mapping[str, Any], **values: str | int | None
) -> Control | None:
    """Set some values of a scope; what held before, if it was paused. A row that says nothing is removed."""
    with ledger.writing() as connection:
        draw(connection, "control")  # held to the commit: of two people who change a scope one comes second
        before = controls_in(connection).by_scope.get(scope, Control(scope))
        now: dict[str, Any] = {
            "scope": scope, "paused": int(before.paused), "priority": before.priority, "reason": before.reason,
            "changed_at": clock(connection),
        } | values  # fmt: skip
        if now["paused"] or now["priority"] is not None:
            upsert(connection, schema.controls, [now])
        else:
            forget(connection, [scope])
        note(connection, action, scope, detail)
    return before if before.paused else None


def _is_within(scope: str, outer: str) -> bool:
    if scope == outer or scope.startswith(_BATCH):
        return False
    if outer == EVERYTHING:
        return True
    inner = scope
    if "." in scope:
        tenant, collection, _, _ = parse_partition_key(scope)
        inner = f"{tenant}/{collection}/{scope}"
    return inner.startswith(outer + "/")
