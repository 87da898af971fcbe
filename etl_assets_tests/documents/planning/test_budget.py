"""A run that would cost more than is left stops before the first paid call; what it spends is counted once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from etl_assets.bindings import open_platform
from etl_assets.documents.collections import Collections
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.planning.budget import OverBudget
from etl_assets.errors import ConfigError
from etl_assets.hosted_settings import JinaPlace
from etl_assets.ledger import schema
from etl_assets.ledger.spend import Spent, spent
from etl_assets.settings import Settings
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.standin import Fault
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome, shared_pool

JINA = "defaults:\n  embedder: {kind: jina, dimension: 32}\n"


@pytest.fixture
def jina() -> Iterator[JinaStandIn]:
    with JinaStandIn() as server:
        assert isinstance(server, JinaStandIn)
        yield server


def opened(folder: Path, server: JinaStandIn, budget: str) -> SmallHome:
    settings = Settings(
        home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1,
        jina=JinaPlace("test-key", f"{server.url}/v1"),
    )  # fmt: skip
    settings.home.create()
    home = SmallHome(settings, replace(open_platform(settings), parsers=shared_pool))
    decide(home, JINA + budget)
    for path, text in TEXTS.items():
        home.write(path, text)
    return home


def decide(home: SmallHome, text: str) -> None:
    home.platform = replace(home.platform, collections=Collections.parse(text))


def spent_by(home: SmallHome, collection: str | None = None) -> Spent:
    with home.platform.ledger.reading() as connection:
        return spent(connection, "acme", collection, per="month", currency="USD")


def rows(home: SmallHome) -> list[Any]:
    with home.platform.ledger.reading() as connection:
        return list(connection.execute(select(schema.spend).where(schema.spend.c.stage == "embeddings")).all())


def sent(server: JinaStandIn) -> int:
    return sum(len(one.body["input"]) for one in server.requests if one.status == 200)


def test_a_run_over_the_budget_stops_before_the_first_paid_call(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {tokens: 10, per: day}\n")
    with pytest.raises(OverBudget, match="tenant acme for this day") as refusal:
        home.run()
    assert "10 of 10 are left" in str(refusal.value) and "acme.reports.00-of-01" in str(refusal.value)
    assert not jina.requests and not home.held() and not home.published()
    with PartitionRun(home.platform, home.key, run_id="reader") as run:
        assert run.pending().unfinished["embeddings"] == len(TEXTS) and not run.pending().unfinished["chunks"]
    decide(home, JINA + "  budget: {tokens: 10000, per: day}\n")
    home.run()
    assert set(home.published()) == set(TEXTS) and sent(jina) == 3


def test_what_was_published_answers_on_while_a_change_waits_for_money(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {money: 0.00001, price_per_million_tokens: 0.05}\n")
    home.run()
    before = home.published()
    home.write("bear.txt", "Another text that is " + "much longer than what is left of the money allows. " * 20)
    with pytest.raises(OverBudget, match=r"needs 0\.00001325 USD, and 0\.0000061 of 0\.00001 are left"):
        home.run()
    assert home.published() == before and sent(jina) == 3


def test_spend_is_counted_once_for_a_tenant_and_known_texts_cost_nothing(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {money: 1, price_per_million_tokens: 0.05}\n")
    tokens = home.run()["embeddings"]["tokens"]
    assert spent_by(home) == Spent(tokens, pytest.approx(tokens * 0.05 / 1e6))
    home.write("copy.txt", TEXTS["bear.txt"])
    home.run()
    assert spent_by(home).tokens == tokens
    assert spent_by(home, "other").tokens == 0 == spent_by(home, "other").money
    assert {one.model for one in rows(home)} == {"jina/jina-embeddings-v3@32"}


def test_a_failed_call_enters_no_spend(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {money: 1, price_per_million_tokens: 0.05}\n")
    jina.misbehave(Fault("error", status=401))
    with pytest.raises(Exception, match="401"):
        home.run()
    assert spent_by(home).tokens == 0
    home.run()
    assert spent_by(home).tokens > 0


def test_a_budget_holds_for_all_collections_of_a_tenant_or_for_one(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {tokens: 90}\n")
    home.run()
    used = spent_by(home).tokens
    text = "Words that nobody has sent so far, of another collection of this very tenant, which spends too. " * 3
    home.write("more.txt", text, collection="acme/other")
    key = home.partition("acme/other").key
    with pytest.raises(OverBudget, match="tenant acme"), PartitionRun(home.platform, key, run_id="r") as run:
        all_steps(run)
    decide(home, JINA + "  budget: {tokens: 90, scope: collection}\n")
    with PartitionRun(home.platform, key, run_id="s") as run:
        all_steps(run)
    assert spent_by(home, "reports").tokens == used < spent_by(home).tokens


def test_yesterdays_spend_does_not_count_today(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {tokens: 100, per: day}\n")
    home.run()
    with home.platform.ledger.writing() as connection:
        connection.execute(update(schema.spend).values(day="2001-01-01"))
    assert spent_by(home).tokens == 0


def test_an_index_that_is_being_built_over_the_budget_holds_up_nothing_else(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "")
    home.run()
    limited = "  budget: {tokens: 80}\n  generations: {promote: manual}\n"
    decide(home, JINA + limited + "  chunking: {mode: fixed, size: 20, overlap: 15}\n")
    home.write("new.txt", "Tulip.")
    with pytest.raises(OverBudget):
        home.run()
    assert "new.txt" in home.published()


def test_a_model_of_this_machine_needs_no_budget(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path, collections=STATIC + "  budget: {tokens: 0, money: 0}\n")
    home.run()
    assert set(home.published()) == set(TEXTS) and spent_by(home) == Spent(0, 0.0)


def test_a_budget_in_money_needs_a_price_in_its_currency(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, "  budget: {money: 5, currency: EUR}\n")
    with pytest.raises(ConfigError, match=r"in EUR.*nobody gave a price; set budget\.price_per_million_tokens"):
        home.run()
    assert not jina.requests
