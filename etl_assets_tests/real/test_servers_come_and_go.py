"""An ingest while servers are killed, restarted, frozen, cut off, slowed and refuse at random ends as one in peace.

``benchmarks/servers_come_and_go.py`` is the same at full size.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from etl_assets_tests.real.stormy_ingest import Ingest, Result, hosted, in_peace
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.outages import Storm, outages
from etl_assets_tests.small_homes import TEXTS

SEED = 4
QUESTIONS = ["which group used EMOTET against a bank", "CVE-2021-44228", "who spoke to APT7"]


def _documents(folder: Path, numbers: range, *, says: str) -> Path:
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    for number in numbers:
        (folder / f"note-{number}.txt").write_text(
            f"Note {number}: host 10.0.{number}.7 {says} APT{number + 1}, as CVE-2021-{44200 + number} allows.\n" * 3
        )
    return folder


def test_an_ingest_while_servers_come_and_go_equals_one_in_peace_on_embedded_backends(
    tmp_path: Path, own_server: Callable[[str, Mapping[str, str]], Server], neo4j: Variables, toxiproxy: Variables
) -> None:
    first = _documents(tmp_path / "first", range(50), says="spoke to")
    then = _documents(tmp_path / "then", range(45, 57), says="listened to")
    own = {name: own_server(name, {}) for name in ("postgres", "minio", "redis")}
    proxy = toxiproxy["ETL_TEST_TOXIPROXY_URL"]
    with hosted(tmp_path / "hosted", {"neo4j": neo4j}, own, proxy, embedder="jina") as (env, targets):
        ingest = Ingest(env)
        with Storm(targets, outages(SEED, 6, targets, pause_s=1.5, longest_s=3.0)) as storm:
            ingest.took_in([first, then])
        assert len(storm.begun) >= 4, storm.begun
        assert "nothing changed" in ingest.done("sync")
        after = Result.of(env, QUESTIONS)
    peaceful = in_peace(tmp_path / "embedded", [first, then], QUESTIONS, embedder="jina")
    assert after.differences(peaceful) == []
    assert after.held == [], "what passes must send nothing to quarantine"
