"""Builders of small PDFs, written as ISO 32000-1 says and nothing more."""

from __future__ import annotations

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
