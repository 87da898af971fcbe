"""How a collection wants its documents read, where that is not as usual: in force for the document at hand.

Extractors are called by one another with no more than a source, so what was decided is held here for the time of one
document, of which a parsing process reads one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from etl_assets.stages.spec import Json

CHAINS: Mapping[str, Mapping[str, str]] = {
    "pdf": {"pdfium": "pdf:parse_pdf", "poppler": "poppler:parse_by_pdftotext"},
    "html": {"main": "html:parse_html", "all": "html:parse_all_html"},
}
"""Kind of document -> the extractors that it has, in the usual order, as ``module:function`` of this package."""

_in_force: list[Mapping[str, Json]] = []


@contextmanager
def reading_by(decided: Mapping[str, Json]) -> Iterator[None]:
    """For the time of the context documents are read so; see ``parameters.ParsingLimits.reading``."""
    _in_force.append(decided)
    try:
        yield
    finally:
        _in_force.pop()


def reads_pictures() -> bool:
    """Whether writing is read from pictures."""
    return _decided().get("ocr") != "off"


def picture_languages() -> Sequence[str]:
    """The languages of writing in pictures; none for all that are installed."""
    found = _decided().get("ocr_languages", ())
    return [str(one) for one in found] if isinstance(found, Sequence) else []


def extractors(kind: str) -> list[str]:
    """The extractors of a kind of document in the order in which they are tried; none where it has one only."""
    known = CHAINS.get(kind, {})
    chosen = _decided().get(kind)
    return [known[str(one)] for one in chosen] if isinstance(chosen, Sequence) and known else list(known.values())


def _decided() -> Mapping[str, Json]:
    return _in_force[-1] if _in_force else {}
