"""Another chunking or model beside the live one: built, compared, promoted, rolled back, collected."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_assets.bindings import search_places
from etl_assets.documents.collections import Collections
from etl_assets.documents.consistency.verification import run_checks
from etl_assets.documents.generations import work as generation_work
from etl_assets.documents.generations.in_use import known_recipe
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.pending import is_up_to_date
from etl_assets.errors import ConfigError
from etl_assets.ledger import check_marks, generations, quarantine, schema
from etl_assets.ledger.database import insert_rows
from etl_assets.ledger.row_places import current_outputs
from etl_assets.ledger.snapshots import snapshot, visible_documents_named
from etl_assets.protocols.comparison import Judgement
from etl_assets.protocols.indexes import IndexSpace
from etl_assets.search.query import search
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome

PLACE = ("acme", "reports")
MANUAL = "  generations: {promote: manual, missing_share: 0.0}\n"
FIXED = "  chunking: {mode: fixed, size: 40, overlap: 0}\n"
COARSE = "  chunking: {mode: fixed, size: 90, overlap: 10}\n"


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.ran(tmp_path / "home", collections=STATIC + MANUAL)


def decide(home: SmallHome, text: str) -> None:
    """Write collections.yaml, and read it as the next process would."""
    home.settings.home.collections_file.write_text(text)
    home.platform = replace(home.platform, collections=Collections.read(home.settings.home.collections_file))


def states(home: SmallHome) -> dict[int, str]:
    with home.platform.ledger.reading() as connection:
        known = generations.generations(connection, home.partition().cid, retired=True)
    return {number: one.state for number, one in known.items()}


def shown(home: SmallHome, number: int) -> set[str]:
    """Paths that a generation shows."""
    ids = {path: home.document_id(path) for path in present(home)}
    found = visible_documents_named(home.platform.ledger, number, list(ids.values()))
    return {path for path, document in ids.items() if document in found}


def present(home: SmallHome) -> list[str]:
    folder = home.settings.home.objects / "acme/reports"
    return sorted(path.name for path in folder.iterdir())


def spaces(home: SmallHome) -> set[int]:
    stores = home.platform.stores
    return {space.generation for index in (stores.vector, stores.keyword) for space in index.spaces()}


def answer(home: SmallHome, query: str) -> Mapping[str, set[int]]:
    """Lengths of the quotes of each document that is found: they tell by which chunking it was cut."""
    found: dict[str, set[int]] = {}
    hits = search(replace(search_places(home.platform), time_limit_s=30.0), query)
    assert not hits.degraded
    for hit in hits.hits:
        found.setdefault(hit.path, set()).add(len(hit.quote))
    return found


def promote(home: SmallHome, **how: Any) -> Any:
    return generation_work.promote(home.platform, *PLACE, Judgement(), **how)


def test_what_arrives_while_another_index_is_built_reaches_both(home: SmallHome) -> None:
    decide(home, STATIC + MANUAL + FIXED)
    home.run()
    assert states(home) == {1: "live", 2: "building"}
    home.write("new.txt", "A kraken sank the ferry of the northern line.")
    home.remove("garden.txt")
    home.run()
    assert shown(home, 1) == shown(home, 2) == {"bear.txt", "panda.md", "new.txt"}
    assert max(answer(home, "kraken ferry")["new.txt"]) > 40, "the live index answers, by its own chunking"
    live, other = PartitionRun(home.platform, home.key, run_id="asked").in_use.served
    with home.platform.ledger.reading() as connection:
        current = {one.output_id for one in current_outputs(connection, "chunks")}
        made = check_marks.made(connection, home.partition(), known_recipe(home.platform, live), "chunks", after=0)
    assert current == {one.rows["chunks"].output_id for one in made} and other.state == "building"
    results = run_checks(home.platform, home.partition())
    assert [one.details for one in results if not one.passed] == [], "both are what the ledger says"
    assert promote(home).passed
    assert max(answer(home, "kraken ferry")["new.txt"]) <= 40


def test_a_rollback_is_complete_although_documents_came_and_went_since(home: SmallHome) -> None:
    decide(home, STATIC + MANUAL + FIXED)
    home.run()
    assert promote(home).passed and states(home) == {1: "previous", 2: "live"}
    home.write("new.txt", "A kraken sank the ferry of the northern line.")
    home.write("bear.txt", TEXTS["bear.txt"].replace("bank", "broker"))
    home.remove("panda.md")
    home.run()
    assert generation_work.roll_back(home.platform, *PLACE).passed
    assert states(home) == {1: "live", 2: "previous"}
    assert max(answer(home, "kraken ferry")["new.txt"]) > 40
    assert "panda.md" not in answer(home, "panda group TRICKBOT")
    assert shown(home, 1) == shown(home, 2) == set(present(home))
    home.run()
    assert states(home) == {1: "live", 2: "previous"}, "the settings are those of the one that was rolled back"
    assert generation_work.roll_back(home.platform, *PLACE).passed and states(home)[2] == "live"


def test_an_index_that_lacks_documents_is_refused_and_what_is_held_counts_against_a_threshold(home: SmallHome) -> None:
    decide(home, STATIC + MANUAL + FIXED)
    with PartitionRun(home.platform, home.key, run_id="begun") as run:
        run.pages()
        run.chunks()
    with pytest.raises(ConfigError, match="index generation 3 is not building; in use are 1 .live., 2 .building."):
        promote(home, number=3)
    verdict = promote(home)
    assert not verdict.passed and verdict.reasons[0].startswith("it still lacks 3 documents, bear.txt is the first")
    home.run()
    hold_under_new_settings(home, "panda.md")
    home.run()
    refused = promote(home)
    assert refused.unequal.held == ["panda.md"] and states(home) == {1: "live", 2: "retired", 3: "building"}
    assert "1 of 3 documents are in quarantine under its settings, panda.md is the first" in refused.reasons[0]
    noted = generation_work.generation_facts(home.platform, *PLACE)[1].as_json()
    assert noted["reasons"] == list(refused.reasons) and noted["quarantined"] == 1
    assert promote(home, accept_missing=True).passed
    assert shown(home, 3) == {"bear.txt", "garden.txt"}


def hold_under_new_settings(home: SmallHome, path: str) -> None:
    """A check refuses the document's chunks under the new settings, before they were ever published."""
    with PartitionRun(home.platform, home.key, run_id="checked") as run:
        work = run.works[-1].work
        with run.lease.writing() as connection:
            made = {
                one.document_id: (one, "refused on purpose")
                for one in check_marks.made(connection, run.partition, work.recipe, "chunks", after=0)
                if one.path == path
            }
            check_marks.refuse(connection, run.partition, work.recipe, "chunks", made)
            generation = generations.one_of(connection, run.partition.cid, "building")
            generations.retire(connection, generation)
            number = generations.begin(
                connection, run.partition.cid,
                generations.Definition(generation.settings or {}, generation.recipe or ""), generations.BY_SETTINGS,
            )  # fmt: skip
        assert number == 3


