"""Every command that README and docs show is run, page by page, as a reader would."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import Command, copied, put

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILES = re.compile(r"^`([\w.-]+\.(?:jsonl?|tsv))` .*?```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in _BLOCK.findall(page.read_text()) for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


SHOWN = [page for page in PAGES if commands(page)]


@pytest.fixture
def reader(tmp_path: Path, made_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's folder: reports below it, and a folder to work in whose home ``data`` was synced before."""
    put(tmp_path / "away", {"one.txt": "Lateral movement, by APT28, between machines.", "deep/two.md": "# Phish"})
    shutil.move(tmp_path / "away" / "objects", tmp_path / "reports")
    copied(made_home, tmp_path / "work" / "data")
    put(tmp_path / "work" / "data", {"acme/reports/old/a.txt": "A"})
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.parametrize("page", SHOWN, ids=[str(page.relative_to(REPOSITORY)) for page in SHOWN])
def test_every_command_that_a_page_shows_works(
    page: Path, reader: Path, etl: Command, request: pytest.FixtureRequest
) -> None:
    if page.name != "README.md":  # the one page whose syncs are Dagster's, as they are for readers of all
        request.getfixturevalue("without_dagster")
    for name, content in _FILES.findall(page.read_text()):
        (Path.cwd() / name).write_text(content)
    for program, *arguments in commands(page):
        if program == "make":
            subprocess.run(["make", "--dry-run", *arguments], cwd=REPOSITORY, check=True, capture_output=True)
        elif program == "source":
            assert arguments == [".venv/bin/activate"]
        else:
            assert program == "etl-assets", f"{page}: no test knows how to run {program}"
            outcome = etl(*(word.replace("~", str(reader)) for word in arguments), home=Path("data"))
            assert outcome.code == 0, f"{shlex.join(arguments)}: {outcome.err}"


def test_the_pages_show_most_commands() -> None:
    shown = {words[1] for page in SHOWN for words in commands(page) if words[0] == "etl-assets"}
    assert {"document", "sync", "search", "status", "sql", "evaluate", "quarantine"} <= shown
