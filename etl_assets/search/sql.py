"""Read-only SQL over tables that the caller supplies: one SELECT in an in-memory DuckDB that reaches nothing else.

Three walls, each of which would do alone for what it covers: DuckDB's own parse tree admits one query without
writing parts, and only known tables and harmless functions; the engine itself has no file system, no extension and
no view of Python's variables; and its settings are locked before the statement is bound. Limits of time, memory and
threads hold for the whole of it. Writing results is in ``sql_output``.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from etl_assets.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset

TableSource: TypeAlias = "Callable[[], pyarrow.dataset.Dataset | pa.RecordBatchReader | pa.Table]"
"""Opens one table. Only the tables a statement names are opened. A source that gives a reader is called again for
every scan of it, since a reader can be read once; a dataset gets the columns and filters it needs pushed down."""

_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
_LISTINGS = frozenset({"tables", "__show_tables_expanded"})
_REFUSED_FUNCTIONS = frozenset(
    "current_setting currval getenv json_execute_serialized_sql json_serialize_plan nextval pg_sleep query query_table "
    "setval sleep_ms write_log".split()
)
_NO_ARROW_FORM = frozenset({"bit", "bignum", "variant", "union", "interval", "time with time zone"})

_FAILURES = ("IO Error", "INTERNAL Error", "FATAL Error", "Connection Error", "Resource In Use Error")


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """What one statement may use. ``time_s`` counts from the start until the last row has been taken."""

    time_s: float = 60.0
    memory_bytes: int = 2 << 30
    threads: int = 2


@dataclass(slots=True)
class Selection:
    """An open result. ``columns`` have unique names; ``types`` are DuckDB's names of their types.

    ``schema`` is the Arrow schema of ``batches``, which can be taken once, while the context is open. A type that
    Arrow or its files cannot hold (bit strings, bignums, variants, unions, intervals) comes as text.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    schema: "pa.Schema"
    batches: "Iterator[pa.RecordBatch]" = field(repr=False)

    def table(self) -> "pa.Table":
        """All remaining rows in memory."""
        import pyarrow as pa

        return pa.Table.from_batches(self.batches, schema=self.schema)


@contextmanager
def run_select(sql: str, *, tables: Mapping[str, TableSource], limits: SqlLimits | None = None) -> Iterator[Selection]:
    """Run one SELECT (WITH, set operations, VALUES, FROM-first, DESCRIBE, SUMMARIZE and SHOW TABLES included).

    Args:
        tables: by name, in any letter case.

    Raises:
        ConfigError: it is not exactly one such statement, names an unknown table, column or function, asks for a
            file, a setting or a side effect, is wrong about its data, or outgrows a limit.
        PermanentError: DuckDB itself failed.
    """
    limits = limits or SqlLimits()
    connection = _sealed_connection(limits)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        connection.interrupt()

    timer = threading.Timer(limits.time_s, expire)
    timer.daemon = True
    timer.start()
    try:
        with _explained(limits, expired):
            selection = _selected(connection, sql, tables)
        selection.batches = _explained_batches(selection.batches, limits, expired)
        yield selection
    finally:
        timer.cancel()
        connection.close()


def _sealed_connection(limits: SqlLimits) -> "duckdb.DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "python_enable_replacements": "false",
            "python_scan_all_frames": "false",
            "temp_directory": "",  # never spill into the folder the command happens to run in
            "memory_limit": f"{limits.memory_bytes}B",
            "threads": str(limits.threads),
        },
    )
    connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


