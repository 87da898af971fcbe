"""Lineage on a real home: from what a search, the graph or the ledger names back to bytes, page and characters."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_assets.bindings import search_places
from etl_assets.documents.lineage.subject import subject_of
from etl_assets.documents.lineage.upstream import lineage
from etl_assets.documents.model import STAGES
from etl_assets.errors import ConfigError
from etl_assets.search.query import search
from etl_assets_tests.small_homes import TEXTS, SmallHome

AGAIN = "The bear group used EMOTET against a bank. APT28 and EMOTET again."


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    home = SmallHome.ran(tmp_path / "home", TEXTS | {"more.txt": AGAIN}, run_id="first-run")
    yield home
    home.platform.close()


def traced(home: SmallHome, text: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = lineage(home.platform, subject_of(home.platform, text, **options)).as_json()  # type: ignore[assignment]
    return found


def below(one: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [one] if one["kind"] == kind else []
    return found + [inner for source in one["from"] for inner in below(source, kind)]


def hits(home: SmallHome, query: str) -> list[dict[str, Any]]:
    answer = search(search_places(home.platform), query, time_limit_s=None)
    return [hit.as_json() for hit in answer.hits]  # type: ignore[misc]


@pytest.fixture(autouse=True)
def patient(home: SmallHome) -> None:
    from dataclasses import replace

    home.platform = replace(home.platform, search_time_limit_s=20.0)


def test_a_hit_leads_to_page_characters_bytes_producers_and_run(home: SmallHome) -> None:
    hit = hits(home, "EMOTET bank mail server")[0]
    text = TEXTS.get(hit["path"], AGAIN)
    for named in (
        json.dumps(hit),
        f"{hit['document_id']}/{hit['chunk_id']}",
        f"{hit['publication']}/{hit['chunk_id']}",
    ):
        one = traced(home, named)
        assert one["kind"] == "hit" and one["verified"] is True
        assert text[one["start"] : one["end"]] == one["quote"] == hit["quote"]
        assert one["publication"] == hit["publication"] and one["partition"] == home.key
        stages = {made["stage"]: made for made in below(one, "output")}
        assert list(stages) == ["chunks", "pages", "embeddings"]
        assert {made["run_id"] for made in stages.values()} == {"first-run"}
        assert stages["chunks"]["parameters"]["mode"] == "structure" and stages["chunks"]["segment"]
        original = below(one, "original")[0]
        assert original["sha256"] == hashlib.sha256(text.encode()).hexdigest() and original["verified"]
        assert below(one, "object")[0]["key"] == f"acme/reports/{hit['path']}"


def test_a_chunk_alone_is_found_and_one_that_two_documents_have_is_ambiguous(home: SmallHome) -> None:
    hit = next(one for one in hits(home, "roses sun water") if one["path"] == "garden.txt")
    assert traced(home, hit["chunk_id"])["document_id"] == home.document_id("garden.txt")
    home.write("twin.txt", TEXTS["garden.txt"])
    home.run()
    with pytest.raises(ConfigError, match=f"chunk [0-9a-f]{{32}}/{hit['chunk_id']}, chunk"):
        subject_of(home.platform, hit["chunk_id"])
    assert traced(home, f"{home.document_id('twin.txt')}/{hit['chunk_id']}")["path"] == "twin.txt"


def test_an_entity_leads_to_every_mention(home: SmallHome) -> None:
    one = traced(home, "emotet")
    assert one["kind"] == "entity" and one["documents"] == 2 and one["mentions"] == 3
    texts = TEXTS | {"more.txt": AGAIN}
    for document in one["from"]:
        for place in document["mentions"]:
            assert texts[document["path"]][place["start"] : place["end"]] == "EMOTET" and place["verified"]
    assert traced(home, one["entity_id"])["name"] == one["name"]


def test_a_document_and_a_partition_are_told_by_id_beginning_and_path(home: SmallHome) -> None:
    document = home.document_id("bear.txt")
    for name in (document, document[:8], "acme/reports/bear.txt"):
        one = traced(home, name)
        assert (one["kind"], one["name"], one["is_published"]) == ("document", document, True)
        assert {made["stage"] for made in below(one, "output")} == {stage.name for stage in STAGES}
    one = traced(home, home.key)
    assert one["documents"] == 4 and {made["stage"] for made in one["stages"]} >= {"pages", "mentions"}


def test_a_file_name_means_the_one_document_that_has_it(home: SmallHome) -> None:
    home.write("2025/report.txt", "A report of one year.")
    home.write("2026/report.txt", "A report of another year.")
    home.write("2026/Garden.TXT", "Not the garden.")
    home.run()
    assert traced(home, "garden.txt")["document_id"] == home.document_id("garden.txt")
    assert traced(home, "2026/report.txt")["path"] == "2026/report.txt"
    with pytest.raises(ConfigError, match=r"acme/reports/202[56]/report.txt\).*acme/reports/202[56]/report.txt\)"):
        subject_of(home.platform, "report.txt")
    with pytest.raises(ConfigError, match="nothing is known"):
        subject_of(home.platform, "eport.txt")


def test_what_is_not_known_is_said(home: SmallHome) -> None:
    for text in ("nobody", "0" * 32, "0" * 32 + "-0", "acme/reports/none.txt", "{}"):
        with pytest.raises(ConfigError, match="known|not one of"):
            subject_of(home.platform, text)


def test_an_altered_original_is_a_problem_and_not_an_answer(home: SmallHome) -> None:
    document = home.document_id("bear.txt")
    (path,) = (home.settings.home.originals / "acme" / document).iterdir()
    os.chmod(path, 0o600)
    path.write_text("something else")
    found = lineage(home.platform, subject_of(home.platform, document))
    assert found.problems and "other bytes" in found.problems[0]
