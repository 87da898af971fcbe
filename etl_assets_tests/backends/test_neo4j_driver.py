"""Neo4j's driver as it is opened here: what it says, and to whom."""

import logging

import pytest

from etl_assets.backends.neo4j_driver import Neo4jAccess
from etl_assets.backends.neo4j_server import Neo4jServer
from etl_assets.errors import TransientError


def test_a_server_that_is_away_is_one_error_and_no_line_of_the_driver(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("neo4j"), "level", logging.NOTSET)
    server = Neo4jServer(Neo4jAccess("bolt://127.0.0.1:1", "neo4j", "a-password", retry_time_s=0.2))
    with pytest.raises(TransientError, match="127.0.0.1:1"):
        server.read(lambda _: None)
    server.close()
    assert caplog.records == []
