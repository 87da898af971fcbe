"""Damaged files of every format, in the parsing processes: each ends in sound pages or in a reason that is true of it.

A seed is a schedule: a mutant that fails here fails again with the same ``ETL_FUZZ_SEED``. ``ETL_FUZZ_FILES`` sets how
many are tried: 2,500 go over every format more than a hundred times.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.document import Page, ParsedDocument
from etl_assets.documents.parsing.workers import ParseRequest, ParseResult, ParserPool
from etl_assets_tests.documents.parsing.mutants import mutants, sound_files

FILES, SEED = int(os.environ.get("ETL_FUZZ_FILES", "150")), int(os.environ.get("ETL_FUZZ_SEED", "1"))
REASONS = {
    "corrupt", "truncated", "empty", "encrypted", "no-text", "nesting", "too-large", "unsupported-type",
}  # fmt: skip
"""Not ``crashed``, ``time-limit`` and ``memory-limit``: what a small damaged file may cost is bounded by its parser."""
LIMITS = ParsingLimits(time_limit_s=60, memory_limit_mb=1024, ocr="off")


def test_sound_files_are_read_whatever_their_names_are(tmp_path: Path) -> None:
    files = sound_files(tmp_path)
    for number, data in enumerate(files.values()):
        (tmp_path / str(number)).write_bytes(data)
    with ParserPool() as pool:
        requests = (ParseRequest(name, tmp_path / str(number), "original") for number, name in enumerate(files))
        refused = {r.document_id: r.error.reason for r in pool.parse_many(requests, LIMITS) if r.error is not None}
    assert refused == {"a.png": "no-text"}


def test_damaged_files_end_in_pages_or_in_a_reason(
    tmp_path: Path, shared_data: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    files = sound_files(tmp_path, shared_data("format-zoo"))
    names: dict[str, str] = {}

    def requests() -> Iterator[ParseRequest]:
        for mutant in mutants(files, FILES, SEED):
            path = tmp_path / f"mutant-{mutant.number}"
            path.write_bytes(mutant.data)
            names[str(mutant.number)] = mutant.name
            yield ParseRequest(str(mutant.number), path, mutant.name)

    wrong: dict[str, str] = {}
    with ParserPool() as pool:
        for result in pool.parse_many(requests(), LIMITS):
            problem = _problem(result)
            if problem:
                wrong[names[result.document_id]] = problem
            else:
                (tmp_path / f"mutant-{result.document_id}").unlink()
    assert wrong == {}, f"seed {SEED}: their bytes are kept in {tmp_path}"
    assert len(names) == FILES and not list(temporary.iterdir())


def _problem(result: ParseResult) -> str:
    if result.document is not None:
        return _unsound(result.document)
    assert result.error is not None
    return "" if result.error.reason in REASONS else str(result.error)


def _unsound(document: ParsedDocument) -> str:
    if [page.number for page in document.pages] != list(range(1, len(document.pages) + 1)):
        return "its pages are not numbered from one"
    return next((f"page {page.number} has a span outside its text" for page in document.pages if _strays(page)), "")


def _strays(page: Page) -> bool:
    page.text.encode()
    spans = [(h.start, h.end) for h in page.headings] + [(t.start, t.end) for t in page.tables]
    cells = [(t, c) for t in page.tables for row in t.rows for c in row]
    inside = all(0 <= start <= end <= len(page.text) for start, end in spans)
    return not (inside and all(t.start <= c.start <= c.end <= t.end for t, c in cells))
