"""One question, one answer: over real small stores, and over stores that fail, hang or show too much."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from etl_assets.documents.model import chunk_id
from etl_assets.documents.parameters import Publications
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.evaluation import judged_id
from etl_assets.search.model import Answer, Ranking, SearchPlaces
from etl_assets.search.query import search, search_documents
from etl_assets.stages import housekeeping
from etl_assets_tests.search.small_home import REPORTS, TrivialEmbedder, places, published
from etl_assets_tests.trivial import Chain, Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Reports of one tenant, press of the same and reports of another; nothing changes it."""
    made = published(tmp_path_factory.mktemp("home"))
    made.put("paper.txt", "EMOTET in the news\nThe bank said nothing", collection="press")
    Chain(made, collection="press").run()
    made.put("own.txt", "The bank of another tenant has EMOTET too", tenant="other")
    Chain(made, tenant="other").run()
    yield made
    made.ledger.close()


@pytest.fixture
def open_places(home: Home) -> SearchPlaces:
    return places(home)


class Failing:
    """A store whose named methods do something else; the others are its own."""

    def __init__(self, inner: object, **instead: Callable[..., Any]) -> None:
        self._inner = inner
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return self._instead.get(name) or getattr(self._inner, name)


def refused(*_: object, **__: object) -> Any:
    raise TransientError("connection refused")


def paths(answer: Answer) -> list[str]:
    return [hit.path for hit in answer.hits]


def degraded(answer: Answer) -> dict[str, str]:
    return {one.source: one.reason for one in answer.degraded}


def test_a_hit_quotes_exactly_what_its_page_holds(open_places: SearchPlaces) -> None:
    answer = search(open_places, "It moved to the mail server", tenant="acme", collection="reports")
    best = answer.hits[0]
    assert (best.path, best.quote) == ("apt/bear.txt", "It moved to the mail server")
    assert all(REPORTS[hit.path][hit.start : hit.end] == hit.quote and hit.page == 1 for hit in answer.hits)
    assert best.ranks == {"vector": 1, "keyword": 1}
    assert not answer.degraded


def test_the_json_form_is_the_documented_one(open_places: SearchPlaces) -> None:
    shown = search(open_places, "bank fraud", tenant="acme", document_types=["TEXT"]).as_json()
    assert list(shown) == ["query", "hits", "entities", "facets", "timings_ms", "sources", "degraded"]
    shown = json.loads(json.dumps(shown))
    documented = "document_id tenant collection path version chunk_id page start end quote score".split()
    assert all(set(documented) <= set(hit) for hit in shown["hits"])
    assert shown["sources"] == ["graph", "keyword", "vector"]
    parts = "embed vector keyword verify fuse cite facets graph total".split()
    assert set(parts) <= set(shown["timings_ms"])
    assert shown["timings_ms"]["total"] > 0


def test_hits_fall_from_best_to_worst_and_the_same_question_gets_the_same_answer(open_places: SearchPlaces) -> None:
    first, second = (search(open_places, "bank and group") for _ in range(2))
    assert first.hits == second.hits and first.entities == second.entities and first.facets == second.facets
    scores = [hit.score for hit in first.hits]
    assert scores == sorted(scores, reverse=True)
    assert len(search(open_places, "bank and group", limit=3).hits) == 3


def test_a_tenant_and_a_collection_are_walls(open_places: SearchPlaces) -> None:
    def where(**filters: str) -> set[tuple[str, str]]:
        return {(hit.tenant, hit.collection) for hit in search(open_places, "bank EMOTET", **filters).hits}  # type: ignore[arg-type]

    assert where() == {("acme", "reports"), ("acme", "press"), ("other", "reports")}
    assert where(tenant="other") == {("other", "reports")}
    assert where(collection="reports") == {("acme", "reports"), ("other", "reports")}
    assert where(tenant="acme", collection="press") == {("acme", "press")}
    entities = search(open_places, "own bank", tenant="other").entities
    assert {(one.tenant, one.weight) for one in entities} == {("other", 1)}


