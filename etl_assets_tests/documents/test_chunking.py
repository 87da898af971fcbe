import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends.onnx_embedder import minilm_model
from etl_assets.documents import model
from etl_assets.documents.chunking import (
    CODE_POINTS_PER_TOKEN,
    Heading,
    Piece,
    chunk_pages,
    fixed_size_chunks,
    structure_chunks,
)
from etl_assets.documents.parameters import Chunking
from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import Tokenizer

MINILM = minilm_model(Path("unused")).tokenizer


class Words:
    """One token for a word and for a sign, marks included."""

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\w[\w\u0301]*|[^\w\s]\u0301*", text)]


def structured(
    text: str, *, size: int = 30, overlap: int = 0, tokenizer: Tokenizer | None = None, headings: Sequence[Heading] = ()
) -> list[Piece]:
    return structure_chunks(text, headings, tokenizer=tokenizer or Words(), max_tokens=size, overlap_tokens=overlap)


def sentence(chance: random.Random) -> str:
    words = ("actor server token phishing loader registry beacon credential lateral network domain report week host "
             "payload exploit patch vendor sector energy water implant tunnel proxy").split()  # fmt: skip
    return " ".join(chance.choices(words, k=chance.randint(4, 30))).capitalize() + "."


def report(chance: random.Random, sentences: int) -> list[str]:
    return [sentence(chance) + chance.choice([" ", " ", " ", " ", "\n\n"]) for _ in range(sentences)]


def texts(page: str, pieces: Sequence[Piece]) -> list[str]:
    return [page[piece.start : piece.end] for piece in pieces]


