"""Publishing a restored home anew: empty stores, the documents back under their keys, each under a new number."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from etl_assets.documents.original_keys import original_key
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.republication import republish
from etl_assets.errors import DataError, PermanentError
from etl_assets.ledger import restoring
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.named_files import present_objects
from etl_assets.ledger.outputs import batches
from etl_assets.protocols.objects import ObjectAttributes


@dataclass(slots=True)
class RestoreReport:
    """What was brought back. ``files`` and ``file_bytes`` are those that were not there; ``documents`` were published.

    ``recomputed`` outputs of that point were in no backup and are made again. ``put_back`` documents lay under their
    keys no more, and ``not_put_back`` says why one could not be: the next sync takes it for removed.
    """

    backup: str
    sequence: int
    files: int = 0
    file_bytes: int = 0
    documents: int = 0
    recomputed: int = 0
    put_back: int = 0
    not_put_back: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def publish_anew(platform: Platform, collections: Sequence[tuple[str, str]], report: RestoreReport) -> None:
    """Empty the stores of what earlier ledgers published, then publish every document that is to be there.

    ``collections`` are (tenant, collection) of every one whose edges the graph may hold.

    Raises:
        TransientError, PermanentError: a store does not answer or refuses.
    """
    _empty_stores(platform, collections)
    for place in partitions(platform.ledger):
        _put_back(platform, place, report)
        with PartitionRun(platform, place.key, run_id=restoring.RUN) as run:
            report.documents += len(republish(platform, run.lease, place))
            with run.lease.writing() as connection:
                restoring.forget_emptied(connection, place.key)
            for step in run.stages:
                step()
            report.documents += run.published_documents().published


def _empty_stores(platform: Platform, collections: Sequence[tuple[str, str]]) -> None:
    stores = platform.stores
    for index in (stores.vector, stores.keyword):
        for space in index.spaces():
            index.drop(space)
    for tenant, collection in sorted(set(collections)):
        numbers = sorted({edge.publication for edge in stores.graph.edges(tenant, collection)})
        for some in batches(numbers, 1000):
            stores.graph.remove(tenant, collection, some)
    for tenant in sorted({tenant for tenant, _ in collections}):
        stores.graph.sweep(tenant)


def _put_back(platform: Platform, place: Partition, report: RestoreReport) -> None:
    """Lay the bytes of present documents under their keys where nothing lies, or the next listing would end them."""
    with platform.ledger.reading() as connection:
        present = present_objects(connection, place)
    for one in present:
        key = f"{place.tenant}/{place.collection}/{one.path}"
        if platform.arrivals.look(key) is not None:
            continue
        try:
            with platform.originals.local(original_key(place.tenant, one.document_id, one.version)) as original:
                platform.arrivals.put(key, original, attributes=ObjectAttributes(one.content_type, one.attributes))
            report.put_back += 1
        except (PermanentError, DataError) as error:  # told in the report: a bucket may be for reading only
            report.not_put_back.append(f"{key}: {error}")
