"""Builders of small PDFs, written as ISO 32000-1 says and nothing more."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def pdf(*contents: str, info: str = "", catalog: str = "", annotations: Sequence[str] = ()) -> bytes:
    """A PDF whose pages have these content streams; ``annotations`` are on the first page (ISO 32000-1, section 7)."""
    objects = [f"<< /Type /Catalog /Pages 2 0 R {catalog} >>", "", FONT, f"<< {info} >>"]
    kids = []
    for number, content in enumerate(contents):
        notes = f"/Annots [{' '.join(annotations)}]" if number == 0 else ""
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects) + 2} 0 R {notes} "
            "/Resources << /Font << /F 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    out, offsets = "%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>"
    return f"{out}{head}{trailer}\nstartxref\n{len(out)}\n%%EOF\n".encode()


def line(text: str, y: int, size: int = 10) -> str:
    return f"BT /F {size} Tf 50 {y} Td ({text}) Tj ET\n"


def at(x: float, y: float, text: str, size: int = 10, *, before: str = "") -> str:
    """Text at a place; ``before`` are operators that set how it is drawn."""
    return f"BT {before} /F {size} Tf {x} {y} Td ({text}) Tj ET\n"


def rule(x: float, y: float, width: float, height: float) -> str:
    """A ruling line as a thin black rectangle."""
    return f"0 g {x} {y} {width} {height} re f\n"


def picture_of(data: bytes, *, dots_per_inch: int = 150) -> tuple[int, int, bytes]:
    """(width, height, shades of grey) of a PDF's first page, as a scanner would see it."""
    import pypdfium2 as pdfium

    with pdfium.PdfDocument(data) as document:
        bitmap = document[0].render(scale=dots_per_inch / 72, grayscale=True)
        rows = bytes(bitmap.buffer)
        kept = b"".join(rows[y * bitmap.stride : y * bitmap.stride + bitmap.width] for y in range(bitmap.height))
        return bitmap.width, bitmap.height, kept


def scanned(data: bytes, *, rotate: int = 0, text: str = "") -> bytes:
    """A PDF that holds the picture of another's first page, turned by /Rotate, and ``text`` operators over it."""
    width, height, shades = picture_of(data)
    content = f"q 600 0 0 800 0 0 cm /P Do Q {text}"
    packed = zlib.compress(shades).hex()
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Rotate {rotate} /Contents 4 0 R "
        f"/Resources << /XObject << /P 5 0 R >> /Font << /F {FONT} >> >> >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray "
        f"/BitsPerComponent 8 /Filter [/ASCIIHexDecode /FlateDecode] /Length {len(packed)} >>\n"
        f"stream\n{packed}\nendstream",
    ]  # fmt: skip
    # Without a table of offsets: readers rebuild it.
    objects = "".join(f"{number} 0 obj\n{body}\nendobj\n" for number, body in enumerate(bodies, 1))
    return f"%PDF-1.7\n{objects}trailer << /Size 6 /Root 1 0 R >>\nstartxref\n0\n%%EOF\n".encode()
