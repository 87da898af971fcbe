"""The frame: help, errors, exit codes, output."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from etl_assets.cli import output, run
from etl_assets.cli.group import LazyGroup, root
from etl_assets.errors import ConfigError
from etl_assets_tests.cli.conftest import Command

HEAVY = ["dagster", "duckdb", "lancedb", "numpy", "onnxruntime", "polars", "pyarrow", "pydantic", "rich", "sqlalchemy"]
PROBE = (
    "import sys, etl_assets.cli as c; code = c.run(sys.argv[2:]);"
    "print([m for m in sys.argv[1].split(',') if m in sys.modules], file=sys.stderr); sys.exit(code)"
)


def commands(group: LazyGroup = root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))


def test_help_imports_no_library_but_click() -> None:
    command = [sys.executable, "-c", PROBE, ",".join(HEAVY), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in root.list_commands(click.Context(root)))


def test_a_sync_with_nothing_to_do_imports_no_engine(made_home: Path) -> None:
    command = [sys.executable, "-c", PROBE, "dagster,polars,lancedb,duckdb,onnxruntime,numpy,pyarrow", "sync"]
    env = {**os.environ, "ETL_HOME": str(made_home)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.startswith("nothing changed: 6 documents in 2 collections\n")
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*path, "--help"]) == 0
    assert f"Usage: etl-assets {' '.join(path)}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "no command 'serch'; did you mean search?"),
        (["document", "frobnicate"], "there are add, remove, delete, list, show, duplicates, diff, republish, history"),
        (["search"], "Missing argument 'QUERY'"),
        (["sync", "--json"], "--json goes with --dry-run"),
        (["sql", "select 1", "--format", "parquet"], "needs --out FILE"),
        (["document", "add", ".", "--tenant", "Acme", "--collection", "x"], "tenant 'Acme': use 1 to 64 of"),
    ],
)
def test_a_wrong_command_line_is_told_and_exits_2(
    arguments: list[str], message: str, etl: Command, tmp_path: Path
) -> None:
    outcome = etl(*arguments, home=tmp_path / "home")
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "home").exists()


def test_a_wrong_setting_exits_2_without_a_stack(etl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_LEASE_S", "soon")
    outcome = etl("status", home=tmp_path)
    assert outcome.code == 2
    assert "ETL_LEASE_S='soon'" in outcome.err
    assert "Traceback" not in outcome.err


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ETL_HOME", str(tmp_path))
    with pytest.raises(ConfigError):
        run(["--debug", "document", "show", "a/b/c"])


def test_a_reader_that_goes_away_is_no_error(made_home: Path) -> None:
    env = {**os.environ, "ETL_HOME": str(made_home)}
    command = [sys.executable, "-m", "etl_assets.cli", "document", "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_an_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, etl: Command, tmp_path: Path) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("etl_assets.cli.session.read_settings", interrupted)
    monkeypatch.setattr("etl_assets.cli.sync.read_settings", interrupted)
    outcome = etl("sync", home=tmp_path)
    assert outcome.code == 130
    assert "interrupted" in outcome.err


def test_the_version_is_the_package_s(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"etl-assets \d+\.\d+\.\d+\n", capfd.readouterr().out)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain é 文", "plain é 文"), ("a\nb\tc", "a\\nb\\tc"), ("\x1b[31mred", "\\x1b[31mred"), ("\udcff", "\\udcff")],
)
def test_nothing_that_a_terminal_obeys_is_printed(text: str, shown: str) -> None:
    assert output.printable(text) == shown


def test_json_of_an_undecodable_name_can_be_read(capfd: pytest.CaptureFixture[str]) -> None:
    output.json_line({"path": "a\udcffé\x1b"})
    assert capfd.readouterr().out == '{"path": "a\\udcffé\\u001b"}\n'


def test_tables_are_plain_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "count"), [("a", 1200), ("b\n", None)], numeric=("count",))
    output.table(("name",), [])
    assert capfd.readouterr().out == "name  count\na     1,200\nb\\n       -\n"


def test_init_writes_the_commented_file_once(etl: Command, tmp_path: Path) -> None:
    first = etl("init", home=tmp_path / "home")
    assert first.code == 0
    written = (tmp_path / "home" / "collections.yaml").read_text()
    assert "max_tokens: 200" in written
    (tmp_path / "home" / "collections.yaml").write_text("defaults: {}\n")
    assert "left as it is" in etl("init", home=tmp_path / "home").out
    assert (tmp_path / "home" / "collections.yaml").read_text() == "defaults: {}\n"


def test_the_ui_is_served_where_it_was_asked_for(etl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def serve(_settings: object, *, port: int, host: str, announce: object) -> None:
        asked.update(port=port, host=host)
        assert callable(announce)
        announce("http://somewhere")

    monkeypatch.setattr("etl_assets.launching.serve", serve)
    outcome = etl("ui", "--port", "0", "--host", "::1", home=tmp_path)
    assert asked == {"port": 0, "host": "::1"}
    assert "http://somewhere" in outcome.out
