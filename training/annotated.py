"""Annotated reports as texts with the spans that people marked in them: AnnoCTR and CyNER, read where they are.

AnnoCTR gives tokens and plain texts apart; the marks are laid on the plain texts, which is what the product reads.
CyNER gives tokens alone: they are joined by blanks, a paragraph a sentence, forty sentences a text.
"""

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(os.environ.get("ETL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ANNOCTR_COLUMNS = {"entity": 1, "date": 3, "concept": 4}
Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text and the marked spans in it, in order: start, end (exclusive), label as the corpus writes it."""

    name: str
    text: str
    spans: tuple[Span, ...]


def annoctr(split: str, *columns: str) -> list[Annotated]:
    """The reports of ``train`` or ``dev``; ``columns`` of ANNOCTR_COLUMNS, all by default.

    Raises:
        ValueError: a marked token is not in its report's text.
    """
    wanted = [ANNOCTR_COLUMNS[column] for column in columns or ANNOCTR_COLUMNS]
    texts = {path.stem: path.read_text("utf-8") for path in sorted((DATA / "annoctr" / split / "text").glob("*.txt"))}
    found = []
    for rows in _annoctr_rows(split):
        name = next((name for name, text in texts.items() if _begins(text, rows)), None)
        if name is None:
            raise ValueError(f"no report of annoctr {split} has the tokens {[row[0] for row in rows[:20]]}")
        found.append(_laid_on(name, texts.pop(name), rows, wanted))
    return sorted(found, key=lambda report: report.name)


def _begins(text: str, rows: list[list[str]]) -> bool:
    """Whether the first tokens stand in the text one behind the other; reports come in another order than texts."""
    position = 0
    for cells in rows[:60]:
        start = text.find(cells[0], position)
        if start < 0 or start - position > 30:
            return False
        position = start + len(cells[0])
    return True


def _annoctr_rows(split: str) -> Iterator[list[list[str]]]:
    rows: list[list[str]] = []
    with gzip.open(DATA / "annoctr" / split / "ner.bio.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            cells = line.rstrip("\n").split("\t")
            if cells[0] == "<DOCSTART>" and rows:
                yield rows
                rows = []
            if len(cells) > 6 and cells[0] != "<DOCSTART>":
                rows.append(cells)
    yield rows


def _laid_on(name: str, text: str, rows: list[list[str]], wanted: list[int]) -> Annotated:
    spans: list[Span] = []
    open_at: dict[int, int] = {}
    position = 0
    for cells in rows:
        start = text.find(cells[0], position)
        if start < 0 or start - position > 400:
            raise ValueError(f"{name}: token {cells[0]!r} is not in the text behind {position}")
        position = start + len(cells[0])
        for column in wanted:
            _mark(spans, open_at, column, cells[column], start, position)
    return Annotated(name, text, tuple(sorted(spans)))


def _mark(spans: list[Span], open_at: dict[int, int], column: int, label: str, start: int, end: int) -> None:
    if label.startswith("B-"):
        open_at[column] = len(spans)
        spans.append((start, end, label[2:]))
    elif label.startswith("I-") and column in open_at:
        begin, _, kind = spans[open_at[column]]
        spans[open_at[column]] = (begin, end, kind)
    else:
        open_at.pop(column, None)


def cyner(split: str, *, sentences: int = 40) -> list[Annotated]:
    """``train`` or ``valid``, in texts of so many sentences: the corpus does not say where a report ends."""
    blocks = (DATA / "cyner" / f"{split}.txt").read_text("utf-8").strip().split("\n\n")
    return [_joined(f"cyner-{split}-{low}", blocks[low : low + sentences]) for low in range(0, len(blocks), sentences)]


def _joined(name: str, blocks: list[str]) -> Annotated:
    text = ""
    spans: list[Span] = []
    for block in blocks:
        open_at: dict[int, int] = {}
        for line in block.splitlines():
            token, _, label = line.rpartition("\t")
            start = len(text)
            text += token + " "
            _mark(spans, open_at, 0, label, start, start + len(token))
        text += "\n\n"
    return Annotated(name, text, tuple(spans))
