"""Indexes that a server of another system keeps: read page by page, whole or not at all, and never written."""

import sqlite3
from pathlib import Path

import pytest

from etl_assets.backends.foreign_chroma import ChromaFolder, ChromaServer
from etl_assets.backends.foreign_qdrant import QdrantServer
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets_tests.servers.foreign_standins import ChromaStandIn, QdrantStandIn
from etl_assets_tests.servers.standin import Fault

ROWS = [
    {"id": f"{number:04}", "text": f"Text {number}", "metadata": {"source": "a b/c"}, "vector": [1.0, number]}
    for number in range(600)
]
POINTS = [
    {"id": row["id"], "vector": row["vector"], "payload": {"text": row["text"], "metadata": row["metadata"]}}
    for row in ROWS
]


def test_every_row_of_a_chroma_collection_is_read_and_nothing_is_written() -> None:
    with ChromaStandIn(collections={"old": ROWS}) as server:
        server.misbehave(None, Fault("error"), Fault("garbage"))
        found = list(ChromaServer(server.url).rows())
        assert {one.method for one in server.requests} <= {"GET", "POST"}
        assert all(one.path.endswith("/get") for one in server.requests if one.method == "POST")
    assert [one.record for one in found] == [
        {"id": row["id"], "document": row["text"], "metadata": row["metadata"], "embedding": row["vector"]}
        for row in ROWS
    ]


def test_a_chroma_collection_that_changes_while_it_is_read_is_refused() -> None:
    with (
        ChromaStandIn(collections={"old": ROWS}, grows_by=ROWS[:1]) as server,
        pytest.raises(TransientError, match="changed while it was read"),
    ):
        list(ChromaServer(server.url, "old").rows())


def test_every_point_of_a_qdrant_collection_is_read() -> None:
    named = [POINTS[0] | {"vector": {"text-dense": [1.0, 0.0]}}]
    with QdrantStandIn(collections={"old": POINTS, "named": named}) as server:
        found = list(QdrantServer(server.url, "old").rows())
        (one,) = QdrantServer(server.url, "named").rows()
    assert [row.record for row in found] == POINTS
    assert one.record["vector"] == [1.0, 0.0]


def test_a_collection_has_to_be_named_unless_there_is_only_one() -> None:
    for standin, kind in ((ChromaStandIn, ChromaServer), (QdrantStandIn, QdrantServer)):
        with standin(collections={"a": ROWS[:1], "b": ()}) as server:
            with pytest.raises(ConfigError, match=r"there are .*a, b.*--name"):
                assert kind(server.url).name
            assert kind(server.url, "a").name.endswith("/collections/a")
        with standin(collections={"a": ROWS[:1]}) as server:
            assert kind(server.url).name == kind(server.url, "a").name


def test_a_collection_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with ChromaStandIn(collections={"a": ROWS[:1]}) as server, pytest.raises(ConfigError, match="no collection b.* a"):
        list(ChromaServer(server.url, "b").rows())
    with QdrantStandIn(collections={"a": ()}) as server, pytest.raises(ConfigError, match="no collection b"):
        list(QdrantServer(server.url, "b").rows())


def test_a_key_is_sent_and_told_in_no_message() -> None:
    with ChromaStandIn(collections={"a": ROWS[:1]}, token="canary-7") as server:
        assert len(list(ChromaServer(server.url, key="canary-7").rows())) == 1
        with pytest.raises(PermanentError, match="api-key-variable") as refused:
            list(ChromaServer(server.url, key="canary-8").rows())
        assert "canary" not in str(refused.value)
    with QdrantStandIn(collections={"a": POINTS[:1]}, api_key="canary-7") as server:
        assert len(list(QdrantServer(server.url, key="canary-7").rows())) == 1
        with pytest.raises(PermanentError, match="wants a credential"):
            list(QdrantServer(server.url).rows())


def test_an_address_that_is_no_such_server_is_refused() -> None:
    for standin in (ChromaStandIn(), QdrantStandIn()):
        with standin as server, pytest.raises((PermanentError, ConfigError)):
            list((QdrantServer if isinstance(standin, ChromaStandIn) else ChromaServer)(server.url).rows())


def test_a_folder_of_chroma_needs_its_client_and_is_otherwise_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no chroma.sqlite3"):
        ChromaFolder(tmp_path)
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as catalogue:
        catalogue.execute("CREATE TABLE collections (id TEXT, name TEXT)")
        catalogue.execute("INSERT INTO collections VALUES ('1', 'old')")
    catalogue.close()
    folder = ChromaFolder(tmp_path)
    assert folder.name == f"{tmp_path}/old"
    with pytest.raises(ConfigError, match="chroma run --path"):
        list(folder.rows())
