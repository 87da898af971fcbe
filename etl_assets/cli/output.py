"""How the command prints: text for people, JSON for programs. Nothing that a terminal would obey is ever printed."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def printable(text: str) -> str:
    """``text`` in one line, with control characters and undecodable bytes as escapes such as ``\\n`` and ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def say(*lines: str) -> None:
    """Lines for people, on standard output."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """One line on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def json_line(record: Mapping[str, Any]) -> None:
    """One object in one line; lone surrogates come escaped, so that every reader can decode it."""
    text = json.dumps(record, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode() if _has_surrogate(text) else text
    sys.stdout.write(text + "\n")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def console(*, stderr: bool = False) -> "Console":
    """A rich console that takes text as it is: no markup, no highlighting; plain where there is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, numeric: Sequence[str] = ()) -> None:
    """Rows under headings, in columns; ``numeric`` names those that are set to the right. No rows print nothing."""
    if not rows:
        return
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[at]) for line in [list(headings), *cells]) for at in range(len(headings))]
    right = [heading in numeric for heading in headings]
    for number, line in enumerate([list(headings), *cells]):
        padded = (
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        )  # fmt: skip
        text = "  ".join(padded).rstrip()
        say(f"\x1b[1m{text}\x1b[0m" if number == 0 and sys.stdout.isatty() else text)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return printable(str(value))


def shortened(text: str, width: int) -> str:
    """``text`` on one line, white space folded, cut at ``width`` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def instant(at: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, to the second."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
