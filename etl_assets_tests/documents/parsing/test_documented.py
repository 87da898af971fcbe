"""The page on formats: its SQL runs, and what it says of limits is so."""

import re
from pathlib import Path

from etl_assets.documents.model import STAGES
from etl_assets.documents.parsing import document, pdf_pages
from etl_assets.search.sql import run_select
from etl_assets.search.tables import opened_tables
from etl_assets_tests.search.small_home import published


def test_tables_are_asked_for_as_documented(repository: Path, tmp_path: Path) -> None:
    page = (repository / "docs" / "how-to" / "formats.md").read_text()
    statements = [s.replace('\\"', '"') for s in re.findall(r'^etl-assets sql "(.*)"$', page, re.MULTILINE)]
    assert len(statements) == 2
    home = published(tmp_path)
    with opened_tables(home.ledger, home.lake, STAGES) as tables:
        for statement in statements:
            with run_select(statement, tables=tables) as selection:
                assert selection.table().num_rows == 0


def test_limits_are_as_documented(repository: Path) -> None:
    page = (repository / "docs" / "how-to" / "formats.md").read_text()
    assert document.MAX_UNPACKED_BYTES == 1 << 30 and f"{document.MAX_MEMBERS:,} members of 1 GB" in page
    assert document.MAX_DEPTH == 5 and "to a depth of\nfive" in page
    assert f"Pages past {pdf_pages.MAX_READ_PICTURES}\nin one document" in page
