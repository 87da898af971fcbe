"""Extractors in the order in which they are tried: the next one where one fails, or gives nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TypeAlias

from etl_assets.documents.parsing.document import MAX_FACT_CHARS, Extract, Source
from etl_assets.documents.parsing.legibility import says_nothing
from etl_assets.documents.parsing.reading import extractors
from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

Extractor: TypeAlias = Callable[[Source], Extract]

NOT_UNDERSTOOD = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, OSError)
"""What libraries let pass on a file that they do not understand."""

_FINAL = ("encrypted", "too-large", "nesting", "truncated", "empty", "not-installed")
"""What no other extractor would mend, or should: half of a document is not that document."""


def extract_by_chain(kind: str, name: str, first: Extractor, source: Source) -> Extract:
    """What the first extractor gives that gives ten characters or more; else the first text at all, else no text.

    Where it is not the first, ``extractors`` in the facts says of each before it why it did not serve.

    Raises:
        DataError: of the first extractor, when all fail, or of one that says what no other would mend.
    """
    tried: list[Mapping[str, Json]] = []
    scant: Extract | None = None
    error: DataError | None = None
    for extractor_name, extractor in _chain(kind, name, first):
        try:
            extract = extractor(source)
        except DataError as e:
            if e.reason in _FINAL and not tried:
                raise
            error = e if error is None or e.reason in _FINAL else error
            tried.append({"extractor": extractor_name, "why": str(e)[:MAX_FACT_CHARS]})
            continue
        except NOT_UNDERSTOOD as e:
            # The next one may understand it.
            error = error or DataError(
                f"cannot be read by {extractor_name} ({type(e).__name__}: {e})", reason="corrupt"
            )
            tried.append({"extractor": extractor_name, "why": f"{type(e).__name__}: {e}"[:MAX_FACT_CHARS]})
            continue
        text = "".join(page.text[:1000] for page in extract.pages[:100])
        if not says_nothing(text):
            return _with_record(extract, tried)
        if scant is None or (text.strip() and not any(page.text.strip() for page in scant.pages)):
            scant = _with_record(extract, tried)
        tried.append({"extractor": extractor_name, "why": "gave fewer than 10 characters"})
    if scant is None:
        assert error is not None
        raise error
    return scant


def _with_record(extract: Extract, tried: Sequence[Mapping[str, Json]]) -> Extract:
    return replace(extract, facts={**extract.facts, "extractors": list(tried)}) if tried else extract


def _chain(kind: str, name: str, first: Extractor) -> list[tuple[str, Extractor]]:
    return [(one, first if one == name else _loaded(one)) for one in extractors(kind)] or [(name, first)]


def _loaded(name: str) -> Extractor:
    module, function = name.split(":")
    extractor: Extractor = getattr(import_module(f"etl_assets.documents.parsing.{module}"), function)
    return extractor