def test_nothing_published_is_an_empty_answer_that_says_so(open_places: SearchPlaces, tmp_path: Path) -> None:
    answer = search(open_places, "bank", tenant="nobody")
    assert not answer.hits and answer.sequence == 0
    assert degraded(answer) == {"ledger": "nothing is published in nobody/*"}
    assert not search(places(Home.open(tmp_path)), "bank").hits


def test_dates_and_types_filter_inside_the_index(tmp_path: Path) -> None:
    class Dated(Chain):
        def parse(self, tasks: Any, *_: pl.DataFrame) -> Any:
            made = super().parse(tasks)
            for task in tasks:
                kind, day = task.path.removesuffix(".txt").split("_")
                made.facts[task.document_id] |= {"document_type": kind, "date": day or None}
            return made

    home = Home.open(tmp_path)
    for name in ("pdf_2020-01-31", "pdf_2021-05-05", "html_2021-05-05", "html_"):
        home.put(f"{name}.txt", f"about banks {name}")
    Dated(home).run()
    asked = places(home)

    def found(**filters: Any) -> set[str]:
        return {path.removesuffix(".txt") for path in paths(search(asked, "banks", **filters))}

    assert found(since=date(2021, 5, 5)) == {"pdf_2021-05-05", "html_2021-05-05"}
    assert found(until=date(2020, 1, 31)) == {"pdf_2020-01-31"}
    assert found(document_types=["PDF"], since=date(2021, 1, 1)) == {"pdf_2021-05-05"}
    assert found(document_types=["pdf", "html"]) == {"pdf_2020-01-31", "pdf_2021-05-05", "html_2021-05-05", "html_"}
    assert found(document_types=["eml"]) == set()
    facets = search(asked, "banks").facets
    assert [(one.value, one.count) for one in facets.year] == [("2021", 2), ("2020", 1)]
    assert [(one.value, one.count) for one in facets.document_type] == [("html", 2), ("pdf", 2)]


def test_an_entity_filter_leaves_only_documents_that_mention_all_of_them(open_places: SearchPlaces) -> None:
    def found(*names: str) -> set[str]:
        return set(paths(search(open_places, "group rose bank", tenant="acme", entities=names)))

    assert found("emotet") == {"apt/bear.txt", "apt/panda.txt", "paper.txt"}
    assert found("word:TRICKBOT") == {"apt/panda.txt", "notes/garden.txt"}
    assert found("Emotet", "TrickBot") == {"apt/panda.txt"}


def test_an_unknown_entity_finds_nothing_and_says_so(open_places: SearchPlaces) -> None:
    answer = search(open_places, "bank", entities=["emotet", "nobody"])
    assert not answer.hits and not answer.facets.collection
    assert degraded(answer) == {"entities": "no document that may be searched mentions 'nobody'"}


def test_without_the_graph_an_entity_filter_is_an_error_and_never_ignored(open_places: SearchPlaces) -> None:
    broken = replace(open_places, graph=Failing(open_places.graph, find=refused))
    with pytest.raises(TransientError, match="filtering by emotet needs the graph.*connection refused"):
        search(broken, "bank", entities=["emotet"])


@pytest.mark.parametrize("lost", ["vector", "keyword"])
def test_a_source_that_fails_is_named_and_the_other_answers(open_places: SearchPlaces, lost: str) -> None:
    broken = replace(open_places, **{lost: Failing(getattr(open_places, lost), query=refused)})
    answer = search(broken, "bank fraud", tenant="acme")
    assert answer.hits and set(answer.sources) == {"graph", "vector", "keyword"} - {lost}
    assert degraded(answer) == {lost: "connection refused (acme/press, acme/reports)"}


def test_a_failing_graph_costs_the_entities_only(open_places: SearchPlaces) -> None:
    answer = search(replace(open_places, graph=Failing(open_places.graph, entities_of=refused)), "bank")
    assert answer.hits and not answer.entities and answer.facets.collection
    assert [one.source for one in answer.degraded] == ["graph", "graph"]
    assert answer.sources == ("keyword", "vector")


