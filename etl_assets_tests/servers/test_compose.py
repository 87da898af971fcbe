"""The compose file offers every server of the tests, and its variables are all that the tests read."""

from pathlib import Path

import yaml

from etl_assets_tests.servers.registry import RECIPES


def test_the_compose_file_offers_every_server_pinned_and_to_this_host_alone(repository: Path) -> None:
    services = yaml.safe_load((repository / "deploy" / "compose.yaml").read_text())["services"]
    assert set(services) == set(RECIPES)
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert tag[-1].isalnum() and tag != "latest", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service.get("ports") or service["network_mode"] == "host", name


def test_the_variables_of_the_compose_file_are_those_that_the_tests_read(repository: Path) -> None:
    lines = (repository / "deploy" / "compose.env").read_text().splitlines()
    named = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    assert sorted(named) == sorted(variable for recipe in RECIPES.values() for variable in recipe.variables)
