"""What is drawn on a PDF page beside its text: ruling lines, filled areas, pictures; and which text they hide."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pypdfium2 as pdfium

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right, top, in points from the page's lower left corner."""
_Matrix: TypeAlias = tuple[float, float, float, float, float, float]

MAX_OBJECTS = 20_000
MAX_DEPTH = 4
MAX_SEGMENTS = 4_000
_THIN = 2.5
"""A filled area or stroked path at most this many points across is a ruling line."""
_WHITE = 250
_SEEN = 12
"""Shades of 256 by which writing must differ from its ground to be seen."""
_PICTURE_PIXELS = 1_600
_BAND = 128


@dataclass(slots=True)
class Marks:
    """``rules`` and pictures by their boxes; ``image_share`` of the page; how many paths are ``drawn``."""

    rules: list[Box] = field(default_factory=list)
    images: list[Box] = field(default_factory=list)
    image_share: float = 0.0
    drawn: int = 0
    suspects: dict[int, str] = field(default_factory=dict)
    page: pdfium.PdfPage | None = None
    picture: _Picture | None = None

    @property
    def may_hide(self) -> bool:
        """Whether any text object is drawn invisibly or in white."""
        return bool(self.suspects)

    def hides(self, textpage: pdfium.PdfTextPage, index: int, box: Box) -> str | None:
        """Why the character at ``index`` is not seen, or None.

        Invisible text upon a picture is what a scanner's software read from it. White text is seen if the page, drawn,
        is not of one shade where it stands.
        """
        import pypdfium2.raw as raw

        if not self.suspects or index < 0:
            return None
        found = raw.FPDFText_GetTextObject(textpage, index)
        why = self.suspects.get(_address(found)) if found else None
        if why is None:
            return None
        if why == "invisible":
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            return None if any(_holds(image, middle) for image in self.images) else why
        if self.picture is None:
            assert self.page is not None
            self.picture = _Picture(self.page)
        return why if self.picture.is_plain(box) else None


class _Picture:
    """A page as it is seen, in shades of grey, in its own directions; drawn by bands, as most white text is one line.

    From the third band on all is drawn at once: PDFium goes through all of a page for each.
    """

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page
        self._left, bottom, right, self._top = page.get_bbox()
        self._scale = min(2.0, _PICTURE_PIXELS / max(right - self._left, self._top - bottom, 1.0))
        self._angle = (360 - page.get_rotation()) % 360
        width, height = page.get_size()
        # Of a page that is shown turned, the sizes are those it has when turned.
        width, height = (height, width) if self._angle in (90, 270) else (width, height)
        self._width, self._height = math.ceil(width * self._scale), math.ceil(height * self._scale)
        self._rows: dict[int, bytes] = {}
        self._drawn = 0

    def _draw(self, first: int, last: int) -> None:
        """Rows of pixels in ``[first, last)``."""
        # Half a pixel less, as what is cut off is rounded up to whole ones.
        foot, head = (max(0.0, n - 0.5) / self._scale for n in (self._height - last, first))
        bitmap = self._page.render(scale=self._scale, rotation=self._angle, crop=(0, foot, 0, head), grayscale=True)
        pixels, stride = bytes(bitmap.buffer), bitmap.stride
        for n in range(bitmap.height):
            self._rows[first + n] = pixels[n * stride : n * stride + bitmap.width]
        bitmap.close()

    def _row(self, y: int) -> bytes:
        if y not in self._rows:
            self._drawn += 1
            first = y // _BAND * _BAND if self._drawn < 3 else 0
            self._draw(first, min(first + _BAND, self._height) if self._drawn < 3 else self._height)
        return self._rows[y]

    def is_plain(self, box: Box) -> bool:
        """Whether everything within a box has one shade; so has what is not on the page."""
        left, right = ((x - self._left) * self._scale for x in (box[0], box[2]))
        top, bottom = ((self._top - y) * self._scale for y in (box[3], box[1]))
        columns = slice(max(0, int(left)), min(self._width, int(right) + 1))
        darkest, lightest = 255, 0
        for y in range(max(0, int(top)), min(self._height, int(bottom) + 1)):
            row = self._row(y)[columns]
            if row:
                darkest, lightest = min(darkest, min(row)), max(lightest, max(row))
        return lightest - darkest < _SEEN


