"""The frame: what is locked, declared, documented and configured agrees with the code."""

import ast
import importlib.metadata
import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

NAMES = {"ahocorasick_rs": "ahocorasick-rs", "dotenv": "python-dotenv", "yaml": "pyyaml"}
"""Distributions that are not called like what they install."""


def project(repository: Path) -> dict[str, object]:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def requirement_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].rstrip("~=<>").lower().replace("_", "-").replace(".", "-")


def locked(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE):
        found.setdefault(requirement_name(name), set()).add(version)
    return found


def imported(repository: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in (repository / "etl_assets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found.update({name.split(".")[0]: str(path) for name in names})
    return found


def test_every_library_that_is_imported_is_declared(repository: Path) -> None:
    extras = project(repository)["optional-dependencies"]
    optional = [requirement for extra in extras.values() for requirement in extra]  # type: ignore[attr-defined]
    declared = {requirement_name(one) for one in [*project(repository)["dependencies"], *optional]}  # type: ignore[misc]
    foreign = {name: where for name, where in imported(repository).items() if name not in sys.stdlib_module_names}
    foreign.pop("etl_assets")
    missing = {
        name: where
        for name, where in foreign.items()
        if requirement_name(NAMES.get(name, name)) not in declared
    }  # fmt: skip
    assert missing == {}


def test_every_dependency_is_locked_and_hashed(repository: Path) -> None:
    runtime, dev = locked(repository / "requirements.lock"), locked(repository / "requirements-dev.lock")
    declared = {requirement_name(requirement) for requirement in project(repository)["dependencies"]}  # type: ignore[attr-defined]
    assert declared <= set(runtime)
    assert {name: dev[name] for name in runtime} == runtime
    for lock in ("requirements.lock", "requirements-dev.lock"):
        for entry in re.split(r"\n(?=[a-z0-9])", (repository / lock).read_text())[1:]:
            assert "--hash=sha256:" in entry, entry


def test_the_locks_name_no_index_and_no_path(repository: Path) -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert not re.search(r"://|^--|@ |\s/", (repository / lock).read_text(), re.MULTILINE)


def test_the_command_is_declared(repository: Path) -> None:
    assert project(repository)["scripts"] == {"etl-assets": "etl_assets.cli:main"}


def test_the_generated_pages_are_up_to_date(repository: Path) -> None:
    folder = repository / "docs" / "reference"
    for name, page in runpy.run_path(str(folder / "generate.py"))["PAGES"].items():
        assert (folder / name).read_text() == page(), f"docs/reference/{name} is old; run `make docs`"


def test_every_link_between_pages_leads_somewhere(repository: Path) -> None:
    for page in [repository / "README.md", *(repository / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_every_test_that_a_page_names_exists(repository: Path) -> None:
    written = "".join(path.read_text() for path in (repository / "etl_assets_tests").rglob("*.py"))
    for page in (repository / "docs").rglob("*.md"):
        for name in re.findall(r"`(test_\w+)`", page.read_text()):
            assert f"def {name}(" in written, f"{page}: {name}"


def test_every_decision_is_listed(repository: Path) -> None:
    folder = repository / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{3}-[^)]+)\)", (folder / "README.md").read_text())
    assert sorted(set(listed)) == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_notice_of_attack_is_where_its_terms_want_it(repository: Path) -> None:
    wording = "This work is reproduced and distributed with the permission of The MITRE Corporation."
    for notice in ("NOTICE", "etl_assets/documents/mentions/data/NOTICE.md"):
        assert f"© 2025 The MITRE Corporation. {wording}" in (repository / notice).read_text()


def test_the_workspace_names_the_module_that_dg_loads(repository: Path) -> None:
    (location,) = yaml.safe_load((repository / "workspace.yaml").read_text())["load_from"]
    dg = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert location["python_module"]["module_name"] == dg["code_location_target_module"] == "etl_assets.definitions"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dagster_accepts_the_instance_configuration(repository: Path, tmp_path: Path) -> None:
    from dagster import DagsterInstance

    (tmp_path / "dagster.yaml").write_text((repository / "dagster.yaml").read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_max_retries == 2
        assert (
            not instance.run_retries_enabled or not instance.get_settings("run_retries")["retry_on_asset_or_op_failure"]
        )
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 5
        assert not instance.telemetry_enabled


def test_make_lists_its_targets(repository: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    listed = subprocess.run(
        ["make", "help"], cwd=repository, env=env, capture_output=True, text=True, check=True
    ).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    assert {"demo", "ui", "test", "test-backends", "lint", "lock", "clean", "help"} <= targets


def test_dagster_and_its_webserver_are_one_pair() -> None:
    assert importlib.metadata.version("dagster") == importlib.metadata.version("dagster-webserver")
