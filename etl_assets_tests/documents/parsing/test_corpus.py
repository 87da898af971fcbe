"""Real, odd and broken files, all of them through the pool, against what other tools say of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.document import ParsedDocument
from etl_assets.documents.parsing.workers import ParseRequest, ParseResult, ParserPool

SharedData = Callable[..., Path]
REASONS = {"encrypted", "truncated", "corrupt", "empty", "unsupported-type", "no-text", "nesting", "too-large"}


def manifest(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def results_of(folder: Path, paths: list[str]) -> dict[str, ParseResult]:
    # Without programs: reading forty pictures takes longer than all the rest.
    with pytest.MonkeyPatch.context() as patch, ParserPool() as pool:
        patch.setenv("PATH", "")
        requests = [ParseRequest(path, folder / path, path) for path in paths]
        return {result.document_id: result for result in pool.parse_many(requests, ParsingLimits())}


@pytest.fixture(scope="module")
def zoo(shared_data: SharedData) -> tuple[dict[str, dict[str, str]], dict[str, ParseResult]]:
    folder = shared_data("format-zoo")
    rows = manifest(folder)
    return rows, results_of(folder, list(rows))


@pytest.fixture(scope="module")
def documents(shared_data: SharedData) -> tuple[dict[str, dict[str, str]], dict[str, ParsedDocument]]:
    folder = shared_data("documents")
    rows = manifest(folder)
    results = results_of(folder, list(rows))
    assert {key: str(result.error) for key, result in results.items() if result.error} == {}
    return rows, {key: result.document for key, result in results.items() if result.document is not None}


def pages_are_sound(document: ParsedDocument) -> None:
    assert [page.number for page in document.pages] == list(range(1, len(document.pages) + 1))
    assert document.facts["page_count"] == len(document.pages)
    assert document.facts["char_count"] == sum(len(page.text) for page in document.pages) > 0
    json.dumps(document.facts)
    for page in document.pages:
        page.text.encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\ufffe\ufeff]", page.text)
        for heading in page.headings:
            assert 0 <= heading.start < heading.end <= len(page.text) and heading.level >= 1


def test_the_whole_zoo_comes_back_each_file_with_pages_or_a_reason(zoo: Any) -> None:
    rows, results = zoo
    assert results.keys() == rows.keys()
    for result in results.values():
        if result.document is not None:
            pages_are_sound(result.document)
        else:
            assert result.error is not None and result.error.reason in REASONS


def test_files_that_another_reader_cannot_open_without_a_password_are_encrypted(zoo: Any) -> None:
    rows, results = zoo
    locked = [path for path, row in rows.items() if row["needs_password"] == "1" and row["poppler_pages"] == ""]
    assert locked
    assert {path: results[path].error and results[path].error.reason for path in locked} == dict.fromkeys(
        locked, "encrypted"
    )


def test_text_that_another_reader_finds_in_the_zoo_is_found(zoo: Any) -> None:
    rows, results = zoo
    expected = {
        path: int(row["pdftotext_chars"]) for path, row in rows.items() if row["pdftotext_chars"] not in ("", "0")
    }
    missed = {path for path in expected if results[path].document is None}
    reasons = {results[path].error.reason for path in missed}
    assert reasons <= {"encrypted", "truncated"} and len(missed) <= 3
    counts = [
        (results[p].document.facts["char_count"], chars)
        for p, chars in expected.items()
        if p not in missed and chars > 300
    ]
    # Two damaged files give more here, and pages of rotated or drawn words count spaces otherwise.
    close = [abs(ours - theirs) <= 0.05 * theirs for ours, theirs in counts]
    assert sum(close) >= 0.8 * len(close)


def test_office_files_and_books_of_every_age_are_read(zoo: Any) -> None:
    _, results = zoo
    for ending, kind in ((".odt", "odt"), (".ods", "ods"), (".xls", "xls"), (".epub", "epub"), (".rtf", "rtf")):
        found = {path: result for path, result in results.items() if path.endswith(ending)}
        assert found and all(result.document is not None for result in found.values())
        assert {result.document.facts["document_type"] for result in found.values()} == {kind}


def test_unsupported_files_are_named(zoo: Any) -> None:
    _, results = zoo
    for ending, name in ((".wpd", "WordPerfect"), ("DisplayWrite40.doc", "binary")):
        (result,) = (result for path, result in results.items() if path.endswith(ending))
        assert result.error.reason == "unsupported-type" and name in str(result.error)


def test_every_real_document_is_read_with_its_facts(documents: Any) -> None:
    rows, parsed = documents
    kinds = {"md": "markdown", "txt": "text"}
    for path, document in parsed.items():
        pages_are_sound(document)
        assert document.facts["document_type"] == kinds.get(rows[path]["format"], rows[path]["format"])
        assert document.facts["method"]


def test_pdf_pages_and_text_agree_with_another_reader(documents: Any) -> None:
    rows, parsed = documents
    pdfs = {path: row for path, row in rows.items() if row["format"] == "pdf"}
    assert {p: int(row["pdf_pages"]) for p, row in pdfs.items()} == {p: len(parsed[p].pages) for p in pdfs}
    for path, row in pdfs.items():
        # Poppler counts the padding of its lines.
        assert parsed[path].facts["char_count"] == pytest.approx(int(row["pdf_text_chars"]), rel=0.02)


def test_advisories_state_their_titles_dates_and_vulnerabilities(documents: Any, shared_data: SharedData) -> None:
    _, parsed = documents
    from datetime import datetime

    for line in shared_data("documents", "truth", "cisa_advisory_facts.jsonl").read_text().splitlines():
        truth = json.loads(line)
        document = parsed[truth["file"]]
        text = "\n".join(page.text for page in document.pages)
        stated = truth.get("last_revised") or truth.get("release_date")
        assert document.facts["title"] == truth["title"]
        assert document.facts["date"] == datetime.strptime(stated, "%B %d, %Y").date().isoformat()
        assert [cve for cve in truth["cve_ids"] if cve not in text] == []
        assert [technique for technique in truth["attack_ids"] if technique not in text] == []


@pytest.fixture(scope="module")
def requirements(shared_data: SharedData) -> list[str]:
    with next(shared_data("documents", "truth", "asvs").glob("*.csv")).open(encoding="utf-8", newline="") as file:
        return [row["req_description"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("ending", [".pdf", ".docx"])
def test_every_requirement_of_a_standard_is_found(documents: Any, requirements: list[str], ending: str) -> None:
    def letters(text: str) -> str:
        return re.sub(r"[\W_]+", "", re.sub(r"\]\([^)]*\)", "", text)).casefold()

    _, parsed = documents
    document = next(d for path, d in parsed.items() if "4.0.3-it" in path and path.endswith(ending))
    text = letters(" ".join(page.text for page in document.pages))
    missing = [sentence for sentence in requirements if letters(sentence) not in text]
    assert len(requirements) == 286 and missing == []


def test_advisories_in_json_keep_their_prose_whole(documents: Any, shared_data: SharedData) -> None:
    _, parsed = documents
    for path in shared_data("documents", "docs", "cisa-csaf").glob("*.json"):
        value = json.loads(path.read_text())["document"]
        document = parsed[f"docs/cisa-csaf/{path.name}"]
        assert document.facts["title"] == " ".join(value["title"].split())
        assert document.facts["date"] == value["tracking"]["current_release_date"][:10]
        flat = " ".join(document.pages[0].text.split())
        assert all(" ".join(note["text"].split()) in flat for note in value["notes"])


def test_html_loses_navigation_and_keeps_every_paragraph(documents: Any, shared_data: SharedData) -> None:
    _, parsed = documents
    for path, document in parsed.items():
        if "/debian-handbook/" in path or "/securing-debian/" in path:
            flat = "".join(document.pages[0].text.split())
            source = shared_data("documents", path).read_text()
            for block in re.findall(r'<div class="para">\s*([^<>&]{40,}?)\s*(?=<)', source):
                assert "".join(block.split()) in flat
            assert "Next" not in document.pages[0].text.split("\n")[-1]


def test_results_do_not_depend_on_the_worker_or_the_order(documents: Any, shared_data: SharedData) -> None:
    _, parsed = documents
    from etl_assets.documents.parsing.parser import parse

    folder = shared_data("documents")
    for path in sorted(parsed, reverse=True)[::5]:
        assert parse(folder / path, name=path, content_type=None) == parsed[path]


def variants(data: bytes) -> Iterator[bytes]:
    """Cuts and flips at fixed places: the same on every run."""
    for share in (0.1, 0.5, 0.9, 0.99):
        yield data[: int(len(data) * share)]
    for step in (97, 1009):
        broken = bytearray(data)
        broken[100::step] = bytes(b ^ 0x55 for b in broken[100::step])
        yield bytes(broken)


def test_damaged_documents_end_in_pages_or_a_reason(shared_data: SharedData, tmp_path: Path) -> None:
    folder = shared_data("documents", "docs")
    samples = [
        min(folder.rglob(f"*.{ending}"), key=lambda p: p.stat().st_size)
        for ending in ("pdf", "docx", "html", "json", "csv", "md")
    ]
    requests: list[ParseRequest] = []
    for sample in samples:
        for number, data in enumerate(variants(sample.read_bytes())):
            path = tmp_path / f"{number}{sample.suffix}"
            path.write_bytes(data)
            requests.append(ParseRequest(path.name, path, path.name))
    with ParserPool() as pool:
        results = list(pool.parse_many(requests, ParsingLimits(time_limit_s=20)))
    assert len(results) == len(requests)
    for result in results:
        assert (result.document is None) != (result.error is None)
        assert result.error is None or result.error.reason in REASONS, result.error