def test_no_answer_at_all_is_an_error_of_the_right_kind(open_places: SearchPlaces) -> None:
    broken = replace(open_places, vector=Failing(open_places.vector, query=refused))

    def gone(*_: object, **__: object) -> Any:
        raise PermanentError("index is damaged")

    with pytest.raises(TransientError, match="no source answered.*keyword: index is damaged"):
        search(replace(broken, keyword=Failing(broken.keyword, query=gone)), "bank")
    both = replace(broken, keyword=Failing(broken.keyword, query=gone), vector=Failing(broken.vector, query=gone))
    with pytest.raises(PermanentError, match="vector: index is damaged"):
        search(both, "bank")


def test_a_defect_in_a_store_is_not_taken_for_an_outage(open_places: SearchPlaces) -> None:
    def buggy(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        search(replace(open_places, vector=Failing(open_places.vector, query=buggy)), "bank")


def test_a_source_that_hangs_is_left_behind(open_places: SearchPlaces) -> None:
    search(open_places, "warm")
    free = threading.Event()

    def hangs(*_: object, **__: object) -> Any:
        free.wait(60)
        return []

    late = replace(open_places, keyword=Failing(open_places.keyword, query=hangs), time_limit_s=1.0)
    try:
        answer = search(late, "bank fraud", time_limit_s=1.0)
    finally:
        free.set()
    assert answer.hits and "no answer within" in degraded(answer)["keyword"]


@pytest.mark.parametrize("digest", ["another", None])
def test_another_embedding_model_is_never_mixed_in(open_places: SearchPlaces, digest: str | None) -> None:
    embedder = None if digest is None else TrivialEmbedder(digest)
    answer = search(replace(open_places, embedder_for=lambda _: embedder), "bank fraud", tenant="acme")
    assert answer.hits and all(set(hit.ranks) == {"keyword"} for hit in answer.hits)
    assert "holds vectors of trivial, and" in degraded(answer)["vector"]
    assert answer.sources == ("graph", "keyword")


def test_an_embedder_that_gives_nonsense_is_left_out(open_places: SearchPlaces) -> None:
    class Broken(TrivialEmbedder):
        def embed_query(self, text: str) -> Any:
            return np.full(8, np.nan, dtype=np.float32)

    answer = search(replace(open_places, embedder_for=lambda _: Broken()), "bank fraud")
    assert "gave no vector of 8 finite components" in degraded(answer)["vector"]


def test_two_models_are_ranked_apart(home: Home, tmp_path: Path) -> None:
    two = published(tmp_path / "two", {"a.txt": "one bank\nmore"})
    two.put("b.txt", "second bank\nless", collection="second")
    Chain(two, collection="second", model="other").run()
    models = {"reports": TrivialEmbedder(), "second": TrivialEmbedder("other")}
    asked = replace(places(two), embedder_for=lambda view: models[view.collection])
    answer = search(asked, "second bank")
    ranks = {hit.quote: hit.ranks for hit in answer.hits}
    assert ranks["second bank"] == {"keyword": 1, "vector other other": 1}
    assert set(ranks["one bank"]) == {"keyword", "vector trivial trivial"}
    assert answer.sources == ("graph", "keyword", "vector")


def test_a_collection_without_vectors_is_not_degraded(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    home.put("a.txt", "a bank")
    chain = Chain(home, publications=Publications(vector=False))
    chain.run()
    from sqlalchemy import update

    from etl_assets.ledger import schema

    with home.ledger.writing() as connection:  # as a run enters it when vectors are switched off
        values = {"embedding_model": "none", "embedding_digest": "", "dimension": 0}
        connection.execute(update(schema.generations).values(values))
    answer = search(places(home), "bank")
    assert paths(answer) == ["a.txt"] and not answer.degraded and answer.sources == ("graph", "keyword")


class Backwards:
    """A reranker that prefers short texts."""

    name = "backwards"

    def scores(self, query: str, texts: Any) -> list[float]:
        return [-float(len(text)) for text in texts]


def test_a_reranker_has_the_last_word(open_places: SearchPlaces) -> None:
    answer = search(replace(open_places, reranker=Backwards()), "bank", limit=5)
    lengths = [len(hit.quote) for hit in answer.hits]
    assert lengths == sorted(lengths) and len(lengths) == 5
    assert "backwards" in answer.sources and "rerank" in answer.timings_ms


def test_an_exhausted_reranker_leaves_the_fused_order(open_places: SearchPlaces) -> None:
    plain = search(open_places, "bank", limit=5)
    answer = search(replace(open_places, reranker=Failing(Backwards(), scores=refused)), "bank", limit=5)
    assert answer.hits == plain.hits
    assert degraded(answer)["reranker"].startswith("backwards: connection refused")


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": 5000}, {"hops": -1}, {"neighbours": -1}, {"entities": [" "]}]
    + [{"since": date(2021, 1, 1), "until": date(2020, 1, 1)}],
)
def test_a_bound_or_filter_that_cannot_work_is_refused(open_places: SearchPlaces, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="search: "):
        search(open_places, "bank", **wrong)


@pytest.mark.parametrize("query", ["", "  \n\t"])
def test_an_empty_query_is_refused(open_places: SearchPlaces, query: str) -> None:
    with pytest.raises(ConfigError, match="query is empty"):
        search(open_places, query)


@pytest.mark.parametrize("query", ["\udcff bank", "'\" OR 1=1; --", "(((*:~^", "银行 🏦 bank", "a" * 30_000])
def test_any_text_is_a_query(open_places: SearchPlaces, query: str) -> None:
    assert not search(open_places, query).degraded


def test_hops_and_neighbours_bound_the_related_entities(open_places: SearchPlaces) -> None:
    def related(**bounds: int) -> list[tuple[str, int]]:
        answer = search(open_places, "moved to the mail server", tenant="acme", limit=1, **bounds)  # type: ignore[arg-type]
        return [(one.name, one.hops) for one in answer.entities]

    assert related() == [("EMOTET", 1), ("TRICKBOT", 2)]
    assert related(hops=1) == [("EMOTET", 1)]
    assert related(neighbours=1) == [("EMOTET", 1)]
    assert related(hops=0) == related(neighbours=0) == []


def test_a_chunk_the_lake_does_not_confirm_is_dropped_named_and_replaced(tmp_path: Path) -> None:
    home = published(tmp_path)
    asked = places(home)
    good = search(asked, "bank fraud police", limit=2)
    lost = chunk_id(good.hits[0].quote, 0)

    def altered(_lake: object, file: Any, columns: Any) -> pl.DataFrame:
        frame = places(home).segments.frame(home.lake, file, columns)
        return frame.with_columns(
            pl.when(pl.col("chunk_id") == lost).then(pl.lit("forged")).otherwise("text").alias("text")
        ).select(columns)

    answer = search(replace(asked, segments=Failing(asked.segments, frame=altered)), "bank fraud police", limit=2)  # type: ignore[arg-type]
    assert len(answer.hits) == 2 and lost not in {hit.chunk_id for hit in answer.hits}
    assert "is not the one that was published" in degraded(answer)["lake"]

    def emptied(_lake: object, file: Any, columns: Any) -> pl.DataFrame:
        return places(home).segments.frame(home.lake, file, columns).clear()

    answer = search(replace(asked, segments=Failing(asked.segments, frame=emptied)), "bank fraud police", limit=2)  # type: ignore[arg-type]
    assert not answer.hits and "the lake has no such chunk" in degraded(answer)["lake"]


def test_a_segment_that_is_gone_costs_its_hits_and_is_named(tmp_path: Path) -> None:
    home = published(tmp_path)
    for file in (tmp_path / "lake" / "chunks").rglob("*.parquet"):
        file.unlink()
    answer = search(places(home), "bank")
    assert not answer.hits and "is gone" in degraded(answer)["lake"]


def test_a_segment_replaced_by_compaction_in_between_is_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SMALL_SEGMENTS", 1)
    home = published(tmp_path)
    asked = places(home)
    moved: list[bool] = []

    def compacts_first(lake: Any, file: Any, columns: Any) -> pl.DataFrame:
        if not moved:
            moved.append(True)
            home.put("more.txt", "something else")
            Chain(home).run()
            assert not home.lake.blobs.exists(file.key)
        return asked.segments.frame(lake, file, columns)

    answer = search(replace(asked, segments=Failing(asked.segments, frame=compacts_first)), "bank")  # type: ignore[arg-type]
    assert answer.hits and not answer.degraded


def test_the_lake_is_not_read_after_the_time_limit(tmp_path: Path) -> None:
    home = published(tmp_path)
    asked = places(home)
    search(asked, "warm")
    free = threading.Event()

    def hangs(*_: object) -> Any:
        free.wait(60)
        raise AssertionError("too late to be read")

    stuck = replace(asked, segments=Failing(asked.segments, frame=hangs), time_limit_s=1.0)  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="no answer within"):
        search(stuck, "bank")