@given(text=st.text(), size=st.integers(2, 50), data=st.data())
def test_fixed_chunks_rebuild_the_document(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    spans = fixed_size_chunks(text, size=size, overlap=overlap)
    assert "".join(text[s.start + (overlap if s.start else 0) : s.end] for s in spans) == text


def test_three_thousand_characters_are_four_fixed_chunks() -> None:
    assert [tuple(s) for s in fixed_size_chunks("x" * 3000)] == [(0, 1000), (800, 1800), (1600, 2600), (2400, 3000)]


@pytest.mark.parametrize(("size", "overlap"), [(10, 10), (10, -1), (0, 0)])
def test_an_overlap_that_never_advances_is_refused(size: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="chunk overlap"):
        fixed_size_chunks("text", size=size, overlap=overlap)
    with pytest.raises(ConfigError, match="overlap_tokens"):
        structured("text", size=size, overlap=overlap)


@settings(max_examples=150)
@given(
    text=st.text(alphabet=st.sampled_from(list("abcXY12.!?,。日é\u0301 \n\n\t-|👩")), max_size=900),
    size=st.integers(1, 40),
    data=st.data(),
)
def test_chunks_hold_everything_but_white_space_within_the_limit(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    words = Words()
    pieces = structured(text, size=size, overlap=overlap)
    position = 0
    for piece in pieces:
        assert piece.start <= piece.core < piece.end
        assert not text[position : piece.core].strip()
        part = text[piece.start : piece.end]
        assert part == part.strip() != ""
        assert piece.token_count <= size
        assert len(words.token_spans(text[piece.start : piece.core])) <= overlap
        position = piece.end
    assert not text[position:].strip()


def test_no_chunk_exceeds_the_limit_when_its_own_text_is_tokenised_again() -> None:
    page = "".join(report(random.Random(1), 120)) + "Xq" * 40 + " pneumonoultramicroscopic日本語の文章です。" * 80
    for size in (12, 50, 200):
        for piece in structured(page, size=size, overlap=size // 7, tokenizer=MINILM):
            count = len(MINILM.token_spans(page[piece.start : piece.end]))
            assert count == piece.token_count or size == 12  # a word of more tokens than the limit is cut inside
            assert count <= size


@pytest.mark.parametrize("seed", range(6))
def test_one_changed_sentence_changes_only_the_chunks_near_it(seed: int) -> None:
    chance = random.Random(seed)
    parts = report(chance, 300)
    changed_counts = Counter[int]()
    before = Counter(texts("".join(parts), structured("".join(parts), size=120, overlap=20)))
    for _ in range(15):
        edited, place = list(parts), chance.randrange(len(parts))
        match chance.choice(["replace", "insert", "remove"]):
            case "replace":
                edited[place] = sentence(chance) + " "
            case "insert":
                edited.insert(place, sentence(chance) + " ")
            case _:
                del edited[place]
        page = "".join(edited)
        changed_counts[(Counter(texts(page, structured(page, size=120, overlap=20))) - before).total()] += 1
    assert max(changed_counts) <= 7
    assert sum(count for changed, count in changed_counts.items() if changed <= 3) >= 12


def test_chunks_are_of_a_fair_size() -> None:
    page = "".join(report(random.Random(3), 400))
    counts = [piece.token_count for piece in structured(page, size=120)]
    assert min(counts) >= 120 // 4 - 1
    assert sum(counts) / len(counts) > 0.6 * 120


def test_a_short_page_is_one_chunk_without_its_outer_white_space() -> None:
    (piece,) = structured("  \n One sentence. Another one.\n ")
    assert (piece.start, piece.end, piece.token_count) == (4, 30, 6)
    assert structured(" \n\t ") == []


def test_a_section_begins_a_chunk() -> None:
    chance = random.Random(5)
    first, second = "".join(report(chance, 6)).strip(), "".join(report(chance, 6)).strip()
    page = f"{first}\nFindings\n{second}"
    headings = [Heading(1, len(first) + 1, len(first) + 9)]
    pieces = structured(page, size=120, overlap=20, headings=headings)
    assert any(page[p.start :].startswith("Findings\n") and p.core == p.start for p in pieces)


def test_overlap_repeats_whole_sentences() -> None:
    page = "".join(report(random.Random(8), 60)).replace("\n\n", " ")
    pieces = structured(page, size=120, overlap=40)
    repeated = [page[p.start : p.core].strip() for p in pieces if p.core > p.start]
    assert len(repeated) > len(pieces) / 2
    assert all(re.fullmatch(r"[A-Z].*\.", part, re.DOTALL) for part in repeated)


@pytest.mark.parametrize(
    "page",
    ["QUJD" * 12_500, "lorem ipsum " * 4_000, "日本語の文章です" * 6_000, "\u200b" * 50_000, ". " * 25_000,
     "👩\u200d👩\u200d👧" * 6_000, "a" + " " * 50_000 + "b", "e\u0301" * 25_000],
    ids=["blob", "words", "cjk", "zero-width", "dots", "emoji", "gap", "marks"],
)  # fmt: skip
def test_a_page_without_structure_is_cut_all_the_same(page: str) -> None:
    pieces = structured(page, size=200, overlap=30, tokenizer=MINILM)
    assert len(pieces) > 1
    for piece in pieces:
        assert 0 < piece.end - piece.start <= (200 + 1) * CODE_POINTS_PER_TOKEN
        assert len(MINILM.token_spans(page[piece.start : piece.end])) <= 200
        assert page[piece.start] not in "\u200d\u0301"


def pages_of(*rows: tuple[str, int, str, list[dict[str, int]]]) -> pl.DataFrame:
    schema = pl.Schema({"document_id": pl.String} | dict(model.pages_columns()))
    return pl.DataFrame([(*row, []) for row in rows], schema=schema, orient="row")


def heading(level: int, text: str, title: str) -> dict[str, int]:
    return {"level": level, "start": text.index(title), "end": text.index(title) + len(title)}


def test_rows_name_their_text_place_and_order() -> None:
    page = "".join(report(random.Random(2), 60))
    pages = pages_of(("b", 2, page, []), ("a", 1, "Short one.", []), ("b", 1, page, []), ("c", 1, "  ", []))
    computed = chunk_pages([], pages, chunking=Chunking(max_tokens=80, overlap_tokens=10), tokenizer=Words())
    rows = computed.rows
    assert rows.schema == {"document_id": pl.String} | dict(model.chunks_columns())
    assert set(rows["document_id"]) == {"a", "b"}
    of_b = rows.filter(pl.col("document_id") == "b")
    assert of_b["ordinal"].to_list() == list(range(len(of_b)))
    assert of_b["page"].to_list() == sorted(of_b["page"].to_list())
    for row in of_b.iter_rows(named=True):
        assert page[row["start"] : row["end"]] == row["text"]
        occurrence = row["page"] - 1  # both pages have the same text
        assert row["chunk_id"] == model.chunk_id(row["text"], occurrence)
        assert row["text_digest"] == model.embedded_text_digest(row["text"])
    assert computed.tokens["b"] == of_b["token_count"].sum()
    assert set(computed.seconds) == {"a", "b", "c"}


def test_the_heading_path_is_carried_over_pages() -> None:
    one, two = "Report\nIntro text here.\nScope\nMore text.", "Goes on here.\nActors\nAPT29 came."
    pages = pages_of(
        ("d", 1, one, [heading(1, one, "Report"), heading(2, one, "Scope")]),
        ("d", 2, two, [heading(2, two, "Actors")]),
        ("e", 1, "Another document.", []),
    )  # fmt: skip
    rows = chunk_pages([], pages, chunking=Chunking(max_tokens=6, overlap_tokens=0), tokenizer=Words()).rows
    paths = dict(zip(rows["text"], rows["heading"], strict=True))
    assert paths["Report\nIntro text here."] == "Report"
    assert paths["Scope\nMore text."] == "Report > Scope"
    assert paths["Goes on here."] == "Report > Scope"
    assert paths["Actors\nAPT29 came."] == "Report > Actors"
    assert paths["Another document."] == ""


def test_fixed_mode_counts_code_points_by_page() -> None:
    pages = pages_of(("d", 1, "ab " * 1000, []), ("d", 2, " " * 900, []), ("d", 3, "é" * 1001, []))
    rows = chunk_pages([], pages, chunking=Chunking(mode="fixed"), tokenizer=Words()).rows
    spans = [(1, 0, 1000), (1, 800, 1800), (1, 1600, 2600), (1, 2400, 3000), (3, 0, 1000), (3, 800, 1001)]
    assert rows.select("page", "start", "end").rows() == spans
    assert rows["token_count"][0] == 333


def test_no_pages_give_no_rows_of_the_right_columns() -> None:
    rows = chunk_pages([], pages_of(), chunking=Chunking(), tokenizer=Words()).rows
    assert rows.is_empty() and "chunk_id" in rows.columns
