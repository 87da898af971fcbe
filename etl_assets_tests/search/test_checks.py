"""Citations proved from the pages, and entities found in the graph."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_assets.errors import ConfigError, TransientError
from etl_assets.search import checks
from etl_assets.search.checks import verify_citations
from etl_assets.search.graph_questions import GraphQuestions
from etl_assets.search.model import Answer, SearchPlaces
from etl_assets_tests.search.small_home import REPORTS, places, published
from etl_assets_tests.search.test_query import Failing, refused
from etl_assets_tests.trivial import Chain, Home


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The reports, published; nothing changes them."""
    return published(tmp_path_factory.mktemp("still"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return published(tmp_path)


def test_every_citation_of_a_sound_installation_holds(still: Home) -> None:
    report = verify_citations(places(still), sample=10, seed=3)
    assert report.passed and report.searches == report.found_itself == len(REPORTS)
    assert report.hits == report.verified > 0 and not report.superseded
    assert json.loads(json.dumps(report.as_json()))["failures"] == []


def test_the_same_seed_asks_the_same(still: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noting(where: SearchPlaces, query: str, **options: Any) -> Answer:
        asked.append(query)
        return real(where, query, **options)

    real = checks.search
    monkeypatch.setattr(checks, "search", noting)
    for _ in range(2):
        verify_citations(places(still), tenant="acme", collection="reports", sample=2, seed=7)
    assert len(asked) == 4 and asked[:2] == asked[2:]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"quote": "never written"}, "page 1 has other text between"),
        ({"start": 1}, "page 1 has other text between"),
        ({"page": 7}, "it has no page 7"),
        ({"version": "f" * 64}, "the ledger does not show version ffffffffffff"),
        ({"publication": 10**6}, "the ledger does not show version"),
    ],
)
def test_a_citation_that_does_not_hold_is_reported(
    still: Home, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], problem: str
) -> None:
    real = checks.search

    def lying(where: SearchPlaces, query: str, **options: Any) -> Answer:
        answer = real(where, query, **options)
        return replace(answer, hits=(replace(answer.hits[0], **change), *answer.hits[1:]))

    monkeypatch.setattr(checks, "search", lying)
    report = verify_citations(places(still), sample=1)
    assert not report.passed and len(report.failures) == 1
    assert problem in report.failures[0].problem and report.failures[0].document.startswith("acme/reports/")
    assert report.verified == report.hits - 1


def test_a_document_whose_own_words_find_nothing_is_a_failure(still: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checks.search
    monkeypatch.setattr(checks, "search", lambda *args, **options: replace(real(*args, **options), hits=()))
    report = verify_citations(places(still), sample=1)
    assert [one.problem for one in report.failures] == ["its own words found nothing"]


def test_pages_that_are_gone_are_a_failure_and_a_changed_document_is_not(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checks.search

    def changes_after(where: SearchPlaces, query: str, **options: Any) -> Answer:
        answer = real(where, query, **options)
        for path in REPORTS:
            home.put(path, "wholly other words")
        Chain(home).run()
        return answer

    monkeypatch.setattr(checks, "search", changes_after)
    report = verify_citations(places(home), sample=1)
    assert report.passed and report.superseded == report.hits > 0
    monkeypatch.undo()
    for file in (home.folder / "lake" / "pages").rglob("*.parquet"):
        file.unlink()
    report = verify_citations(places(home), sample=1)
    assert {one.problem for one in report.failures} == {"the rows of its pages are gone"}


def test_nothing_published_has_nothing_to_prove(tmp_path: Path) -> None:
    report = verify_citations(places(Home.open(tmp_path)))
    assert report.passed and report.searches == 0


def test_an_entity_is_found_in_each_tenant_that_mentions_it_and_nowhere_once_nothing_does(home: Home) -> None:
    home.put("other.txt", "EMOTET elsewhere", tenant="other")
    Chain(home, tenant="other").run()
    assert {tenant for tenant, _ in GraphQuestions(places(home)).candidates("emotet")} == {"acme", "other"}
    assert [tenant for tenant, _ in GraphQuestions(places(home), tenant="other").candidates("emotet")] == ["other"]
    assert GraphQuestions(places(home)).candidates("nobody") == []
    home.remove("apt/bear.txt")
    home.remove("apt/panda.txt")
    Chain(home).run()
    assert GraphQuestions(places(home), tenant="acme").candidates("EMOTET") == []


def test_questions_to_the_graph_need_it_and_sound_bounds(still: Home) -> None:
    broken = replace(places(still), graph=Failing(still.stores.graph, find=refused))  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="connection refused"):
        GraphQuestions(broken).candidates("emotet")
    questions = GraphQuestions(places(still))
    ((tenant, entity),) = questions.candidates("emotet")
    for wrong in ({"hops": 0}, {"hops": 99}, {"limit": 0}):
        with pytest.raises(ConfigError, match="hops from 1 to"):
            questions.neighbours(tenant, entity, **wrong)
    with pytest.raises(ConfigError):
        questions.candidates(" ")
