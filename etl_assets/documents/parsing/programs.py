"""Which programs parsing may call on this machine: what pages depend on beside the bytes of their document."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from etl_assets.documents.parsing.reading import reading_by
from etl_assets.stages.spec import Json

_READERS = ("pdftotext",)


def reading_parameters(decided: Mapping[str, Json] | None = None) -> Mapping[str, Json]:
    """Parameters of the stage ``pages``, with what is ``decided`` of reading, see ``ParsingLimits.reading``.

    They change when tesseract comes, so that pictures are read then.

    Install the same programs wherever runs of one home are executed: each run makes pages by its own machine's.
    """
    from etl_assets.documents.parsing.ocr import engine

    with reading_by(decided or {}):
        found = engine()
    parameters: dict[str, Json] = {"reading": decided} if decided else {}
    if found is not None:
        parameters["ocr"] = f"{found.name} ({'+'.join(found.languages)})"
    programs = [name for name in _READERS if shutil.which(name) is not None]
    if programs:
        parameters["programs"] = programs
    return parameters
