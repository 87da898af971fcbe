"""What a stage is: its name, inputs, code version, the columns of its rows, and what a computation hands back.

Nothing about documents here: a domain declares its stages with these records, and the engine moves rows by them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, Union

from etl_assets.errors import DataError

if TYPE_CHECKING:
    import polars as pl

Json: TypeAlias = Union[None, bool, int, float, str, Sequence["Json"], Mapping[str, "Json"]]
Parameters: TypeAlias = Mapping[str, Json]
"""What a stage's result depends on beside its input: plain JSON values."""


@dataclass(frozen=True, slots=True)
class RowMemo:
    """Rows whose value depends on one text alone: computed once per tenant for each ``key``, then reused.

    ``key`` and ``values`` are columns of the stage's rows.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. ``inputs`` are stage names; none means the stage reads the original bytes.

    ``columns`` gives the polars schema of its rows without ``document_id``; it is a function so that declaring a
    stage imports no polars. ``digest_columns`` decide whether the output changed, and so whether anything
    downstream must run again. ``input_columns`` are the ``columns`` of ``inputs``, in their order: what a batch whose
    documents all have zero input rows is given. A batch holds at most ``batch_documents`` documents and about
    ``batch_rows`` input rows.
    """

    name: str
    inputs: tuple[str, ...]
    code_version: str
    columns: Callable[[], "pl.Schema"]
    digest_columns: tuple[str, ...]
    memo: RowMemo | None = None
    batch_documents: int = 64
    batch_rows: int = 1024
    input_columns: tuple[Callable[[], "pl.Schema"], ...] = ()

    def __post_init__(self) -> None:
        if len(self.input_columns) != len(self.inputs):
            raise TypeError(f"stage {self.name}: input_columns must name the columns of each of {self.inputs}")

    def producer(self, parameters: Parameters) -> str:
        """Stage name, code version and a digest of the parameters: who made a row."""
        canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)
        digest = hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
        return f"{self.name}/{self.code_version}/{digest}"


@dataclass(frozen=True, slots=True)
class Task:
    """One document version whose rows are missing. ``version`` is the SHA-256 of its bytes, in hex."""

    document_id: str
    tenant: str
    collection: str
    path: str
    version: str
    size_bytes: int
    content_type: str | None = None


@dataclass(slots=True)
class Computed:
    """What a computation made of a batch of tasks.

    ``rows`` has ``document_id`` and the stage's columns. A document of the batch that is neither in ``rows`` nor in
    ``failures`` has zero rows, which is a valid output. ``facts`` are small JSON records about a document, kept in
    the ledger with its output; ``seconds`` and ``tokens`` are what it cost. ``salts`` are digests of what later
    stages read of a document beside these rows: when one changes, so does the output's digest. ``entered_s`` of all
    seconds were entered in the ledger by the computation itself.
    """

    rows: "pl.DataFrame"
    failures: Mapping[str, DataError] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    salts: Mapping[str, str] = field(default_factory=dict)
    entered_s: float = 0.0


class Compute(Protocol):
    """A stage's function. ``inputs`` holds one frame per input stage, in the order of ``Stage.inputs``.

    Input frames have ``document_id`` and that stage's columns, and every row of every task, and no others. The
    result depends on nothing but the tasks' bytes, the input rows and the stage's parameters.
    """

    def __call__(self, tasks: Sequence[Task], *inputs: "pl.DataFrame") -> Computed: ...