def _address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def marks_of(page: pdfium.PdfPage) -> Marks:
    """The first ``MAX_OBJECTS`` objects of a page, those in forms within forms included."""
    marks = Marks(page=page)
    width, height = page.get_size()
    turned = page.get_rotation() in (90, 270)
    whole = (0.0, 0.0, height, width) if turned else (0.0, 0.0, width, height)
    for kind, pointer, box, matrix in _objects(page):
        _note(marks, kind, pointer, box, whole, matrix)
    covered = sum((i[2] - i[0]) * (i[3] - i[1]) for i in (_clipped(image, whole) for image in marks.images))
    marks.image_share = min(1.0, covered / max(1.0, whole[2] * whole[3]))
    return marks


def _clipped(box: Box, whole: Box) -> Box:
    left, bottom = max(box[0], whole[0]), max(box[1], whole[1])
    return left, bottom, max(left, min(box[2], whole[2])), max(bottom, min(box[3], whole[3]))


def _objects(page: pdfium.PdfPage) -> Iterator[tuple[int, Any, Box, _Matrix | None]]:
    """(type, object, box on the page, matrix of the form that holds it), in the order in which they are drawn.

    Of text objects only those are given that may not be seen; their box is not asked for.
    """
    import pypdfium2.raw as raw

    left = MAX_OBJECTS
    stack: list[tuple[Any, int, _Matrix | None]] = []
    for n in range(min(raw.FPDFPage_CountObjects(page), MAX_OBJECTS) - 1, -1, -1):
        stack.append((raw.FPDFPage_GetObject(page, n), 0, None))
    edges = [ctypes.c_float() for _ in range(4)]
    kind_of, is_text, is_form = raw.FPDFPageObj_GetType, raw.FPDF_PAGEOBJ_TEXT, raw.FPDF_PAGEOBJ_FORM
    is_suspect = _Suspicion()
    while stack and left > 0:
        pointer, depth, matrix = stack.pop()
        left -= 1
        kind = kind_of(pointer)
        if kind == is_text:
            if is_suspect.of(pointer) is not None:
                yield kind, pointer, (0.0, 0.0, 0.0, 0.0), matrix
        elif kind == is_form and depth < MAX_DEPTH:
            inner = _product(_matrix(pointer), matrix)
            for n in range(min(raw.FPDFFormObj_CountObjects(pointer), MAX_OBJECTS) - 1, -1, -1):
                stack.append((raw.FPDFFormObj_GetObject(pointer, n), depth + 1, inner))
        elif raw.FPDFPageObj_GetBounds(pointer, *edges):
            box = (edges[0].value, edges[1].value, edges[2].value, edges[3].value)
            yield kind, pointer, _placed(box, matrix), matrix


def _matrix(pointer: Any) -> _Matrix:
    import pypdfium2.raw as raw

    m = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(pointer, ctypes.byref(m)):
        return 1.0, 0.0, 0.0, 1.0, 0.0, 0.0
    return m.a, m.b, m.c, m.d, m.e, m.f


def _product(m: _Matrix, n: _Matrix | None) -> _Matrix:
    """First ``m``, then ``n`` (ISO 32000-1, 8.3.4)."""
    if n is None:
        return m
    return (
        m[0] * n[0] + m[1] * n[2], m[0] * n[1] + m[1] * n[3], m[2] * n[0] + m[3] * n[2], m[2] * n[1] + m[3] * n[3],
        m[4] * n[0] + m[5] * n[2] + n[4], m[4] * n[1] + m[5] * n[3] + n[5],
    )  # fmt: skip


def _placed(box: Box, m: _Matrix | None) -> Box:
    if m is None:
        return box
    xs = [m[0] * x + m[2] * y + m[4] for x in (box[0], box[2]) for y in (box[1], box[3])]
    ys = [m[1] * x + m[3] * y + m[5] for x in (box[0], box[2]) for y in (box[1], box[3])]
    return min(xs), min(ys), max(xs), max(ys)


def _note(marks: Marks, kind: int, pointer: Any, box: Box, whole: Box, matrix: _Matrix | None) -> None:
    import pypdfium2.raw as raw

    if kind == raw.FPDF_PAGEOBJ_IMAGE:
        marks.images.append(box)
    elif kind == raw.FPDF_PAGEOBJ_TEXT:
        why = _Suspicion().of(pointer)
        if why is not None:
            marks.suspects[_address(pointer)] = why
    elif kind == raw.FPDF_PAGEOBJ_PATH:
        marks.drawn += 1
        _note_path(marks, pointer, box, whole, matrix)


