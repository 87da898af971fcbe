"""Writing what is published to its stores once more, from the lake and under fresh numbers: nothing is computed.

The old number answers until the commit, as in any publication; so there is no moment without an answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from etl_assets.documents.consistency.store_checks import edges_of, rows_of
from etl_assets.documents.publication.index_rows import SOURCES, keyword_table, vector_table
from etl_assets.documents.publication.publisher import WRITE_ROWS
from etl_assets.errors import TransientError
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger import republications
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.republications import Shown
from etl_assets.protocols.indexes import IndexSpace

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

COMMIT_DOCUMENTS = 256


def republish(
    platform: "Platform", lease: Lease, partition: Partition, numbers: Sequence[int] | None = None
) -> list[Shown]:
    """Publish again the open publications ``numbers`` of a partition, or all; which those were.

    What was staged by anybody in the partition is given up first. The old numbers go to the outbox, to be collected.

    Raises:
        LeaseLost: somebody else has the partition now.
        SegmentLost: the lake lacks rows.
        TransientError: a store does not hold what it was given.
    """
    with platform.ledger.reading() as connection:
        wanted = republications.shown(connection, partition, numbers)
    if not wanted:
        return []
    with lease.writing() as connection:
        ledger_publications.abandon(connection, partition, but=[])
    for part in _sized(wanted):
        _republish_part(platform, lease, partition, part)
    return wanted


def _sized(wanted: Sequence[Shown]) -> Iterator[list[Shown]]:
    """Publications of one generation, of about as many rows as go to a store in one write."""
    part: list[Shown] = []
    rows = 0
    for one in sorted(wanted, key=lambda one: (one.generation_id, one.publication)):
        more = max(one.counts.values(), default=0)
        if part and (
            rows + more > WRITE_ROWS or len(part) == COMMIT_DOCUMENTS or part[0].generation_id != one.generation_id
        ):
            yield part
            part, rows = [], 0
        part.append(one)
        rows += more
    if part:
        yield part


def _republish_part(platform: "Platform", lease: Lease, partition: Partition, part: Sequence[Shown]) -> None:
    generation = part[0].generation_id
    with lease.writing() as connection:
        digests = {one.document_id: one.content_digest for one in part}
        numbers = ledger_publications.draw_publications(connection, partition, lease.token, generation, digests)
    for store in ledger_publications.STORES:
        _write(platform, partition, store, [one for one in part if store in one.counts], numbers)
    with lease.writing() as connection:
        republications.renumber(
            connection, partition, {one.publication: numbers[one.document_id] for one in part}
        )  # fmt: skip


def _write(
    platform: "Platform", partition: Partition, store: str, part: Sequence[Shown], numbers: Mapping[str, int]
) -> None:
    """Write and read back one store's rows."""
    mine = {one.document_id: numbers[one.document_id] for one in part}
    expected = dict.fromkeys(mine.values(), 0)
    space = IndexSpace(partition.tenant, partition.collection, part[0].generation_id) if part else None
    if space is not None:
        for number in _write_rows(platform, partition, store, space, part, mine):
            expected[number] += 1
    _read_back(platform, partition, store, space, expected)


def _write_rows(
    platform: "Platform", partition: Partition, store: str, space: IndexSpace, part: Sequence[Shown],
    numbers: Mapping[str, int],
) -> list[int]:  # fmt: skip
    """Give a store what it gets of these documents; the publication of each row."""
    if store == "graph":
        edges, relations = edges_of(platform, partition, [one.outputs for one in part], numbers)
        platform.stores.graph.write(edges, relations)
        return [edge.publication for edge in edges] + [one.publication for one in relations]
    stage = SOURCES[store][0]
    rows = rows_of(platform, stage, [one.outputs[stage] for one in part if stage in one.outputs])
    if rows is None:
        return []
    build = vector_table if store == "vector" else keyword_table
    table = build(rows, numbers, {one.document_id: one.record for one in part})
    (platform.stores.vector if store == "vector" else platform.stores.keyword).write(space, table)
    return [int(number) for number in table["publication"].to_pylist()]


def _read_back(
    platform: "Platform", partition: Partition, store: str, space: IndexSpace | None, expected: Mapping[int, int]
) -> None:
    if space is None:
        return
    stores = platform.stores
    if store == "graph":
        held = stores.graph.counts(partition.tenant, partition.collection, list(expected))
    else:
        held = (stores.vector if store == "vector" else stores.keyword).counts(space, list(expected))
    wrong = [number for number, rows in expected.items() if held.get(number, 0) != rows]
    if wrong:
        raise TransientError(
            f"{store} index, partition {partition.key}: {len(wrong)} documents were not stored whole; publication "
            f"{wrong[0]} has {held.get(wrong[0], 0)} of {expected[wrong[0]]} rows; run the repair again"
        )
