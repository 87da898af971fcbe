"""LanceDB is imported without what is never asked of it, which is there all the same."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets.backends.lancedb_import import CLIENT, Unopened, leave_unopened

_OPENED = f"""
import sys
from etl_assets.backends.lancedb_folder import connect
connect(sys.argv[1], None)
client = sys.modules[{CLIENT!r}]
assert {CLIENT + ".api"!r} not in sys.modules
print(type(client).__name__, client.TableApi.__name__, type(client).__name__)
"""


def test_opening_an_index_does_not_run_the_client_of_lancedbs_catalogue(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", _OPENED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert told.stdout == "Unopened TableApi module\n", told.stderr


def test_a_package_that_was_left_unopened_runs_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "left_unopened"
    package.mkdir()
    (package / "__init__.py").write_text("from left_unopened.part import made\nmade.append('whole')\nkept = made\n")
    (package / "part.py").write_text("made = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    leave_unopened("left_unopened")
    try:
        part = importlib.import_module("left_unopened.part")
        whole = sys.modules["left_unopened"]
        leave_unopened("left_unopened")
        assert part.made == [] and type(whole) is Unopened and not hasattr(whole, "__wrapped__")
        assert whole.kept is part.made == ["whole"] and importlib.import_module("left_unopened") is whole
        with pytest.raises(AttributeError, match="nothing"):
            _ = whole.nothing
    finally:
        for name in ("left_unopened", "left_unopened.part"):
            sys.modules.pop(name, None)


def test_a_package_that_is_not_there_is_no_matter() -> None:
    leave_unopened("no_such_package_anywhere")
    assert "no_such_package_anywhere" not in sys.modules
