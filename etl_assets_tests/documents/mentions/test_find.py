import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import find_mentions, mentions_in
from etl_assets.documents.model import chunks_columns, mentions_columns, pages_columns
from etl_assets.documents.publication.index_rows import mention_edges
from etl_assets.ledger.catalogue import SLOTS, Partition
from etl_assets.protocols.graph import Entity
from etl_assets.stages.spec import Task

CATALOGUE = Catalogue.load()
PARTITION = Partition("acme.reports.00-of-01", 1, "acme", "reports", 0, SLOTS)


def task(document: str) -> Task:
    return Task(document, "acme", "reports", f"{document}.txt", "0" * 64, 1)


def frame(schema: pl.Schema, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=pl.Schema([("document_id", pl.String()), *schema.items()]))


def pages(*rows: tuple[str, int, str]) -> pl.DataFrame:
    return frame(pages_columns(), [{"document_id": d, "page": p, "text": t, "headings": []} for d, p, t in rows])


def chunks(*rows: tuple[str, int, int, int, int, str]) -> pl.DataFrame:
    names = ("document_id", "ordinal", "page", "start", "end", "chunk_id")
    return frame(chunks_columns(), [dict(zip(names, row, strict=True)) for row in rows])


TEXT = "APT28 sent Emotet from evil[.]com. Later APT28 was seen at evil.com again, and Emotet too."


def test_every_mention_reproduces_its_text_and_knows_its_first_chunk() -> None:
    given = chunks(("b", 1, 1, 30, len(TEXT), "late"), ("b", 0, 1, 0, 50, "early"), ("b", 2, 2, 0, 9, "other"))
    texts = pages(("b", 2, "APT28"), ("b", 1, TEXT))
    computed = find_mentions([task("a"), task("b")], texts, given, catalogue=CATALOGUE)
    rows = computed.rows
    assert rows.columns == ["document_id", *mentions_columns().names()]
    assert rows.drop("document_id").schema == mentions_columns()
    assert rows["document_id"].unique().to_list() == ["b"]
    assert set(computed.seconds) == {"a", "b"} and not computed.failures
    first = rows.filter(pl.col("page") == 1)
    assert [TEXT[start:end] for start, end in first.select("start", "end").iter_rows()] == first["text"].to_list()
    assert first["entity_id"].to_list() == ["group:G0007", "malware:S0367", "domain:evil.com"] + [
        "group:G0007", "domain:evil.com", "malware:S0367"
    ]  # fmt: skip
    assert first["chunk_id"].to_list() == ["early", "early", "early", "early", "late", "late"]
    assert rows.select("page", "start", "end").rows() == sorted(rows.select("page", "start", "end").rows())
    assert rows["name"].to_list()[:2] == ["APT28", "Emotet"]
    assert set(rows["method"]) == {"pattern", "catalogue"}


def test_a_mention_across_the_edge_of_chunks_has_none() -> None:
    given = chunks(("a", 0, 1, 0, 3, "x"), ("a", 1, 1, 3, 9, "y"))
    rows = find_mentions([task("a")], pages(("a", 1, "APT28 did")), given, catalogue=CATALOGUE).rows
    assert rows["chunk_id"].to_list() == [None]


def test_the_context_is_one_line_of_whole_words() -> None:
    text = "word " * 40 + "then\nAPT28 came " + "back " * 40
    (row,) = find_mentions([task("a")], pages(("a", 1, text)), chunks(), catalogue=CATALOGUE).rows.to_dicts()
    assert "then APT28 came" in row["context"] and len(row["context"]) <= 165
    assert set(row["context"].split()) == {"word", "then", "APT28", "came", "back"}


@pytest.mark.parametrize("given", [pages(), pages(("a", 1, "")), pages(("a", 1, "nothing here"))])
def test_text_without_mentions_gives_no_rows(given: pl.DataFrame) -> None:
    rows = find_mentions([task("a")], given, chunks(), catalogue=CATALOGUE).rows
    assert rows.is_empty() and rows.schema["confidence"] == pl.Float32
    assert mention_edges(rows, PARTITION, {}) == []


def test_edges_count_the_mentions_and_keep_the_first() -> None:
    given = chunks(("b", 0, 1, 0, 40, "early"))
    rows = find_mentions([task("b")], pages(("b", 1, TEXT)), given, catalogue=CATALOGUE).rows
    edges = {edge.entity.entity_id: edge for edge in mention_edges(rows.reverse(), PARTITION, {"b": 7})}
    assert list(edges) == ["domain:evil.com", "group:G0007", "malware:S0367"]
    apt = edges["group:G0007"]
    assert (apt.document_id, apt.publication) == ("b", 7)
    assert apt.entity == Entity("group:G0007", "group", "APT28")
    assert (apt.count, apt.page, apt.start, apt.end, apt.chunk_id) == (2, 1, 0, 5, "early")
    assert edges["domain:evil.com"].confidence == pytest.approx(0.98)


def test_every_cve_and_attack_id_of_the_cisa_advisories_is_found(shared_data: Any) -> None:
    """The truth was taken from another library's text of the same PDFs."""
    import pypdfium2 as pdfium

    facts = shared_data("documents", "truth", "cisa_advisory_facts.jsonl")
    documents: Path = shared_data("documents")
    for line in facts.read_text("utf-8").splitlines():
        fact = json.loads(line)
        with pdfium.PdfDocument(documents / fact["file"]) as pdf:
            texts = [page.get_textpage().get_text_range().replace("\r\n", "\n").replace("\ufffe", "") for page in pdf]
        found = {mention.entity_id.partition(":")[2] for page in mentions_in(texts, CATALOGUE) for mention in page}
        assert {*fact["attack_ids"], *fact["cve_ids"]} <= found, fact["file"]


def test_documents_about_no_threat_name_no_threat(shared_data: Any) -> None:
    """OWASP, Prometheus and Debian documents: groups and malware found there would be false."""
    for group in ("owasp-cheatsheets", "owasp-top10", "prometheus-docs"):
        for path in sorted(shared_data("documents", "docs", group).rglob("*.md")):
            (found,) = mentions_in([path.read_text("utf-8")], CATALOGUE)
            assert [m for m in found if m.entity_type in ("group", "malware", "campaign", "ipv6")] == [], path.name


def test_what_only_looks_like_a_host_or_a_name_is_not_that() -> None:
    text = "Emotet calls p\u0430ypal.com and \u0415motet drops Q\u0430kbot. Code: obj.name = a.b(c), 3.14.1."
    found = {one.entity_id for one in mentions_in([text], CATALOGUE)[0]}
    assert found == {"malware:S0367", "domain:xn--pypal-4ve.com"}
