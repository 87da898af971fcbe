"""Settings from the environment, and the folders of a home."""

import errno
import os
import subprocess
import sys
import tempfile
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.hosted_settings import GROUPS
from etl_assets.settings import VARIABLES, Home, Settings
from etl_assets.variables import Variable, shown


def test_an_empty_environment_gives_the_defaults_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({"PATH": "/bin"})
    assert settings == Settings(home_folder=str(tmp_path / "data"))
    assert settings.home.root == tmp_path / "data"


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    env = {
        "ETL_HOME": str(tmp_path), "ETL_SEARCH_TIME_LIMIT_S": "1.5", "ETL_PARSER_PROCESSES": "3",
        "ETL_EMBEDDER_THREADS": "4", "ETL_LEASE_S": "30", "ETL_ARRIVALS_INTERVAL_S": "60",
    }  # fmt: skip
    settings = Settings.from_environment(env)
    assert settings == Settings(str(tmp_path), 1.5, 3, 4, 30.0, 60)
    assert set(env) <= {name for variable in VARIABLES.values() for name in variable.names}
    assert Settings.from_environment(settings.as_environment()) == settings


def test_every_setting_has_a_variable_and_an_allowed_default() -> None:
    assert [*VARIABLES, *GROUPS] == [field.name for field in fields(Settings)]
    for name, variable in VARIABLES.items():
        default = getattr(Settings(), name)
        assert variable.field.meaning
        assert variable.field.optional if default is None else variable.field.kind.read(str(default)) == default


def test_all_mistakes_are_reported_together() -> None:
    env = {
        "ETL_HOME": "~/etl", "ETL_LEASE_S": "soon", "ETL_PARSER_PROCESSES": "0", "ETL_LEASES": "1",
        "ETL_NOTHING_LIKE_IT_XYZ": "1", "ETL_API_TOKEN": "hunter2", "ETL_LOG": "https://user:hunter2@example.org",
    }  # fmt: skip
    with pytest.raises(ConfigError) as refusal:
        Settings.from_environment(env)
    lines = str(refusal.value).splitlines()[1:]
    assert sorted(line.strip().partition("=")[0] for line in lines) == sorted(env)
    assert "  ETL_LEASE_S='soon': use a number from 5 to 600 (seconds)" in lines
    assert "  ETL_LEASES='1': unknown; did you mean ETL_LEASE_S?" in lines
    assert "hunter2" not in str(refusal.value)


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"ETL_LEASE_S": ""}).lease_s == 20.0


def test_variables_of_the_test_suite_are_no_mistake() -> None:
    assert Settings.from_environment({"ETL_SHARED_DATA": "/x", "ETL_TEST_POSTGRES": "y"}).lease_s == 20.0


def test_two_names_of_one_setting_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Variable(("ETL_LEASE_S", "VENDOR_LEASE"), VARIABLES["lease_s"].field)
    monkeypatch.setattr("etl_assets.settings.VARIABLES", {**VARIABLES, "lease_s": both})
    assert Settings.from_environment({"VENDOR_LEASE": "33"}).lease_s == 33.0
    assert Settings.from_environment({"VENDOR_LEASE": "33", "ETL_LEASE_S": "33"}).lease_s == 33.0
    with pytest.raises(ConfigError, match="ETL_LEASE_S and VENDOR_LEASE: set to different values"):
        Settings.from_environment({"VENDOR_LEASE": "33", "ETL_LEASE_S": "34"})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().lease_s = 1.0  # type: ignore[misc]


def test_a_long_or_unprintable_value_is_shown_cut_and_escaped() -> None:
    assert shown("ETL_X", "a\x1b[31m" + "b" * 500) == r"'a\x1b[31m" + "b" * 74 + "...'"


def test_importing_settings_imports_nothing_heavy() -> None:
    heavy = "{'pydantic', 'dagster', 'polars', 'pyarrow', 'numpy', 'sqlalchemy', 'lancedb', 'yaml'}"
    code = f"import sys, etl_assets.settings; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_home_is_created_with_private_folders_and_again_without_change(tmp_path: Path) -> None:
    home = Home(tmp_path / "new" / "home").create()
    assert home.create() == home
    private = {home.originals, home.lake, home.indexes, home.ledger, home.dagster, home.cache, home.logs, home.tmp}
    assert set(home.root.iterdir()) == private | {home.objects}
    assert {folder.stat().st_mode & 0o777 for folder in private} == {0o700}
    assert home.ledger_file.parent == home.ledger
    assert home.collections_file == home.root / "collections.yaml"


def test_a_home_keeps_the_rights_that_a_person_gave(tmp_path: Path) -> None:
    home = Home(tmp_path).create()
    home.lake.chmod(0o750)
    home.create()
    assert home.lake.stat().st_mode & 0o777 == 0o750


def test_two_homes_share_no_path(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one").create(), Home(tmp_path / "other").create()
    assert not {path.resolve() for path in one.root.rglob("*")} & {path.resolve() for path in other.root.rglob("*")}


def test_a_home_inside_another_is_refused(tmp_path: Path) -> None:
    outer = Home(tmp_path).create()
    outer.ledger_file.touch()
    with pytest.raises(ConfigError, match="lies inside the home"):
        Home(outer.objects / "acme").create()
    assert not (outer.objects / "acme").exists()


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_a_home_that_is_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="ETL_HOME: .*file is a file, not a folder|ETL_HOME: .* is a file"):
        Home(tmp_path / "file" / below).create()


def test_a_folder_that_cannot_be_written_is_refused(repository: Path) -> None:
    # Root may write everywhere, so it becomes somebody else first, once all that it needs is imported.
    code = (
        "import os, sys, pathlib, tempfile\n"
        "from etl_assets.settings import ConfigError, Home\n"
        "if os.getuid() == 0:\n    os.setgid(65534)\n    os.setuid(65534)\n"
        "try:\n    Home(pathlib.Path(sys.argv[1])).create()\n"
        "except ConfigError as e:\n    print(e)"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        command = [sys.executable, "-c", code, f"{folder}/home"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    expected = f"ETL_HOME: {folder}/home cannot be written (Permission denied); make it writable or set ETL_HOME to"
    assert expected in done.stdout, done.stderr


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(PermanentError, match="tmp cannot be written .No space left on device.; free some space"):
        Home(tmp_path).create()
