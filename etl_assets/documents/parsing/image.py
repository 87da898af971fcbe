"""Pictures with writing (PNG, JPEG, TIFF, GIF, WebP, BMP): one page for each, read by tesseract."""

from __future__ import annotations

from etl_assets.documents.parsing import ocr
from etl_assets.documents.parsing.document import Extract, Source
from etl_assets.documents.parsing.pdf_flow import PageWords, flow
from etl_assets.documents.parsing.pdf_layout import lay_out
from etl_assets.documents.parsing.pdf_words import Word
from etl_assets.errors import DataError

_KINDS = (
    (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"), (b"RIFF", "image/webp"), (b"BM", "image/bmp"),
)  # fmt: skip


def parse_image(source: Source) -> Extract:
    """The writing in a picture; boxes of tables are in points at 300 dots per inch.

    Raises:
        DataError: ``no-text``, where tesseract is not installed; ``corrupt``.
    """
    tesseract = ocr.engine()
    if tesseract is None:
        raise DataError(f"is a picture, which has no text layer; {ocr.remedy()}", reason="no-text")
    pages = [PageWords(lines, [], 0, 0.0, _height(lines)) for lines in ocr.read_pictures(source, tesseract)]
    head = source.head(12)
    return Extract(
        pages=lay_out([lines or [] for lines in flow(pages)], []),
        method=tesseract.name,
        facts={
            "media_type": next((media_type for magic, media_type in _KINDS if head.startswith(magic)), "image/*"),
            "ocr_pages": list(range(1, len(pages) + 1)),
        },
    )


def _height(lines: list[list[Word]]) -> float:
    return max((word.top for line in lines for word in line), default=0.0)
