"""Hosted embedders and the reranker from settings and ``collections.yaml`` to answers, against the stand-ins."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_assets.backends.hosted_embedding import Batching
from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.hosted_settings import JinaPlace, OpenAIPlace
from etl_assets.search.model import Answer, SearchPlaces
from etl_assets.search.query import search
from etl_assets.settings import Settings
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.openai_standin import OpenAIStandIn
from etl_assets_tests.servers.standin import Fault
from etl_assets_tests.small_homes import TEXTS, SmallHome, shared_pool

JINA = "defaults:\n  embedder: {kind: jina, dimension: 32}\n"
LATE = """
defaults:
  embedder: {kind: jina, dimension: 32, late_chunking: true}
  chunking: {mode: fixed, size: 40, overlap: 0}
"""
OPENAI = """
defaults:
  embedder: {kind: openai, model: nomic, dimension: 48, document_prefix: 'passage: ', query_prefix: 'query: '}
"""
RERANKER = "jina-reranker-v2-base-multilingual"


@pytest.fixture
def jina() -> Iterator[JinaStandIn]:
    with JinaStandIn() as server:
        assert isinstance(server, JinaStandIn)
        yield server


def opened(folder: Path, collections: str, texts: Mapping[str, str] = TEXTS, **places: Any) -> SmallHome:
    """A home with these hosted places; its searches wait long, so that a busy machine fails no test."""
    settings = Settings(home_folder=str(folder), search_time_limit_s=20.0, parser_processes=1, **places)
    settings.home.create().collections_file.write_text(collections)
    home = SmallHome(settings, replace(open_platform(settings), parsers=shared_pool, search_time_limit_s=0.05))
    for path, text in texts.items():
        home.write(path, text)
    return home


def place_of(server: JinaStandIn, **more: Any) -> JinaPlace:
    return JinaPlace("test-key", f"{server.url}/v1", **more)


def places(home: SmallHome) -> SearchPlaces:
    return replace(search_places(home.platform), time_limit_s=20.0)


def asked(server: JinaStandIn, path: str = "/v1/embeddings") -> list[Any]:
    return [one.body for one in server.requests if one.path == path and one.status == 200]


def paths(answer: Answer) -> list[str]:
    return [hit.path for hit in answer.hits]


def test_a_collection_is_embedded_and_searched_by_the_model_it_chose(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, JINA, jina=place_of(jina))
    assert home.run()["embeddings"]["rows_computed"] == 3
    assert {(body["task"], body["dimensions"]) for body in asked(jina)} == {("retrieval.passage", 32)}
    answer = search(places(home), "a factory that stopped", tenant="acme")
    assert "vector" in answer.sources and not answer.degraded and "rerank" not in answer.timings_ms
    search(places(home), "a factory that stopped", tenant="acme")
    assert [body["task"] for body in asked(jina)].count("retrieval.query") == 1, "the question is kept"
    assert home.run()["embeddings"]["wanted"] == 0


def test_each_tenant_pays_for_its_own_texts(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, JINA, jina=place_of(jina))
    home.run()
    sent = sum(len(body["input"]) for body in asked(jina))
    home.write("copy.txt", TEXTS["bear.txt"], collection="rival/reports")
    with PartitionRun(home.platform, home.partition("rival/reports").key, run_id="another") as run:
        all_steps(run)
    assert sum(len(body["input"]) for body in asked(jina)) == sent + 1


def test_an_openai_compatible_endpoint_gets_the_prefixes_and_may_need_no_key(tmp_path: Path) -> None:
    with OpenAIStandIn(keys=set(), models={"nomic": 48}) as server:
        home = opened(tmp_path, OPENAI, openai=OpenAIPlace(base_url=f"{server.url}/v1"))
        home.run()
        answer = search(places(home), "roses", tenant="acme")
        assert "vector" in answer.sources
        texts = [text for one in server.requests for text in one.body["input"]]
        assert texts[-1] == "query: roses" and all(text.startswith("passage: ") for text in texts[:-1])


def test_a_vendor_without_a_key_costs_its_own_collection_only(tmp_path: Path) -> None:
    home = opened(
        tmp_path, "collections: {acme/hosted: {embedder: {kind: jina}}, acme/reports: {embedder: {kind: static}}}"
    )
    home.write("a.txt", "some words", collection="acme/hosted")
    home.run()
    with (
        pytest.raises(ConfigError, match="set JINA_API_KEY"),
        PartitionRun(home.platform, home.partition("acme/hosted").key, run_id="r") as run,
    ):
        all_steps(run)
    assert paths(search(places(home), "roses", tenant="acme"))


def test_search_is_reranked_and_says_by_which_model(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, "defaults: {embedder: {kind: static}}", jina=place_of(jina, reranker=RERANKER))
    home.run()
    at = places(home)
    answer = search(at, "bank factory roses", tenant="acme")
    (body,) = asked(jina, "/v1/rerank")
    assert sorted(hit.quote for hit in answer.hits) == sorted(body["documents"]) and body["model"] == RERANKER
    assert f"jina/{RERANKER}" in answer.sources and answer.timings_ms["rerank"] > 0
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    assert search(at, "bank factory roses", tenant="acme").hits == answer.hits
    assert len(asked(jina, "/v1/rerank")) == 1, "the same question over the same texts is asked once"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("limited", seconds=60), "429"), (Fault("error", status=500), "500"), (Fault("garbage"), "not JSON"),
        (Fault("missing"), "scores"), (Fault("error", status=401), "JINA_API_KEY"),
    ],
)  # fmt: skip
def test_without_the_reranker_the_fused_order_serves_and_the_answer_says_so(
    tmp_path: Path, jina: JinaStandIn, fault: Fault, reason: str
) -> None:
    home = opened(tmp_path, "defaults: {embedder: {kind: static}}", jina=place_of(jina, reranker=RERANKER))
    home.run()
    at = places(home)
    jina.misbehave(*[fault] * 20)
    answer = search(at, "bank factory roses", tenant="acme")
    assert paths(answer) == paths(search(replace(at, reranker=None), "bank factory roses", tenant="acme"))
    (lost,) = [one for one in answer.degraded if one.source == "reranker"]
    assert reason in lost.reason and "fused order" in lost.reason and "test-key" not in lost.reason
    assert not any(name.startswith("jina/") for name in answer.sources)


def test_an_exhausted_reranking_budget_is_not_waited_for(tmp_path: Path, jina: JinaStandIn) -> None:
    place = place_of(jina, reranker=RERANKER, requests_per_minute=2)
    home = opened(tmp_path, "defaults: {embedder: {kind: static}}", jina=place)
    home.run()
    at = places(home)
    lost = [search(at, query, tenant="acme").degraded for query in ("bank", "factory", "roses")]
    assert [bool(one) for one in lost] == [False, False, True]
    assert "rate budget" in lost[2][0].reason


def test_what_was_embedded_before_an_interruption_is_not_embedded_again(
    tmp_path: Path, jina: JinaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One request after the other, so that it is known which one is refused.
    monkeypatch.setattr("etl_assets.backends.jina.Batching", lambda *_given: Batching(texts=64, in_flight=1))
    texts = {f"{number}.txt": f"text number {number}" for number in range(130)}
    home = opened(tmp_path, JINA, texts, jina=place_of(jina))
    jina.misbehave(None, *[Fault("error", status=401, body={"detail": "Invalid API key"})] * 50)
    with pytest.raises(PermanentError, match="check JINA_API_KEY"):
        home.run("first")
    assert [one.status for one in jina.requests] == [200, 401], "nothing is tried again"
    jina.misbehave()
    home.run("second")
    assert sum(len(body["input"]) for body in asked(jina)) == 130


def test_a_refusal_for_a_while_is_waited_for(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, JINA, jina=place_of(jina))
    jina.misbehave(Fault("limited", seconds=0.05), Fault("hang-up"), Fault("error", status=503))
    assert home.run()["embeddings"]["quarantined"] == 0
    assert len(home.published()) == 3


def test_late_chunks_are_embedded_document_by_document_and_a_change_costs_its_window(
    tmp_path: Path, jina: JinaStandIn
) -> None:
    words = [f"sentence {number:04} about something. " for number in range(400)]
    home = opened(tmp_path, LATE, {"long.txt": "".join(words), "short.txt": "".join(words[:3])}, jina=place_of(jina))
    first = home.run("first")["embeddings"]["rows_computed"]
    bodies = asked(jina)
    assert all(body["late_chunking"] for body in bodies) and len(bodies) > 3
    sent = [tuple(body["input"]) for body in bodies]
    assert sum(map(len, sent)) == first and len(set(sent)) == len(sent)
    home.write("copy.txt", "".join(words[:3]))
    assert home.run("second")["embeddings"]["rows_computed"] == 0, "the same document is the same windows"
    words[200] = "sentence XXXX about something. "
    home.write("long.txt", "".join(words))
    again = home.run("third")["embeddings"]["rows_computed"]
    assert 0 < again < first / 2
    assert {tuple(body["input"]) for body in asked(jina)[len(bodies) :]}.isdisjoint(sent)
    assert search(places(home), "something", tenant="acme").hits


def test_a_text_that_is_refused_in_its_window_costs_its_document_only(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, LATE, {"good.txt": "fine words", "bad.txt": "poison"}, jina=place_of(jina))
    jina.refuse_text = "poison"
    assert home.run()["embeddings"]["quarantined"] == 1
    assert list(home.published()) == ["good.txt"]


def test_a_limited_account_ends_the_run_with_what_to_do(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, JINA, jina=place_of(jina))
    jina.misbehave(*[Fault("limited", seconds=3600)] * 9)
    with pytest.raises(TransientError, match="HTTP 429.*try later"):
        home.run()
    assert len(jina.requests) == 1
