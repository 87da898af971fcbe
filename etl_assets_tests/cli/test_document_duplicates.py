"""Documents and passages that repeat one another, on a real synced home."""

import random
from pathlib import Path

import pytest

from etl_assets.search import near_duplicates
from etl_assets_tests.cli.conftest import Command, put
from etl_assets_tests.cli.steps_alone import StepsAlone

RNG = random.Random(6)
VOCABULARY = ["".join(RNG.choices("abcdefghijklmnop", k=RNG.randint(3, 9))) for _ in range(900)]
FOOTER = "This report is confidential and may be shared with members of the exchange only, never with the public."


def story(seed: int, words: int = 400) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choices(VOCABULARY, k=words))


def edited(text: str, every: int) -> str:
    return " ".join("changed" if at % every == 0 else word for at, word in enumerate(text.split()))


LONG, HAN = story(1), "攻擊者利用漏洞入侵郵件伺服器並竊取資料，隨後在網路中橫向移動。" * 3
TEXTS = {
    "acme/twins/original.txt": LONG,
    "acme/twins/edited.txt": edited(LONG, 60),
    "acme/twins/half.txt": LONG[: len(LONG) // 2] + story(2, 200),
    "acme/twins/copy.txt": LONG,
    "acme/twins/one.txt": f"{story(3)}\n\n{FOOTER}",
    "acme/twins/two.txt": f"{story(4)}\n\n{FOOTER}",
    "acme/twins/han.txt": HAN,
    "acme/twins/han2.txt": HAN + "以上。",
    "acme/twins/empty.txt": "",
    "acme/twins/short.txt": "Nothing to report.",
    "acme/twins/short2.txt": "Nothing to tell.",
    "omega/twins/original.txt": LONG,
}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from etl_assets.cli import run

    home = tmp_path_factory.mktemp("twins") / "home"
    put(home, TEXTS)
    (home / "collections.yaml").write_text("defaults:\n  embedder: {kind: static}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ETL_HOME", str(home))
        patch.setenv("ETL_PARSER_PROCESSES", "1")
        patch.setenv("ETL_SEARCH_TIME_LIMIT_S", "0.5")
        patch.setattr("etl_assets.launching._Runner", StepsAlone)
        assert run(["sync"]) == 0
    return home


def paths(record: dict[str, object]) -> list[str]:
    return [one["path"] for one in record["members"]]  # type: ignore[attr-defined, no-any-return]


def test_documents_that_repeat_one_another_are_grouped_by_tenant_and_a_common_footer_is_no_repetition(
    twins: Path, etl: Command
) -> None:
    groups = etl("document", "duplicates", "--json", home=twins).records
    assert [paths(one) for one in groups] == [["copy.txt", "edited.txt", "original.txt"], ["han.txt", "han2.txt"]]
    similar = {one["path"]: one["similarity"] for one in groups[0]["members"]}
    assert similar["copy.txt"] == similar["original.txt"] == 1.0 and 0.8 <= similar["edited.txt"] < 1.0


def test_a_lower_threshold_finds_more_and_a_higher_one_less(twins: Path, etl: Command) -> None:
    (strict,) = etl("document", "duplicates", "acme/twins", "--threshold", "1", "--json", home=twins).records
    assert paths(strict) == ["copy.txt", "original.txt"]
    assert "half.txt" not in etl("document", "duplicates", "acme", "--threshold", "0.5", home=twins).out
    assert etl("document", "duplicates", "acme", "--threshold", "0.2", home=twins).code == 2
    assert "nothing repeats" in etl("document", "duplicates", "omega/twins", home=twins).out
    assert etl("document", "duplicates", "acme/nowhere", home=twins).code == 2


def test_passages_that_different_documents_repeat_are_cited(twins: Path, etl: Command) -> None:
    groups = etl("document", "duplicates", "acme/twins", "--passages", "--json", home=twins).records
    assert groups and all(one["kind"] == "passage" for one in groups)
    for group in groups:
        assert len({one["document_id"] for one in group["members"]}) > 1
        for one in group["members"]:
            assert (
                TEXTS[f"acme/twins/{one['path']}"][one["passage"]["start"] : one["passage"]["end"]]
                == (one["passage"]["quote"])
            )
    told = etl("document", "duplicates", "acme/twins", "--passages", home=twins).out
    assert "passages that repeat one another" in told and "“" in told


def test_what_is_unchanged_is_not_looked_at_again(twins: Path, etl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    etl("document", "duplicates", home=twins)
    signed: list[int] = []
    real = near_duplicates._signed
    monkeypatch.setattr(near_duplicates, "_signed", lambda output, rows: signed.append(output) or real(output, rows))
    assert etl("document", "duplicates", home=twins).code == 0 and signed == []


def test_a_document_names_what_it_repeats(twins: Path, etl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = etl("document", "show", "acme/twins/edited.txt", "--json", home=twins).records
    assert [one["path"] for one in record["near_duplicates"]] == ["copy.txt", "original.txt"]
    assert "near-duplicates" in etl("document", "show", "acme/twins/copy.txt", home=twins).out
    (alone,) = etl("document", "show", "omega/twins/original.txt", "--json", home=twins).records
    assert alone["near_duplicates"] == []
    for file in (twins / "cache" / "signatures").iterdir():
        file.unlink()
    monkeypatch.setattr("etl_assets.cli.document_show._COMPARED_AT_ONCE", 3)
    (unknown,) = etl("document", "show", "acme/twins/copy.txt", "--json", home=twins).records
    assert unknown["near_duplicates"] is None


def test_a_search_shows_one_of_the_hits_that_repeat_one_another_and_keeps_all(twins: Path, etl: Command) -> None:
    question = " ".join(LONG.split()[:12])
    (answer,) = etl("search", question, "--tenant", "acme", "--limit", "20", "--json", home=twins).records
    named = [one["near_duplicate_of"] for one in answer["hits"]]
    by_place = {f"{one['document_id']}/{one['chunk_id']}": one for one in answer["hits"]}
    assert len(by_place) == len(answer["hits"]) and any(named)
    for one in answer["hits"]:
        if one["near_duplicate_of"]:
            first = by_place[one["near_duplicate_of"]]
            assert first["near_duplicate_of"] is None and first["document_id"] != one["document_id"]
    told = etl("search", question, "--tenant", "acme", "--limit", "20", home=twins).out
    assert "near-duplicate" in told and f"{len(answer['hits'])} hits" in told