def test_settings_that_go_back_give_up_what_was_being_built_and_leave_nothing(home: SmallHome) -> None:
    decide(home, STATIC + MANUAL + FIXED)
    home.run()
    assert spaces(home) == {1, 2}
    decide(home, STATIC + MANUAL)
    home.run()
    assert states(home) == {1: "live", 2: "retired"}
    assert spaces(home) == {1}, "the index space of what was given up is gone, too"


def test_an_index_is_promoted_by_the_run_that_completes_it_and_the_one_before_goes_in_the_end(home: SmallHome) -> None:
    decide(home, STATIC + "  generations: {keep_previous_days: 1}\n" + FIXED)
    assert home.run()["published_documents"]["promoted"] == 2
    decide(home, STATIC + "  generations: {keep_previous_days: 1}\n" + COARSE)
    assert home.run()["published_documents"]["promoted"] == 3
    assert states(home) == {1: "retired", 2: "previous", 3: "live"}
    with home.platform.ledger.writing() as connection:
        generations.note_verdict(connection, 2, {"superseded_at": 1.0})
    home.write("new.txt", "Another one.")
    home.run()
    home.write("newer.txt", "And another one.")
    home.run()
    assert states(home)[2] == "retired" and spaces(home) == {3}


def test_the_previous_settings_are_promoted_again_without_computing_anything(home: SmallHome) -> None:
    rules = "  generations: {keep_previous_days: 1}\n"
    decide(home, STATIC + rules + FIXED)
    home.run()
    before = home.computed()
    decide(home, STATIC + rules)
    assert home.run()["published_documents"]["promoted"] == 1
    assert states(home) == {1: "live", 2: "previous"} and home.computed() == before


