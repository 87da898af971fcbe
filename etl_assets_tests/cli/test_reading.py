"""Searching, measuring, checking, and taking data out."""

import csv
import io
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from etl_assets_tests.cli.conftest import TEXTS, Command
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.standin import Fault

HIT = ["document_id", "tenant", "collection", "path", "version", "chunk_id", "page", "start", "end", "quote", "score"]


def test_a_search_answers_with_citations_that_hold(etl: Command, made_home: Path) -> None:
    (answer,) = etl("search", "EMOTET bank", "--json", home=made_home).records
    assert list(answer) == ["query", "hits", "entities", "facets", "timings_ms", "sources", "degraded"]
    assert answer["sources"] == ["graph", "keyword", "vector"] and answer["degraded"] == []
    first = answer["hits"][0]
    assert list(first)[: len(HIT)] == HIT
    assert (first["tenant"], first["path"], first["page"]) == ("acme", "apt/bear.txt", 1)
    assert TEXTS["acme/reports/apt/bear.txt"][first["start"] : first["end"]] == first["quote"]
    assert {"APT28", "Emotet"} & {one["name"] for one in answer["entities"]}


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        (("--tenant", "zeta"), {"one.txt"}),
        (("--collection", "reports", "--type", "markdown"), {"apt/panda.md"}),
        (("--entity", "CVE-2021-44228"), {"one.txt", "notes/garden.txt"}),
        (("--since", "2020-01-01"), set()),
        (("--until", "2020-01-01"), set()),
    ],
)
def test_a_search_can_be_narrowed(options: tuple[str, ...], paths: set[str], etl: Command, made_home: Path) -> None:
    (answer,) = etl("search", "the mail of a group", "--json", *options, home=made_home).records
    assert {hit["path"] for hit in answer["hits"]} == paths


def test_people_read_place_page_and_quote(etl: Command, made_home: Path) -> None:
    out = etl("search", "roses want sun", "--limit", "1", home=made_home).out
    assert "acme/reports/notes/garden.txt, page 1, characters 0 to" in out
    assert "“Roses want sun and water. CVE-2021-44228 is no rose.”" in out
    assert "1 hits in" in out
    nothing = etl("search", "x", "--tenant", "nobody", home=made_home)
    assert "nothing found" in nothing.out and "without ledger" in nothing.err


@pytest.mark.parametrize("arguments", [("   ",), ("x", "--limit", "0"), ("x", "--since", "yesterday")])
def test_a_search_that_makes_no_sense_exits_2(arguments: tuple[str, ...], etl: Command, made_home: Path) -> None:
    assert etl("search", *arguments, home=made_home).code == 2


@pytest.fixture
def judged(tmp_path: Path) -> tuple[str, str]:
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    texts = {"q1": "the bear used EMOTET against a bank", "q2": "roses want sun", "q3": "nobody judged this"}
    queries.write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in texts.items()))
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\tapt/bear\t1\nq2\tnotes/garden\t1\nq2\tgone\t1\n")
    return str(queries), str(qrels)


def test_search_is_measured_for_each_source(
    judged: tuple[str, str], etl: Command, made_home: Path, tmp_path: Path
) -> None:
    names = ("--tenant", "acme", "--collection", "reports")
    run_file = tmp_path / "out.run"
    outcome = etl("evaluate", *judged, *names, "--run", str(run_file), "--json", home=made_home)
    (record,) = outcome.records
    assert set(record["metrics"]) == {"hybrid", "keyword", "vector"}
    assert set(record["metrics"]["hybrid"]) == {"nDCG@10", "recall@10", "recall@100", "MRR"}
    assert record["metrics"]["keyword"]["MRR"] == 1.0
    assert record["reranker"] is None and record["reranking_gain"] == {}
    assert record["unjudged_queries"] == ["q3"] and record["missing_documents"] == ["gone"]
    first = run_file.read_text().splitlines()[0].split()
    assert (first[0], first[1], first[2], first[3], first[5]) == ("q1", "Q0", "apt/bear", "1", "etl-assets-hybrid")
    told = etl("evaluate", *judged, *names, home=made_home)
    assert "nDCG@10" in told.out and "2 queries, 3 judgements" in told.out
    assert "count as never found: gone" in told.err