def _parsed(connection: "duckdb.DuckDBPyConnection", sql: str) -> Any:
    """The statement as DuckDB's parser sees it, in JSON."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    try:
        tree = json.loads(text)
    except RecursionError as e:
        raise ConfigError("sql: the statement is nested too deeply") from e
    if tree["error"]:
        message = tree["error_message"]
        if tree.get("error_type") == "not implemented":
            message = "only one SELECT is allowed: it reads the tables, and changes nothing"
        raise ConfigError(f"sql: {message}")
    if len(tree["statements"]) != 1:
        raise ConfigError(f"sql: give exactly one SELECT, not {len(tree['statements'])} statements")
    return tree["statements"][0]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _checked(statement: Any, tables: Mapping[str, object]) -> set[str]:
    """Names of the tables to open.

    Raises:
        ConfigError: part of the statement is not allowed.
    """
    by_name = {name.casefold(): name for name in tables}
    nodes = [*_nodes(statement)]
    subqueries = {entry["key"].casefold() for node in nodes for entry in node.get("cte_map", {}).get("map", [])}
    subqueries |= {node["cte_name"].casefold() for node in nodes if "cte_name" in node}
    wanted: set[str] = set()
    for node in nodes:
        kind = node.get("type")
        _refuse_effects(node)
        if kind == "SHOW_REF" and node["show_type"] == "SHOW_SPECIAL":
            if node["table_name"].strip('"') not in _LISTINGS:
                raise ConfigError(f"sql: SHOW {node['table_name']} is not allowed; SHOW TABLES is")
            wanted |= set(tables)
        elif kind == "BASE_TABLE" or (kind == "SHOW_REF" and node["show_type"] == "SHOW"):
            name = node["table_name"].casefold()
            known = by_name.get(name)
            if node["schema_name"] or node["catalog_name"] or (known is None and name not in subqueries):
                shown = ".".join(node["qualified_name"]["path"])
                raise ConfigError(f"sql: there is no table {shown!r}; the tables are {', '.join(sorted(tables))}")
            wanted |= {known} if known is not None else set()
    return wanted


def _refuse_effects(node: Mapping[str, Any]) -> None:
    kind = node.get("type")
    if "cte_map" in node and kind not in _QUERY_NODES:
        raise ConfigError("sql: only SELECT is allowed inside WITH: it reads the tables, and changes nothing")
    if node.get("class") == "PARAMETER":
        raise ConfigError("sql: write values into the statement; parameters such as $1 and ? have none here")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).casefold()
        if name not in _TABLE_FUNCTIONS:
            allowed = ", ".join(sorted(_TABLE_FUNCTIONS))
            raise ConfigError(f"sql: the table function {name} is not allowed; {allowed} are, and the tables by name")
    elif str(node.get("function_name", "")).casefold() in _REFUSED_FUNCTIONS:
        raise ConfigError(f"sql: the function {node['function_name']} is not allowed")


class _Rescanned:
    """A source of a reader, opened anew for every scan: DuckDB asks for the stream each time it needs one."""

    def __init__(self, first: "pa.RecordBatchReader", source: TableSource) -> None:
        self._first: pa.RecordBatchReader | None = first
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = self._first if self._first is not None else self._source()
        self._first = None
        return reader.__arrow_c_stream__(requested_schema)


def _selected(connection: "duckdb.DuckDBPyConnection", sql: str, tables: Mapping[str, TableSource]) -> Selection:
    import pyarrow as pa

    for name in sorted(_checked(_parsed(connection, sql), tables)):
        opened = tables[name]()
        connection.register(
            name, _Rescanned(opened, tables[name]) if isinstance(opened, pa.RecordBatchReader) else opened
        )
    relation = connection.sql(sql)
    if relation is None:  # DuckDB's answer to a statement that gives no rows; the parse tree has ruled it out
        raise ConfigError("sql: the statement gives no rows")
    columns, types = _unique(relation.columns), tuple(str(kind) for kind in relation.types)
    if any(_lacks_arrow_form(kind) for kind in relation.types):
        relation = connection.sql(_as_text_where_needed(sql, columns, relation.types))
    reader = relation.to_arrow_reader(8192)
    schema = pa.schema([of.with_name(name) for of, name in zip(reader.schema, columns, strict=True)])
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return Selection(columns, types, schema, batches)


def _as_text_where_needed(sql: str, columns: tuple[str, ...], types: "list[Any]") -> str:
    """The statement inside another that casts columns without an Arrow form. Names are ours, by position."""
    casts = ", ".join(
        f"CAST(c{n} AS VARCHAR) AS c{n}" if _lacks_arrow_form(kind) else f"c{n}" for n, kind in enumerate(types)
    )
    names = ", ".join(f"c{n}" for n in range(len(columns)))
    return f"SELECT {casts} FROM (\n{_without_semicolons(sql)}\n) AS result({names})"


def _without_semicolons(sql: str) -> str:
    """The one statement of ``sql``, without what stands around it. DuckDB's own tokens tell semicolons from text."""
    import duckdb

    data = sql.encode()  # token positions count bytes
    tokens = duckdb.tokenize(sql)
    inner = [at for at, kind in tokens if kind != duckdb.token_type.comment and data[at : at + 1] != b";"]
    after = [at for at, _ in tokens if at > inner[-1]]
    return data[inner[0] : min(after, default=len(data))].decode()


def _lacks_arrow_form(kind: Any) -> bool:
    if kind.id in _NO_ARROW_FORM:
        return True
    if kind.id in ("list", "array", "struct", "map"):
        return any(_lacks_arrow_form(child) for _, child in kind.children if hasattr(child, "id"))
    return False


def _unique(names: list[str]) -> tuple[str, ...]:
    """Names with ``_1``, ``_2`` ... behind repeated ones, so that no column hides another in a record."""
    taken: set[str] = set()
    unique = []
    for name in names:
        candidate, n = name, 0
        while candidate in taken or (n and candidate in names):
            n += 1
            candidate = f"{name}_{n}"
        taken.add(candidate)
        unique.append(candidate)
    return tuple(unique)


def _explained_batches(
    batches: "Iterator[pa.RecordBatch]", limits: SqlLimits, expired: threading.Event
) -> "Iterator[pa.RecordBatch]":
    with _explained(limits, expired):
        for batch in batches:
            if expired.is_set():
                raise _too_slow(limits)
            yield batch


def _too_slow(limits: SqlLimits) -> ConfigError:
    return ConfigError(
        f"sql: stopped after {limits.time_s:g} s, its time limit; narrow the statement or raise the limit"
    )


@contextmanager
def _explained(limits: SqlLimits, expired: threading.Event) -> Iterator[None]:
    """DuckDB's errors, also those that reach us through an Arrow stream, as ours."""
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as e:
        message = str(e).strip()
        if expired.is_set() or isinstance(e, duckdb.InterruptException):
            raise _too_slow(limits) from e
        if isinstance(e, duckdb.OutOfMemoryException) or "Out of Memory Error" in message:
            size_mb = limits.memory_bytes >> 20
            raise ConfigError(f"sql: needs more than {size_mb} MiB of memory; narrow it or raise the limit") from e
        # Through an Arrow stream every error is an OSError, and only its text tells DuckDB's kinds apart.
        failed = duckdb.OperationalError | duckdb.InternalError | duckdb.FatalException
        if isinstance(e, failed) or getattr(e, "errno", None) or message.startswith(_FAILURES):
            raise PermanentError(f"sql: DuckDB failed: {message}") from e
        raise ConfigError(f"sql: {message}") from e
