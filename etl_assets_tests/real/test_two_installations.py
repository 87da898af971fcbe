"""Two installations, each with a ledger of its own, on the same hosted stores: the second is kept out."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets.backends.s3_mark import S3Mark, marked
from etl_assets.cli.probing import Outcome, probed
from etl_assets.errors import ConfigError
from etl_assets.hosted_bindings import Connections
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.installation import installation_id
from etl_assets.settings import Settings
from etl_assets_tests.conformance.test_knowledge_graph import CHAIN, PLACE
from etl_assets_tests.ledgers import open_on
from etl_assets_tests.real.s3_buckets import ODD_SERVERS, SERVERS, new_store
from etl_assets_tests.real.test_neo4j_faults import together
from etl_assets_tests.servers.fixtures import Variables

Installed = Callable[[str], dict[str, str]]


@pytest.fixture
def installed(lone_neo4j: Variables, tmp_path: Path) -> Installed:
    """The variables of a home of this name; all of them have one graph."""

    def variables(name: str) -> dict[str, str]:
        (tmp_path / name).mkdir(exist_ok=True)
        return {
            "ETL_HOME": str(tmp_path / name), "NEO4J_URI": lone_neo4j["ETL_TEST_NEO4J_URI"],
            "NEO4J_USERNAME": lone_neo4j["ETL_TEST_NEO4J_USER"],
            "NEO4J_PASSWORD": lone_neo4j["ETL_TEST_NEO4J_PASSWORD"],
        }  # fmt: skip

    return variables


def graph(stack: ExitStack, env: dict[str, str]) -> Neo4jGraph:
    settings = Settings.from_environment(env)
    settings.home.create()
    hosted = Connections(settings)
    stack.callback(hosted.close)
    return hosted.graph()


def graph_role(env: dict[str, str]) -> Outcome:
    return next(one for one in probed(Settings.from_environment(env), env) if one.role.name == "graph")


def test_the_second_one_is_refused_and_the_first_ones_mentions_stay(installed: Installed) -> None:
    numbers = sorted({edge.publication for edge in CHAIN})
    with ExitStack() as stack:
        first, second = graph(stack, installed("first")), graph(stack, installed("second"))
        first.write(CHAIN)
        before = first.counts(*PLACE, numbers)
        for act in (lambda: second.write(CHAIN), lambda: second.remove(*PLACE, numbers), second.migrate):
            with pytest.raises(ConfigError, match="belongs to another installation.*NEO4J_DATABASE"):
                act()
        assert first.counts(*PLACE, numbers) == before and all(before.values())
        # The same home, opened again: as after a restart, or a restore of its ledger.
        graph(stack, installed("first")).remove(*PLACE, numbers[:1])
        assert first.counts(*PLACE, numbers) == {
            number: held for number, held in before.items() if number != numbers[0]
        }


def test_of_two_that_come_first_at_once_one_is_refused(installed: Installed) -> None:
    with ExitStack() as stack:
        graphs = [graph(stack, installed(name)) for name in ("first", "second", "third")]
        graphs[0].counts(*PLACE, [1])  # the drivers are imported before the race
        raised = together(*(partial(one.write, CHAIN) for one in graphs))
    assert [type(error) for error in raised] == [ConfigError, ConfigError]


def test_a_check_says_whose_the_graph_is(installed: Installed) -> None:
    assert "belongs to no installation yet" in str(graph_role(installed("first")).found.notes)
    with ExitStack() as stack:
        graph(stack, installed("first")).migrate()
    mine, other = graph_role(installed("first")), graph_role(installed("second"))
    assert mine.passed and "the database belongs to this installation" in mine.found.notes
    assert not other.passed and "belongs to another installation" in other.found.problems[0]


@pytest.mark.parametrize("name", [*SERVERS, *ODD_SERVERS])
def test_a_bucket_is_marked_by_a_conditional_put(name: str, tmp_path: Path) -> None:
    bucket = new_store(name, "home")
    S3Mark(bucket, lambda: "first").claim()
    S3Mark(bucket, lambda: "first").claim()
    with pytest.raises(ConfigError, match="ETL_S3_PREFIX"):
        S3Mark(bucket, lambda: "second").claim()
    assert marked(bucket) == "first"


def test_an_id_on_postgresql_is_drawn_once(
    ledger: Ledger, ledgers_on_postgresql: dict[str, str], tmp_path: Path
) -> None:
    other = open_on(ledgers_on_postgresql, tmp_path / "ledger.sqlite")
    assert installation_id(ledger) == installation_id(other) == installation_id(ledger)
