"""Small drawings as SVG text: bars, a matrix, a graph. No script, link, font or network; every word is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from etl_assets.search.safe_text import safe

INK, MUTED, LINE, BAR = "#1b2733", "#5b6b7a", "#d5dde5", "#2f6f9f"
COLOURS: Mapping[str, str] = {
    "group": "#b3403a", "malware": "#8a4fa3", "tool": "#b0741a", "campaign": "#a8476f", "technique": "#2f6f9f",
    "cve": "#3c7d4c", "vulnerability": "#3c7d4c", "organisation": "#4a5fae", "location": "#2b8a86",
    "product": "#7a6a2f", "sector": "#5d7f2b",
}  # fmt: skip
"""By entity type; others are grey."""

_FONT = "font-family='system-ui,sans-serif' font-size='12'"
_LONGEST = 34


def colour_of(entity_type: str) -> str:
    """The colour in which things of a type are shown."""
    return COLOURS.get(entity_type, MUTED)


def bars(title: str, rows: Sequence[tuple[str, float]], *, colours: Sequence[str] = ()) -> str:
    """A bar to the right for each (label, value), in the order given; the value stands at its end."""
    width, left, high = 640, 230, 22
    most = max((value for _, value in rows), default=0.0) or 1.0
    parts = []
    for at, (label, value) in enumerate(rows):
        y = 34 + at * high
        long = max(1.0, (width - left - 70) * value / most)
        colour = colours[at] if at < len(colours) else BAR
        parts.append(_text(left - 8, y + 14, shortened(label), anchor="end"))
        parts.append(f"<rect x='{left}' y='{y + 3}' width='{long:.1f}' height='14' rx='2' fill='{colour}'/>")
        parts.append(_text(left + long + 6, y + 14, _number(value), fill=MUTED))
    return _drawing(title, width, 40 + max(len(rows), 1) * high, parts if rows else [_nothing()])


def columns(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """A column for each (label, value) from left to right, such as months; every label that has room is written."""
    width, high, base = 640, 150, 190
    most = max((value for _, value in rows), default=0.0) or 1.0
    step = (width - 40) / max(len(rows), 1)
    every = max(1, math.ceil(len(rows) * 56 / (width - 40)))
    parts = [f"<line x1='20' y1='{base}' x2='{width - 20}' y2='{base}' stroke='{LINE}'/>"]
    for at, (label, value) in enumerate(rows):
        x, tall = 20 + at * step, high * value / most
        parts.append(
            f"<rect x='{x + step * 0.1:.1f}' y='{base - tall:.1f}' width='{max(step * 0.8, 1):.1f}' "
            f"height='{tall:.1f}' fill='{BAR}'><title>{safe(label)}: {_number(value)}</title></rect>"
        )
        if at % every == 0:
            parts.append(_text(x + step / 2, base + 16, label, anchor="middle", fill=MUTED))
    parts.append(_text(20, base - high - 6, _number(most) if rows else "", fill=MUTED))
    return _drawing(title, width, base + 28, parts if rows else [_nothing()])


def matrix(title: str, names: Sequence[str], counts: Mapping[tuple[int, int], int]) -> str:
    """How often two of ``names`` come together: a square for each pair, darker for more; ``counts`` by (low, high)."""
    cell, left, top = 26, 210, 190
    most = max(counts.values(), default=0) or 1
    side = cell * len(names)
    parts = []
    for at, name in enumerate(names):
        middle = at * cell + cell / 2 + 4
        parts.append(_text(left - 8, top + middle, shortened(name), anchor="end"))
        turned = f"transform='rotate(-60 {left + middle:.0f} {top - 8})'"
        parts.append(_text(left + middle, top - 8, shortened(name), more=turned))
    for (one, other), count in sorted(counts.items()):
        share = 0.12 + 0.88 * count / most
        for x, y in ((one, other), (other, one)):
            parts.append(
                f"<rect x='{left + x * cell}' y='{top + y * cell}' width='{cell - 2}' height='{cell - 2}' "
                f"fill='{BAR}' fill-opacity='{share:.2f}'><title>{safe(names[one])} and {safe(names[other])}: "
                f"{count}</title></rect>"
            )
    return _drawing(title, left + side + 90, top + side + 10, parts if counts else [_nothing()])


def graph(title: str, nodes: Sequence[tuple[str, str]], edges: Sequence[tuple[int, int, str, bool]]) -> str:
    """Nodes (name, entity type) on a ring, and arrows (from, to, kind, denied) between them; a denied one is dashed."""
    width, high = 860, max(420, min(900, 26 * len(nodes) + 200))
    cx, cy, rx, ry = width / 2, high / 2 + 10, width / 2 - 190, high / 2 - 50
    turn = [2 * math.pi * at / max(len(nodes), 1) - math.pi / 2 for at in range(len(nodes))]
    places = [(cx + rx * math.cos(angle), cy + ry * math.sin(angle)) for angle in turn]
    parts = [
        "<defs><marker id='end' viewBox='0 0 8 8' refX='8' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        f"<path d='M0 0 L8 4 L0 8 z' fill='{MUTED}'/></marker></defs>"
    ]
    parts += [_arrow(places[one], places[other], (cx, cy), kind, denied) for one, other, kind, denied in edges]
    for (x, y), (name, kind) in zip(places, nodes, strict=True):
        anchor, shift = ("start", 10) if x > cx + 5 else ("end", -10) if x < cx - 5 else ("middle", 0)
        down = 4 if shift else (-12 if y < cy else 20)
        parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='6' fill='{colour_of(kind)}'/>")
        parts.append(_text(x + shift, y + down, shortened(name), anchor=anchor))
    return _drawing(title, width, int(high + 20), parts if nodes else [_nothing()])


def shortened(label: str) -> str:
    """At most 34 characters of a label, on one line."""
    line = " ".join(label.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _arrow(
    start: tuple[float, float], end: tuple[float, float], centre: tuple[float, float], kind: str, denied: bool
) -> str:
    (x1, y1), (x2, y2) = start, end
    # Bent towards the centre, so that arrows between neighbours do not run along the ring.
    # And to the right of its way, so that the one back, or the denied one, is another line.
    side = (26 if denied else 12) / (math.dist(start, end) or 1.0)
    bx = (x1 + x2) / 2 * 0.6 + centre[0] * 0.4 - (y2 - y1) * side
    by = (y1 + y2) / 2 * 0.6 + centre[1] * 0.4 + (x2 - x1) * side
    far = math.dist((bx, by), (x2, y2)) or 1.0
    x2, y2 = x2 - (x2 - bx) / far * 9, y2 - (y2 - by) / far * 9
    dash = " stroke-dasharray='5 4'" if denied else ""
    said = f"{kind}, denied" if denied else kind
    middle = ((x1 + x2) / 4 + bx / 2, (y1 + y2) / 4 + by / 2)
    return (
        f"<path d='M{x1:.1f} {y1:.1f} Q{bx:.1f} {by:.1f} {x2:.1f} {y2:.1f}' fill='none' stroke='{MUTED}' "
        f"stroke-opacity='.6'{dash} marker-end='url(#end)'><title>{safe(said)}</title></path>"
        + _text(middle[0], middle[1] - 3, said, anchor="middle", fill=MUTED, more="font-size='9'")
    )


def _drawing(title: str, width: float, high: float, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {high}' width='{width}' height='{high}' "
        f"role='img' aria-label='{safe(title)}' {_FONT}>"
        f"<rect width='100%' height='100%' fill='#ffffff'/>"
        + _text(10, 20, title, more="font-weight='600'")
        + "".join(parts)
        + "</svg>"
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = INK, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{fill}' {more}>{safe(words)}</text>"


def _nothing() -> str:
    return _text(20, 50, "nothing to show", fill=MUTED)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.2f}"
