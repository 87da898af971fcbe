"""Which changes of a collection's keys its update mode takes in, and which it keeps out until it is another one.

A mode decides about keys alone. What is taken in already is computed and published whatever the mode is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from etl_assets.documents.arrivals.intake import Changes, Sighting
from etl_assets.documents.parameters import UPDATE_MODES, UpdateMode
from etl_assets.errors import ConfigError
from etl_assets.ledger.held_arrivals import ADDED, CHANGED, REMOVED, HeldArrival
from etl_assets.ledger.objects import KnownObject

TAKEN: Mapping[UpdateMode, frozenset[str]] = {
    "auto": frozenset({ADDED, CHANGED, REMOVED}),
    "add-only": frozenset({ADDED}),
    "update-only": frozenset({CHANGED}),
    "skip-existing": frozenset({ADDED, REMOVED}),
}
"""What each mode takes in: new keys, keys with other bytes, keys that went."""


def update_mode(text: str) -> UpdateMode:
    """The mode of this name.

    Raises:
        ConfigError: there is none.
    """
    for mode in UPDATE_MODES:
        if mode == text:
            return mode
    raise ConfigError(f"update mode {text!r}: one of {', '.join(UPDATE_MODES)}")


def taken(changes: Changes, mode: UpdateMode) -> tuple[Changes, list[HeldArrival]]:
    """The changes that a mode takes in, and those that it keeps out."""
    takes, partition = TAKEN[mode], changes.partition
    kinds: dict[str, Sequence[Sighting | KnownObject]] = {
        ADDED: changes.added,
        CHANGED: changes.changed,
        REMOVED: changes.removed,
    }
    held = [
        HeldArrival(one.document_id, partition.cid, partition.key, one.path, kind)
        for kind, found in kinds.items()
        if kind not in takes
        for one in found
    ]
    kept = replace(
        changes,
        added=changes.added if ADDED in takes else [],
        changed=changes.changed if CHANGED in takes else [],
        removed=changes.removed if REMOVED in takes else [],
    )
    return kept, held
