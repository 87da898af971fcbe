"""The first step of a partition's run: what arrived, changed or went is taken into the ledger and the originals."""

from etl_assets.documents.arrivals.intake import Changes, Intake, survey, take_in
from etl_assets.documents.arrivals.touched import confirm_removals, survey_touched
from etl_assets.documents.arrivals.unusable_keys import hold_unusable
from etl_assets.documents.arrivals.update_modes import taken
from etl_assets.documents.parameters import CollectionSettings, UpdateMode
from etl_assets.documents.platform import Platform
from etl_assets.ledger import held_arrivals, touched
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.leases import Lease

TOUCHED_PER_RUN = 20_000
"""A run looks at so many of its touched keys, which bounds its memory; the rest is for the next one."""


def take_arrivals(
    platform: Platform,
    partition: Partition,
    lease: Lease,
    settings: CollectionSettings,
    *,
    only_touched: bool,
    mode: UpdateMode | None,
) -> Intake:
    """Copy what is new or changed to the originals, end what is gone, as far as the update mode allows.

    The whole collection is listed, or with ``only_touched`` only the keys that a sensor entered for this partition.
    """
    with platform.ledger.reading() as connection:
        waiting = touched.waiting(connection, [partition.key]).get(partition.key)
        limit = TOUCHED_PER_RUN if only_touched and waiting else 0
        looked_at = touched.touched(connection, partition.key, limit=limit)
    if only_touched:
        changes, seen = survey_touched(platform.ledger, platform.arrivals, partition, looked_at), len(looked_at)
    else:
        changes, seen = _listed(platform, partition, settings)
    changes, held = taken(changes, mode or settings.update_mode)
    if only_touched:
        held_arrivals.keep_out_some(platform.ledger, [one.document_id for one in looked_at], held)
    else:
        held_arrivals.keep_out(platform.ledger, [partition.key], held)
    intake = Intake()
    if changes:
        intake = take_in(lease, platform.arrivals, platform.originals, changes, settings.parsing)
    if waiting and not intake.unsettled:
        with lease.writing() as connection:
            if only_touched:
                touched.untouch(connection, looked_at)
            else:
                touched.untouch_until(connection, partition.key, waiting.stamp)
    intake.listed, intake.held_back = seen, len(held)
    return intake


def _listed(platform: Platform, partition: Partition, settings: CollectionSettings) -> tuple[Changes, int]:
    tenant, collection = partition.tenant, partition.collection
    found = survey(platform.ledger, platform.arrivals, tenant, collection, shards=settings.shards)
    if partition.slot_low == 0:
        hold_unusable(platform.ledger, tenant, collection, found.unusable)
    changes = found.changes[partition.key]
    confirm_removals(platform.arrivals, changes)
    return changes, found.seen