def test_an_index_that_shows_what_is_superseded_is_overruled(tmp_path: Path) -> None:
    home = published(tmp_path)
    chain = Chain(home, time_limit_s=1000.0)  # nothing is collected: every old row stays in the stores
    for n in range(3):
        home.put("notes/bank.txt", f"A bank reported fraud to the police, revision {n}")
        chain.run()
    blind = Visibility(10**9, 10**9)

    def shows_all(name: str) -> Callable[..., Any]:
        def query(*args: Any, visible: Visibility, **options: Any) -> Any:
            return getattr(getattr(home.stores, name), "query")(*args, visible=blind, **options)  # noqa: B009

        return query

    asked = replace(
        places(home),
        vector=Failing(home.stores.vector, query=shows_all("vector")),
        keyword=Failing(home.stores.keyword, query=shows_all("keyword")),
    )
    answer = search(asked, "A bank reported fraud to the police")
    shown = [hit.quote for hit in answer.hits if hit.path == "notes/bank.txt"]
    assert shown == ["A bank reported fraud to the police, revision 2"]


def test_searches_beside_a_writer_see_one_version_of_each_document_and_never_none(tmp_path: Path) -> None:
    def text(revision: int) -> str:
        return "\n".join(f"steady bank line {line} revision{revision}" for line in range(3))

    home = published(tmp_path, {"a.txt": text(0), "b.txt": text(0)})
    asked = places(home)
    search(asked, "warm")
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for revision in range(1, 5):
                home.put("a.txt", text(revision))
                home.put("b.txt", text(revision))
                # What was superseded is collected while searches run that still may see it, but not before they end.
                Chain(home, run_id=f"run-{revision}", time_limit_s=0.4).run()
        except BaseException as error:  # noqa: BLE001  # raised below, in the test's own thread
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: set[str] = set()
    count = 0
    while not done.is_set() or count < 5:
        # The collector's limit is the searches' own, so that neither waits for the other.
        try:
            answer = search(replace(asked, time_limit_s=0.4), "steady bank line", limit=20)
        except TransientError:
            continue  # a busy machine: no answer in time, which is said
        count += 1
        if not {"vector", "keyword", "lake"} & set(degraded(answer)):
            assert {hit.path for hit in answer.hits} == {"a.txt", "b.txt"}
        for path in {hit.path for hit in answer.hits}:
            mine = [hit for hit in answer.hits if hit.path == path]
            assert len({hit.version for hit in mine}) == len({hit.publication for hit in mine}) == 1
            assert len({hit.quote.rsplit(" ", 1)[1] for hit in mine}) == 1
            assert len({hit.chunk_id for hit in mine}) == len(mine)
            seen |= {hit.version for hit in mine}
    writer.join()
    assert not failures
    assert len(seen) > 1
    final = search(asked, "steady bank line")
    assert {hit.quote.rsplit(" ", 1)[1] for hit in final.hits} == {"revision4"}


