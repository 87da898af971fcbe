"""A plan counts what the next run then does: documents and chunks exactly, and says why."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from etl_assets.bindings import open_platform
from etl_assets.documents import model
from etl_assets.documents.collections import Collections
from etl_assets.documents.planning import outlook as stage_outlook
from etl_assets.documents.planning.plan import CollectionPlan, plan_collection, trying
from etl_assets.errors import ConfigError
from etl_assets.hosted_settings import JinaPlace, OpenAIPlace
from etl_assets.ledger import schema
from etl_assets.ledger.documents_view import ask_retry, held_documents
from etl_assets.ledger.publications import STORES
from etl_assets.settings import Settings
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.openai_standin import OpenAIStandIn
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome, shared_pool

PLACE = ("acme", "reports")
FIXED = "  chunking: {mode: fixed, size: 40, overlap: 0}\n"
MANUAL = "  generations: {promote: manual}\n"
STAGES = tuple(stage.name for stage in model.STAGES)
COUNTS = ("rows", "rows_computed", "reused", "quarantined")


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.at(tmp_path / "home")


def planned(home: SmallHome, **how: Any) -> CollectionPlan:
    return plan_collection(home.platform, *PLACE, **how)


def decide(home: SmallHome, text: str) -> None:
    home.platform = replace(home.platform, collections=Collections.parse(text))


def run_as_planned(home: SmallHome) -> CollectionPlan:
    """Plan, run, and hold one to the other."""
    plan = planned(home)
    report = home.run()
    for name in STAGES:
        stage, ran = plan.stage(name), report.get(name, {"wanted": 0, **dict.fromkeys(COUNTS, 0)})
        assert stage.documents == ran["wanted"], name
        assert {count: getattr(stage, count) for count in COUNTS} == {count: ran[count] for count in COUNTS}, name
    for store in STORES:
        assert plan.stage(store).rows == report[f"{store}_index"]["rows"], store
        assert plan.stage(store).documents == report[f"{store}_index"]["documents"], store
    intake, commit = report["raw_documents"], report["published_documents"]
    assert (plan.added, plan.changed, plan.removed) == (intake["added"], intake["changed"], intake["removed"])
    assert (plan.repointed, plan.withdrawn) == (commit["repointed"], commit["removed"])
    assert not planned(home).partitions, "after a run there is nothing to do"
    return plan


def writes(home: SmallHome) -> tuple[Any, ...]:
    """What would differ if anything had been written."""
    tables = [table for table in schema.metadata.sorted_tables if table.name != "leases"]
    with home.platform.ledger.reading() as connection:
        counts = [connection.scalar(select(func.count()).select_from(table)) for table in tables]
        numbers = connection.execute(select(schema.counters).order_by(schema.counters.c.name)).all()
    files = sorted(
        str(path)
        for path in home.settings.home.root.rglob("*")
        if path.is_file() and "ledger" not in str(path) and path.name != ".etl-assets"
    )
    return (*counts, tuple(numbers), tuple(files))


def test_a_new_collection_is_planned_exactly_and_nothing_is_written(home: SmallHome) -> None:
    before = writes(home)
    plan = planned(home)
    assert writes(home) == before
    assert plan.partitions == ["acme.reports.00-of-01"] and plan.added == len(TEXTS)
    assert plan.stage("chunks").why == {"new document": 3} and not plan.money
    assert not plan.stage("pages").measured and plan.seconds > 0
    assert run_as_planned(home).as_json() == plan.as_json()


def test_changes_moves_and_removals_are_planned_exactly(home: SmallHome) -> None:
    home.run()
    home.write("bear.txt", TEXTS["bear.txt"] + "\n\nOne more paragraph about EMOTET.")
    home.write("copy of garden.txt", TEXTS["garden.txt"])
    home.remove("panda.md")
    home.write("empty.txt", "")
    plan = run_as_planned(home)
    assert plan.stage("pages").why == {"new document": 2, "changed bytes": 1}
    assert plan.stage("embeddings").rows_computed < plan.stage("embeddings").rows, "known texts are not embedded"


def test_what_cannot_be_read_is_planned_as_quarantined_and_is_not_tried_again(home: SmallHome) -> None:
    home.write("broken.pdf", b"%PDF-1.7 and then nothing")
    assert run_as_planned(home).stage("pages").quarantined == 1
    with home.platform.ledger.writing() as connection:
        held = held_documents(connection)
        ask_retry(connection, held, {one.document_id: home.key for one in held})
    assert planned(home).stage("pages").why == {"retry of a quarantined document": 1}


def test_another_chunking_is_planned_for_the_index_that_is_built(home: SmallHome) -> None:
    home.run()
    decide(home, STATIC + MANUAL + FIXED)
    plan = run_as_planned(home)
    assert plan.stage("pages").documents == 0
    assert "mode structure to fixed" in next(iter(plan.stage("chunks").why))


def test_settings_are_tried_without_being_decided(home: SmallHome) -> None:
    home.run()
    tried = {"chunking.mode": "fixed", "chunking.size": "40", "chunking.overlap": "0"}
    plan = plan_collection(trying(home.platform, *PLACE, tried), *PLACE)
    assert plan.chunks > 3 and not planned(home).partitions


def test_a_new_code_version_is_planned_as_far_as_it_changes_something(
    home: SmallHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.run()
    raise_version(monkeypatch, "pages")
    plan = run_as_planned(home)
    assert plan.stage("pages").why == {f"code version {model.PAGES.code_version} to next": 3}
    assert plan.stage("pages").documents == 3 and plan.stage("chunks").documents == 0 and plan.repointed == 3


def raise_version(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from etl_assets.documents import stage_work
    from etl_assets.documents.generations import in_use as generations

    newer = replace(getattr(model, name.upper()), code_version="next")
    for module in (generations, stage_work, stage_outlook):
        monkeypatch.setattr(module, name.upper(), newer)
    monkeypatch.setattr(stage_outlook, "_STAGES", {**stage_outlook._STAGES, name: newer})


def test_publications_that_are_switched_are_planned(home: SmallHome) -> None:
    home.run()
    decide(home, STATIC + "  publications: {graph: false}\n")
    plan = run_as_planned(home)
    assert plan.stage("keyword").why == {"publications switched on or off": 3} and plan.stage("graph").rows == 0


def test_a_plan_in_full_counts_everything_again(home: SmallHome) -> None:
    report = home.run()
    plan = planned(home, full=True)
    for name in STAGES:
        assert plan.stage(name).rows_computed == report[name]["rows_computed"]
    assert plan.stage("pages").why == {"asked for in full": 3}


def test_only_the_partitions_asked_for_are_planned(home: SmallHome) -> None:
    assert planned(home, only=["acme.reports.*"]).added == 3
    with pytest.raises(ConfigError, match="no partition is called other"):
        planned(home, only=["other"])


def test_seconds_come_from_what_was_measured(home: SmallHome) -> None:
    home.run()
    home.write("more.txt", "A new text. " * 50)
    plan = planned(home)
    assert all(one.measured for one in plan.stages), [one.stage for one in plan.stages if not one.measured]
    assert plan.seconds / 3 < plan.error_s < plan.seconds, "one run is on record, which the plan tells"


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "x y", "EMOTET. " * 60, "other words"])), max_size=6
    )
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_changes_the_plan_is_what_runs(home: SmallHome, changes: list[tuple[str, str]]) -> None:
    for name, text in changes:
        path = home.settings.home.objects / f"acme/reports/{name}.txt"
        if text == "x y" and path.exists():
            path.unlink()
        else:
            home.write(f"{name}.txt", text)
    run_as_planned(home)


JINA = "defaults:\n  embedder: {kind: jina, dimension: 32}\n"
LATE = "defaults:\n  embedder: {kind: jina, dimension: 32, late_chunking: true}\n" + FIXED
PRICED = "  budget: {price_per_million_tokens: 0.05}\n"
OPENAI = "defaults:\n  embedder: {kind: openai, model: nomic, dimension: 48}\n"


@pytest.fixture
def jina() -> Iterator[JinaStandIn]:
    with JinaStandIn() as server:
        assert isinstance(server, JinaStandIn)
        yield server


def hosted(folder: Path, collections: str, **places: Any) -> SmallHome:
    chosen = Settings(home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1, **places)
    chosen.home.create()
    home = SmallHome(chosen, replace(open_platform(chosen), parsers=shared_pool))
    decide(home, collections)
    for path, text in TEXTS.items():
        home.write(path, text)
    return home


@pytest.mark.parametrize("collections", [JINA, JINA + FIXED, LATE])
def test_requests_tokens_and_money_of_a_hosted_model_are_planned(
    tmp_path: Path, jina: JinaStandIn, collections: str
) -> None:
    home = hosted(tmp_path, collections + PRICED, jina=JinaPlace("test-key", f"{jina.url}/v1"))
    for text in (TEXTS["bear.txt"], "Words that were never sent before. " * 90):
        home.write("more.txt", text)
        before = len(jina.requests)
        plan = planned(home)
        assert len(jina.requests) == before, "a plan sends nothing"
        assert run_as_planned(home).stage("embeddings").calls == len(jina.requests) - before
        embedded = plan.stage("embeddings")
        assert plan.money == {"USD": pytest.approx(embedded.tokens * 0.05 / 1e6)}
    assert embedded.why == {"changed bytes": 1}


def test_a_plan_says_that_it_would_exceed_the_budget(tmp_path: Path, jina: JinaStandIn) -> None:
    home = hosted(tmp_path, JINA + "  budget: {tokens: 5}\n", jina=JinaPlace("test-key", f"{jina.url}/v1"))
    assert "5 of 5 are left of the budget of tenant acme" in planned(home).budget


def test_a_model_without_a_price_is_named(tmp_path: Path) -> None:
    with OpenAIStandIn(keys=set(), models={"nomic": 48}) as server:
        home = hosted(tmp_path, OPENAI, openai=OpenAIPlace(base_url=f"{server.url}/v1"))
        assert planned(home).money == {"?": 0.0}
        decide(home, OPENAI + "  budget: {price_per_million_tokens: 2.5, currency: EUR}\n")
        plan = planned(home)
        assert plan.money == {"EUR": pytest.approx(plan.stage("embeddings").tokens * 2.5 / 1e6)}


def test_a_job_shows_the_plan_in_the_ui_and_decides_nothing(home: SmallHome) -> None:
    import dagster as dg

    from etl_assets.documents.jobs import plan_documents
    from etl_assets.documents.partition_runs import PartitionRuns

    home.run()
    chosen = {"collection": "acme/reports", "settings": {"chunking.mode": "fixed", "chunking.overlap": "0"}}
    with dg.DagsterInstance.ephemeral() as instance:
        done = plan_documents.execute_in_process(
            instance=instance, resources={"partition_runs": PartitionRuns(lambda: home.platform, run_id="plan")},
            run_config={"ops": {"plan_runs": {"config": chosen}}}, raise_on_error=False,
        )  # fmt: skip
    assert done.success
    (output,) = [event.step_output_data for event in done.all_events if event.is_successful_output]
    steps = output.metadata["steps"].records  # type: ignore[union-attr]
    assert (steps[0].data["stage"], steps[0].data["documents"]) == ("chunks", 3)
    assert output.metadata["over budget"].value == "no" and not planned(home).partitions
