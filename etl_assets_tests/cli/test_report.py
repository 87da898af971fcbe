"""Pages written by the command, of a real synced home."""

from pathlib import Path

from etl_assets_tests.cli.conftest import Command


def test_a_page_is_written_of_a_document_a_collection_and_a_tenant(
    made_home: Path, tmp_path: Path, etl: Command
) -> None:
    file = tmp_path / "page.html"
    assert etl("report", "acme/reports/apt/panda.md", "-o", str(file), home=made_home).code == 0
    page = file.read_text()
    assert "<h1>Panda</h1>" in page and "title='malware: TrickBot (malware:S0266)" in page
    assert etl("report", "acme/reports", "-o", str(file), home=made_home).code == 0
    page = file.read_text()
    assert "Emotet (malware)" in page and "Emotet and TrickBot: 1" in page and "apt/panda.md" in page
    assert etl("report", "zeta", "-o", str(file), home=made_home).code == 0
    assert "one.txt" in file.read_text() and "panda" not in file.read_text()


def test_what_is_not_published_and_a_place_that_cannot_be_written_are_said_so(
    made_home: Path, tmp_path: Path, etl: Command
) -> None:
    outcome = etl("report", "acme/reports/empty.txt", "-o", str(tmp_path / "x.html"), home=made_home)
    assert outcome.code == 2 and "it is not published" in outcome.err
    assert etl("report", "nobody/nothing", "-o", str(tmp_path / "x.html"), home=made_home).code == 2
    assert etl("report", "acme/reports", "-o", str(tmp_path / "no" / "x.html"), home=made_home).code == 1