def test_a_comparison_that_falls_below_the_threshold_is_refused_and_said_until_something_changes(
    home: SmallHome,
) -> None:
    asked: list[int] = []
    real = home.platform.compare
    assert real is not None

    def worse(tenant: str, collection: str, live: int, other: int, judgement: Judgement) -> Any:
        asked.append(other)
        found = real(tenant, collection, live, other, judgement)
        return replace(found, live_recall=1.0, recall=0.5)

    rules = "  generations: {recall_drop: 0.2}\n"
    home.platform = replace(home.platform, compare=worse)
    decide(home, STATIC + rules + FIXED)
    report = home.run()["published_documents"]
    assert report["promoted"] is None and "recall@10 falls from 1.000 to 0.500" in report["notes"][0]
    assert home.run()["published_documents"]["notes"] == report["notes"] and asked == [2], "nobody is asked for nothing"
    decide(home, STATIC + "  generations: {recall_drop: 0.6}\n" + FIXED)
    assert home.run()["published_documents"]["promoted"] == 2


def test_a_run_computes_a_slice_of_what_is_built_and_says_that_more_is_to_come(
    home: SmallHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl_assets.documents import model, stage_work

    monkeypatch.setattr(stage_work, "CHUNKS", replace(model.CHUNKS, batch_documents=1))
    decide(home, STATIC + MANUAL + FIXED)
    lefts = []
    for _ in range(3):
        home.write("new.txt", f"Version {len(lefts)} of what is new.")
        with PartitionRun(home.platform, home.key, run_id="a-run", build_s=0.0) as run:
            all_steps(run)
            lefts.append(run.left)
        assert "new.txt" in shown(home, 1), "what is new does not wait for what is built"
        assert is_up_to_date(home.platform, home.partition()) == (run.left == 0)
    assert lefts[0] == 3 and lefts == sorted(lefts, reverse=True)
    home.run()
    assert shown(home, 2) == set(present(home))


def test_a_generation_whose_model_is_gone_stands_still_and_says_so(home: SmallHome) -> None:
    with home.platform.ledger.writing() as connection:
        known = generations.generations(connection, home.partition().cid)[1]
        settings = {**(known.settings or {}), "embedder": {"kind": "folder", "path": "/nowhere"}}
        generations.note_recipe(connection, 1, generations.Definition(settings, "another recipe"))
        generations.follow(connection, known.cid, generations.Definition(settings, "another recipe"))
    decide(home, STATIC + "  generations: {promote: manual}\n" + FIXED)
    home.remove("garden.txt")
    home.write("new.txt", "A kraken sank the ferry.")
    notes = home.run()["published_documents"]["notes"]
    assert any(note.startswith("index generation 1 (live) stands still: ") for note in notes)
    assert shown(home, 1) == {"bear.txt", "panda.md"}, "removals reach it"
    building = max(states(home))
    assert shown(home, building) == set(present(home))
    verdict = promote(home, number=building)
    assert verdict.passed and verdict.quality is None and verdict.unequal.added == ["new.txt"]


def test_vectors_are_switched_off_and_on_in_place(home: SmallHome) -> None:
    decide(home, STATIC + MANUAL + "  publications: {vector: false}\n")
    home.run()
    (view,) = snapshot(home.platform.ledger, tenant="acme", collection="reports")
    assert (view.generation_id, view.dimension) == (1, 0)
    decide(home, STATIC + MANUAL)
    home.run()
    (view,) = snapshot(home.platform.ledger, tenant="acme", collection="reports")
    assert (view.generation_id, view.dimension) == (1, 256) and states(home) == {1: "live"}


def test_what_one_generation_cannot_do_is_not_tried_again_because_the_other_can(home: SmallHome) -> None:
    decide(home, STATIC + MANUAL + FIXED)
    home.run()
    with PartitionRun(home.platform, home.key, run_id="checked") as run:
        work = run.works[-1].work
        with run.lease.writing() as connection:
            made = check_marks.made(connection, run.partition, work.recipe, "embeddings", after=0)
            refused = {one.document_id: (one, "refused") for one in made if one.path == "bear.txt"}
            check_marks.refuse(connection, run.partition, work.recipe, "embeddings", refused)
    home.run()
    before, rows = home.computed(), quarantine.rows(home.platform.ledger)
    home.run()
    assert home.computed() == before and quarantine.rows(home.platform.ledger) == rows
    assert [(row.path, row.stage) for row in rows] == [("bear.txt", "embeddings")]


def save_searches(home: SmallHome, filters: Mapping[str, Mapping[str, str]]) -> None:
    rows = [
        {
            "tenant": "acme", "name": name, "query": "panda", "filters": dict(of_it), "created_at": 0.0,
            "answered_at": 0.0, "answered_seq": 0, "hits": [],
        }
        for name, of_it in filters.items()
    ]  # fmt: skip
    with home.platform.ledger.writing() as connection:
        insert_rows(connection, schema.saved_searches, rows)


def test_other_settings_are_built_by_command_beside_those_of_the_file(home: SmallHome) -> None:
    overrides = {"chunking.mode": "fixed", "chunking.size": "40", "chunking.overlap": "0"}
    save_searches(home, {"mine": {}, "of another": {"collection": "elsewhere"}})
    assert generation_work.begin(home.platform, *PLACE, overrides) == 2
    decide(home, STATIC)
    home.run()
    assert states(home) == {1: "live", 2: "building"}, "it waits for a command whatever the file says"
    compared = generation_work.compare(home.platform, *PLACE, Judgement({"q": "bank"}, {"q": {"bear": 1}}))
    record = compared.as_json()
    assert record["passed"] and record["quality"]["queries"] == 2 and record["quality"]["probes"] == 3
    assert record["quality"]["live_ndcg"] == 1.0 and record["quality"]["recall"] == 1.0
    assert record["live"]["documents"] == record["other"]["documents"] == 3
    assert record["other"]["rows"]["vector"] > record["live"]["rows"]["vector"] and record["other"]["size_bytes"] > 0
    assert promote(home).passed
    home.run()
    assert states(home) == {1: "previous", 2: "live"}, "the file says what it said when this was decided"
    with pytest.raises(ConfigError, match="generation 2, which is live, is made by these settings already"):
        generation_work.begin(home.platform, *PLACE, overrides)
    with pytest.raises(ConfigError, match="there is no collection acme/mistyped"):
        generation_work.begin(home.platform, "acme", "mistyped", overrides)
    with pytest.raises(ConfigError, match="shards: defines no index generation"):
        generation_work.begin(home.platform, *PLACE, {"shards": "2"})
    with pytest.raises(ConfigError, match="chunking.size"):
        generation_work.begin(home.platform, *PLACE, {"chunking.size": "many"})


def test_collecting_the_previous_one_empties_and_removes_its_spaces(home: SmallHome) -> None:
    with pytest.raises(ConfigError, match="no index generation is previous"):
        generation_work.retire(home.platform, *PLACE)
    decide(home, STATIC + MANUAL + FIXED)
    home.run()
    assert promote(home).passed
    with pytest.raises(ConfigError, match="index generation 2 answers searches"):
        generation_work.retire(home.platform, *PLACE, number=2)
    assert generation_work.retire(home.platform, *PLACE) == (1, 3)
    home.run()
    assert spaces(home) == {2} and states(home) == {1: "retired", 2: "live"}
    assert not list(home.platform.stores.vector.rows(IndexSpace(*PLACE, 1)))
    with pytest.raises(ConfigError, match="no index generation is previous"):
        generation_work.roll_back(home.platform, *PLACE)


def test_no_search_fails_or_mixes_while_generations_swap() -> None:
    """A short run of the benchmark: searches at a steady rate, and two swaps in each second."""
    from benchmarks.generation_swap import main

    still, moved, swap_s = main(["--documents", "9", "--rate", "12", "--seconds", "2", "--swaps-per-second", "4"])
    assert (still.failed, still.mixed, moved.failed, moved.mixed) == ([], 0, [], 0)
    assert len(still.generations) == 1 and len(moved.generations) == 2 and swap_s


def test_another_extractor_builds_another_index_which_answers_by_its_own_text_and_is_rolled_back(
    tmp_path: Path,
) -> None:
    page = "<body><nav>Zanzibar contact</nav><main><p>Roses want sun and water in May.</p></main></body>"
    home = SmallHome.at(tmp_path / "home", {"a.html": page}, collections=STATIC + MANUAL)
    home.run()
    assert generation_work.begin(home.platform, *PLACE, {"parsing.html": "[all]"}) == 2
    report = home.run()
    assert report["pages"]["computed"] == 1 and states(home) == {1: "live", 2: "building"}
    quotes = answer(home, "Zanzibar")["a.html"]
    compared = generation_work.compare(home.platform, *PLACE, Judgement())
    assert compared.other.as_json()["settings"]["parsing"] == {"html": ["all"]} and compared.verdict.passed
    assert promote(home).passed
    assert min(answer(home, "Zanzibar")["a.html"]) > max(quotes)
    home.run()
    assert generation_work.roll_back(home.platform, *PLACE).passed and answer(home, "Zanzibar")["a.html"] == quotes
    with pytest.raises(ConfigError, match=r"parsing.size_limit_mb: defines no index generation.*parsing.html"):
        generation_work.begin(home.platform, *PLACE, {"parsing.size_limit_mb": "5"})
