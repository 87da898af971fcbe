"""What ``documents/planning`` claims in its tests of plans and budgets, with the ledger on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets_tests.documents.planning import test_budget, test_plan
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.small_homes import SmallHome

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")


@pytest.fixture
def jina() -> Iterator[JinaStandIn]:
    with JinaStandIn() as server:
        assert isinstance(server, JinaStandIn)
        yield server


def test_changes_and_settings_are_planned_exactly(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home")
    test_plan.test_changes_moves_and_removals_are_planned_exactly(home)
    test_plan.decide(home, test_plan.STATIC + test_plan.MANUAL + test_plan.FIXED)
    assert test_plan.run_as_planned(home).chunks > 3


def test_requests_tokens_and_money_of_a_hosted_model_are_planned(tmp_path: Path, jina: JinaStandIn) -> None:
    test_plan.test_requests_tokens_and_money_of_a_hosted_model_are_planned(tmp_path, jina, test_plan.JINA)


def test_spend_is_counted_once_and_a_run_over_the_budget_sends_nothing(tmp_path: Path, jina: JinaStandIn) -> None:
    test_budget.test_what_was_published_answers_on_while_a_change_waits_for_money(tmp_path, jina)
