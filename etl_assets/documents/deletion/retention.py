"""How long history is kept: documents deleted by age, and what ended long ago removed, originals included."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from etl_assets.documents.deletion.orders import delete_documents
from etl_assets.documents.document_names import DocumentName
from etl_assets.documents.original_keys import forget_tombstones, original_key
from etl_assets.documents.platform import Platform
from etl_assets.ledger import pruning, tombstones
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.leases import acquire

WAIT_S = 60.0
"""How long to wait for a run of the partition."""


@dataclass(slots=True)
class PruneReport:
    """What went. ``expired`` documents were deleted by age, with ``certificates``; ``rows`` are by ledger table."""

    expired: int = 0
    originals: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    certificates: list[str] = field(default_factory=list)


def prune_history(platform: Platform, places: Sequence[Partition], *, dry_run: bool = False) -> PruneReport:
    """Apply each collection's retention to these partitions. Nothing visible or pinned is touched.

    It may be interrupted and called again. ``dry_run`` counts what would go, and removes nothing.

    Raises:
        TransientError: a partition is worked on for over ``WAIT_S``, or a store does not answer.
        PermanentError: a file cannot be removed.
    """
    report = PruneReport()
    if not dry_run:
        with platform.ledger.writing() as connection:
            pruning.mark(connection)
    for place in places:
        _expire(platform, place, report, dry_run)
        _prune(platform, place, report, dry_run)
    return report


def _expire(platform: Platform, place: Partition, report: PruneReport, dry_run: bool) -> None:
    """Delete what arrived too long ago; its originals go when its history does."""
    days = platform.collections.of(place.tenant, place.collection).retention.delete_after_days
    if days is None:
        return
    with platform.ledger.reading() as connection:
        old = pruning.arrived_before(connection, place, days)
    report.expired += len(old)
    if old and not dry_run:
        doomed = [DocumentName(identity, place.tenant, place.collection, path) for identity, path in old]
        report.certificates += [one.certificate for one in delete_documents(platform, doomed, purge=False)]


def _prune(platform: Platform, place: Partition, report: PruneReport, dry_run: bool) -> None:
    rules = platform.collections.of(place.tenant, place.collection).retention
    if dry_run:
        with platform.ledger.reading() as connection:
            up_to = pruning.reached_before(connection, rules.history_days)
            report.originals += len(pruning.old_versions(connection, place, up_to))
        return
    lease = acquire(platform.ledger, place.key, holder="history prune", wait_s=WAIT_S, ttl_s=platform.lease_s)
    try:
        with lease.writing() as connection:
            up_to = pruning.reached_before(connection, rules.history_days)
            old = pruning.old_versions(connection, place, up_to)
        # The files go before the rows that name them: killed in between, the next call finds them again.
        for one in old:
            platform.originals.delete(original_key(place.tenant, one.document_id, one.version))
            if one.is_last:
                platform.destroy_key(f"{place.tenant}/{one.document_id}")
        report.originals += len(old)
        with lease.writing() as connection:
            report.rows.update(pruning.prune(connection, place, up_to, runs_days=rules.runs_days))
            days = max(rules.history_days, rules.backups_days)
            stones = tombstones.forget_old(connection, place.tenant, place.collection, days)
        for stone in stones:
            forget_tombstones(platform.originals, stone)
    finally:
        lease.release()
