"""The first thing that people run."""

from pathlib import Path

import pytest

from etl_assets import demo
from etl_assets_tests.cli.conftest import SETTINGS, Command

FEW = ("apt28-cisco-routers.pdf", "prometheus-federation.md", "texting-scams")


@pytest.mark.usefixtures("without_dagster")
def test_the_demo_answers_with_citations_and_a_second_run_computes_nothing(
    etl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {key: path for key, path in demo.documents().items() if any(name in key for name in FEW)}
    monkeypatch.setattr(demo, "documents", lambda: few)
    (tmp_path / "collections.yaml").write_text(SETTINGS)
    first = etl("demo", home=tmp_path)
    assert first.code == 0, first.err
    assert "3 bundled documents" in first.out and "3 of them new" in first.out
    assert "published_documents          3     3" in first.out
    assert all(f"? {question}" in first.out for question in demo.QUESTIONS)
    assert "advisories/apt28-cisco-routers.pdf, page " in first.out
    assert "* APT28 (group:G0007) is mentioned in" in first.out and "CVE-2017-6742 (cve)" in first.out
    assert "http://localhost:3000" in first.out
    second = etl("demo", home=tmp_path)
    assert second.code == 0 and "nothing changed" in second.out
    assert answers(second.out) == answers(first.out)


def answers(out: str) -> str:
    """From the first question to the last line that holds no time."""
    return out[out.index("\n? ") : out.index("\ndone in")]