class _Suspicion:
    """Looks at text objects, of which pages have thousands: what is passed to PDFium is made once."""

    def __init__(self) -> None:
        import pypdfium2.raw as raw

        self._mode, self._fill = raw.FPDFTextObj_GetTextRenderMode, raw.FPDFPageObj_GetFillColor
        self._unseen = (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP)
        self._filled = (raw.FPDF_TEXTRENDERMODE_FILL, raw.FPDF_TEXTRENDERMODE_FILL_CLIP)
        self._parts = [ctypes.c_uint() for _ in range(4)]

    def of(self, pointer: Any) -> str | None:
        """``invisible`` or ``white``; None for text that is drawn in any other way."""
        mode = self._mode(pointer)
        if mode in self._unseen:
            return "invisible"
        red, green, blue, alpha = self._parts
        if mode not in self._filled or not self._fill(pointer, red, green, blue, alpha):
            return None
        if alpha.value == 0:
            return "invisible"
        is_white = red.value >= _WHITE and green.value >= _WHITE and blue.value >= _WHITE
        return "white" if is_white else None


def _fill(pointer: Any) -> tuple[int, int, int, int]:
    import pypdfium2.raw as raw

    parts = [ctypes.c_uint() for _ in range(4)]
    if not raw.FPDFPageObj_GetFillColor(pointer, *parts):
        return 0, 0, 0, 255
    return parts[0].value, parts[1].value, parts[2].value, parts[3].value


def _note_path(marks: Marks, pointer: Any, box: Box, whole: Box, matrix: _Matrix | None) -> None:
    import pypdfium2.raw as raw

    fill, stroke = ctypes.c_int(), ctypes.c_int()
    if not raw.FPDFPath_GetDrawMode(pointer, fill, stroke) or not (fill.value or stroke.value):
        return
    is_white = bool(fill.value) and min(_fill(pointer)[:3]) >= _WHITE
    if is_white and not stroke.value:
        return
    count = raw.FPDFPath_CountSegments(pointer)
    for part in [box] if count <= 2 else _subpaths(pointer, min(count, MAX_SEGMENTS), matrix):
        _note_rules(marks, part, whole, is_stroked=bool(stroke.value))


def _note_rules(marks: Marks, part: Box, whole: Box, *, is_stroked: bool) -> None:
    left, bottom, right, top = part
    width, height = right - left, top - bottom
    if min(width, height) <= _THIN:
        if max(width, height) > _THIN:
            marks.rules.append(part)
    # A frame round a page, or nearly, rules no table.
    elif is_stroked and width * height < 0.9 * whole[2] * whole[3]:
        marks.rules += [(left, bottom, right, bottom), (left, top, right, top)]
        marks.rules += [(left, bottom, left, top), (right, bottom, right, top)]


def _subpaths(pointer: Any, count: int, matrix: _Matrix | None) -> Iterator[Box]:
    """Boxes of a path's rectangles and straight pieces. Some programs draw all lines of a table as one path."""
    import pypdfium2.raw as raw

    whole = _product(_matrix(pointer), matrix)
    x, y = ctypes.c_float(), ctypes.c_float()
    points: list[tuple[float, float]] = []
    for n in range(count):
        segment = raw.FPDFPath_GetPathSegment(pointer, n)
        if raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_MOVETO:
            yield from _pieces(points)
            points = []
        if raw.FPDFPathSegment_GetPoint(segment, x, y):
            points.append(
                (whole[0] * x.value + whole[2] * y.value + whole[4], whole[1] * x.value + whole[3] * y.value + whole[5])
            )
    yield from _pieces(points)


def _pieces(points: list[tuple[float, float]]) -> Iterator[Box]:
    """One box for a rectangle, or one for each straight piece of another line."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    is_rectangle = len(points) in (4, 5) and len({round(x) for x in xs}) <= 2 and len({round(y) for y in ys}) <= 2
    if is_rectangle:
        yield min(xs), min(ys), max(xs), max(ys)
        return
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if abs(x0 - x1) <= 0.5 or abs(y0 - y1) <= 0.5:
            yield min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