def test_a_removed_document_is_gone_from_the_next_answer(tmp_path: Path) -> None:
    home = published(tmp_path)
    home.remove("notes/bank.txt")
    Chain(home).run()
    answer = search(places(home), "A bank reported fraud to the police")
    assert "notes/bank.txt" not in paths(answer) and not answer.degraded


def test_a_generation_that_changes_is_answered_by_the_new_model(tmp_path: Path) -> None:
    home = published(tmp_path)
    Chain(home, model="newer").run()
    answer = search(places(home, model="newer"), "Then it left")
    assert answer.hits[0].ranks == {"keyword": 1, "vector": 1} and not answer.degraded


def test_documents_are_ranked_by_source_under_their_judged_names(open_places: SearchPlaces) -> None:
    ranked = search_documents(open_places, "fraud to the police", tenant="acme", collection="reports")
    assert list(ranked) == ["keyword", "vector", "hybrid"]
    assert ranked["keyword"][0][0] == "notes/bank"
    assert {document for document, _ in ranked["vector"]} == {"apt/bear", "apt/panda", "notes/bank", "notes/garden"}
    assert ranked["hybrid"][0][0] == "notes/bank"
    for documents in ranked.values():
        scores = [score for _, score in documents]
        assert scores == sorted(scores, reverse=True) and len({name for name, _ in documents}) == len(documents)