def test_an_evaluation_tells_the_order_before_a_reranker_from_the_one_after_it(
    judged: tuple[str, str], etl: Command, made_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, run_file = ("--tenant", "acme", "--collection", "reports"), tmp_path / "out.run"
    without = etl("evaluate", *judged, *names, "--run", str(run_file), "--source", "reranked", home=made_home)
    assert without.code == 2 and "no reranker is set" in without.err
    with JinaStandIn(keys={"jina_key"}) as jina:
        monkeypatch.setenv("JINA_API_KEY", "jina_key")
        monkeypatch.setenv("ETL_JINA_BASE_URL", f"{jina.url}/v1")
        monkeypatch.setenv("ETL_JINA_RERANKER", "jina-reranker-v2-base-multilingual")
        jina.misbehave(Fault("limited", seconds=2))
        outcome = etl(
            "evaluate", *judged, *names, "--run", str(run_file), "--source", "reranked", "--json", home=made_home
        )  # fmt: skip
        (record,) = outcome.records
        assert [one.status for one in jina.requests] == [429, 200, 200], "it waits for its turn"
        assert etl("evaluate", *judged, *names, "--json", home=made_home).records == [record]
        assert len(jina.requests) == 3, "the same figures cost nothing again"
    metrics = record["metrics"]
    assert list(metrics) == ["keyword", "vector", "hybrid", "reranked"]
    assert record["reranker"] == "jina/jina-reranker-v2-base-multilingual"
    assert record["reranking_gain"] == {
        name: metrics["reranked"][name] - metrics["hybrid"][name] for name in metrics["hybrid"]
    }
    assert "etl-assets-reranked" in run_file.read_text()


def test_an_evaluation_that_cannot_be_made_is_told(
    judged: tuple[str, str], etl: Command, made_home: Path, tmp_path: Path
) -> None:
    nobody = etl("evaluate", *judged, "--tenant", "no", "--collection", "body", home=made_home)
    assert nobody.code == 2 and "there is no collection no/body" in nobody.err
    names = ("--tenant", "acme", "--collection", "reports")
    unwritable = etl("evaluate", *judged, *names, "--run", str(tmp_path / "no" / "run"), home=made_home)
    assert unwritable.code == 1 and "cannot be written" in unwritable.err
    assert etl("evaluate", str(tmp_path / "none"), judged[1], *names, home=made_home).code == 2


def test_rows_come_out_as_table_json_csv_and_parquet(etl: Command, made_home: Path, tmp_path: Path) -> None:
    ask = "select path, count(*) n from chunks where tenant = 'acme' group by path order by path"
    paths = ["apt/bear.txt", "apt/panda.md", "line\nbreak.txt", "notes/garden.txt"]
    assert [one["path"] for one in etl("sql", ask, "--format", "json", home=made_home).records] == paths
    rows = list(csv.DictReader(io.StringIO(etl("sql", ask, "--format", "csv", home=made_home).out)))
    assert [row["path"] for row in rows] == paths
    assert "apt/bear.txt" in etl("sql", ask, home=made_home).out
    told = etl("sql", "select chunk_id, vector from embeddings", "--out", str(tmp_path / "v.parquet"), home=made_home)
    frame = pl.read_parquet(tmp_path / "v.parquet")
    assert (
        frame.columns == ["chunk_id", "vector"] and told.out == f"wrote {frame.height} rows to {tmp_path}/v.parquet\n"
    )
    (count,) = etl("sql", "select count(*) n from documents", "--format", "json", home=made_home).records
    assert count == {"n": 6}


@pytest.mark.parametrize(
    "statement",
    ["delete from chunks", "copy chunks to 'x'", "select * from read_text('/etc/passwd')", "select 1; select 2"],
)
def test_sql_only_reads(statement: str, etl: Command, made_home: Path) -> None:
    outcome = etl("sql", statement, home=made_home)
    assert outcome.code == 2 and outcome.err.startswith("etl-assets: sql: ")


def test_every_check_of_a_sound_home_passes(etl: Command, made_home: Path) -> None:
    outcome = etl("check", "--json", home=made_home)
    assert outcome.code == 0
    assert [one["check"] for one in outcome.records if one["partition"] == "acme.reports"] == [
        "citations_of_sampled_searches_verify"
    ]
    errors = [one for one in outcome.records if one["severity"] == "error"]
    assert all(one["passed"] for one in errors) and {one["partition"] for one in errors} == {
        "acme.reports", "acme.reports.00-of-01", "zeta.mail", "zeta.mail.00-of-01",
    }  # fmt: skip
    share = [one for one in outcome.records if one["check"] == "quarantine_share_is_low"]
    assert [one["passed"] for one in share] == [False, True]  # one of five documents is empty: that warns


def test_a_check_that_fails_is_named_and_exits_1(etl: Command, home: Path) -> None:
    shutil.rmtree(home / "indexes" / "keywords")
    outcome = etl("check", "--tenant", "zeta", "--sample", "0", home=home)
    assert outcome.code == 1
    assert "FAILED  zeta.mail.00-of-01  keyword_index_equals_the_ledger" in outcome.out
    assert " checks: 1 failed, 0 warned" in outcome.out


def test_checks_of_nothing_are_told(etl: Command, made_home: Path) -> None:
    assert etl("check", "--tenant", "nobody", home=made_home).code == 2
