"""What the documents domain works with: the ledger and the opened backends, by role. Opening them is elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.documents.collections import Collections
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.parameters import Classification, EmbedderChoice
from etl_assets.documents.parsing.workers import ParserPool
from etl_assets.documents.publication.publisher import Stores
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.classifier import HostedClassifier
from etl_assets.protocols.comparison import Compare
from etl_assets.protocols.embedder import Embedder
from etl_assets.protocols.erasure import Backups, Certificates, Traces
from etl_assets.protocols.objects import Arrivals, Blobs
from etl_assets.protocols.reranker import Reranker
from etl_assets.stages.lake import Lake


@dataclass(frozen=True, slots=True)
class Platform:
    """One installation, opened. What is a function is opened at its first call and kept, so a no-op opens nothing.

    ``destroy_key`` makes the originals of ``tenant/document id`` unreadable for ever, where they are encrypted;
    ``destroy_lake_key`` the segments of ``tenant/collection``.
    ``classifier`` opens what scores the labels of a collection in place of the packaged one, ``None`` where that does.
    ``places`` says where each store is, by role, without credentials; a role that is left out is never said to move.
    """

    ledger: Ledger
    arrivals: Arrivals
    originals: Blobs
    lake: Lake
    stores: Stores
    collections: Collections
    embedder: Callable[[EmbedderChoice], Embedder]
    parsers: Callable[[], ParserPool]
    catalogue: Callable[[], Catalogue]
    search_time_limit_s: float
    lease_s: float
    classifier: Callable[[Classification], HostedClassifier | None] = lambda choice: None
    patient_reranker: Callable[[], Reranker | None] = lambda: None
    reranker: Callable[[], Reranker | None] = lambda: None
    compare: Compare | None = None
    close_backends: Callable[[], None] = lambda: None
    destroy_key: Callable[[str], bool] = lambda document: False
    destroy_lake_key: Callable[[str], bool] = lambda collection: False
    traces: Sequence[Traces] = ()
    backups: Backups | None = None
    certificates: Callable[[], Certificates] | None = None
    places: Mapping[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Give back every connection. What is used afterwards opens again."""
        self.ledger.close()
        self.close_backends()