def test_ranking_goes_deep_enough_for_a_hundred_documents(tmp_path: Path) -> None:
    lines = 9
    texts = {f"{n:03}.txt": "\n".join(f"bank account {n} line {line}" for line in range(lines)) for n in range(110)}
    home = published(tmp_path, texts)
    # By words alone all these lines are equally good, so only their vectors say which of them come first.
    asked = replace(places(home), ranking=Ranking(pool=20, weights={"keyword": 0.0}))
    ranked = search_documents(asked, "bank account", collection="reports")
    assert all(len(documents) >= 100 for documents in ranked.values())
    hits = search(asked, "bank account", limit=20).hits
    head = list(dict.fromkeys(hit.path.removesuffix(".txt") for hit in hits))
    assert [document for document, _ in ranked["hybrid"]][: len(head)] == head


def test_figures_are_never_made_without_a_source(open_places: SearchPlaces) -> None:
    broken = replace(open_places, vector=Failing(open_places.vector, query=refused))
    with pytest.raises(TransientError, match="not every source answered: vector: connection refused"):
        search_documents(broken, "bank", tenant="acme")


def test_reranked_documents_stand_as_an_answers_hits_do_and_hybrid_stays_as_it_was(open_places: SearchPlaces) -> None:
    longest_first = Failing(Backwards(), scores=lambda query, texts: [float(len(text)) for text in texts])
    asked = replace(open_places, reranker=longest_first, ranking=Ranking(rerank_pool=4))
    ranked = search_documents(asked, "fraud to the police", tenant="acme", collection="reports")
    plain = search_documents(open_places, "fraud to the police", tenant="acme", collection="reports")
    assert list(ranked) == [*plain, "reranked"]
    assert ranked["hybrid"] == plain["hybrid"] and dict(ranked["reranked"]).keys() == dict(ranked["hybrid"]).keys()
    hits = search(asked, "fraud to the police", tenant="acme", collection="reports").hits
    names = [document for document, _ in ranked["reranked"]]
    assert names == list(dict.fromkeys(judged_id(hit.path) for hit in hits))
    assert names != [document for document, _ in ranked["hybrid"]]
    scores = [score for _, score in ranked["reranked"]]
    assert scores == sorted(scores, reverse=True)


def test_figures_are_never_made_with_half_a_reranking(open_places: SearchPlaces) -> None:
    half = Failing(Backwards(), scores=lambda query, texts: [1.0])
    with pytest.raises(TransientError, match=r"backwards gave 1 scores for \d+ texts"):
        search_documents(replace(open_places, reranker=half), "fraud to the police", tenant="acme")
    lost = Failing(Backwards(), scores=refused)
    with pytest.raises(TransientError, match="connection refused"):
        search_documents(replace(open_places, reranker=lost), "fraud to the police", tenant="acme")


def test_figures_are_never_made_over_rows_that_the_lake_has_lost(tmp_path: Path) -> None:
    home = published(tmp_path)
    asked = replace(places(home), reranker=Backwards())
    for segment in sorted(tmp_path.rglob("lake/chunks/**/*.parquet")):
        segment.unlink()
    with pytest.raises(TransientError, match="not every hit could be read"):
        search_documents(asked, "fraud to the police", tenant="acme")
