"""Documents within a document: attachments of mails and members of archives, as pages after its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from etl_assets.documents.parsing.chain import NOT_UNDERSTOOD
from etl_assets.documents.parsing.document import MAX_OUTLINE, Extract, Heading, Page, Source, Table, TextBudget
from etl_assets.documents.parsing.text import one_line
from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

_COMMON = ("encrypted", "nesting", "too-large")
"""Reasons that a document has where all its members have them: what is to be done about it is the same."""


class Members:
    """Collects the pages of members. One that cannot be read costs itself only, and is on record with its reason."""

    def __init__(self, parse_part: Callable[[Source], Extract], budget: TextBudget, pages: list[Page]) -> None:
        self._parse, self._budget = parse_part, budget
        self.pages = pages
        self.records: list[Json] = []
        self.read_count = self.unread_count = 0
        self._refusals: list[tuple[str, DataError]] = []

    def add(self, source: Source, *, is_titled: bool = False) -> None:
        """Read a member. ``is_titled``: its first page begins with its name, a heading above all of its own.

        Raises:
            DataError: ``too-large``, when all members together have more text than any document should.
        """
        try:
            extract = self._parse(source)
        except DataError as e:
            self.refuse(source.name, e, media_type=source.media_type)
        except NOT_UNDERSTOOD as e:
            error = DataError(f"cannot be read ({type(e).__name__}: {e})", reason="corrupt")
            self.refuse(source.name, error, media_type=source.media_type)
        except RecursionError:
            error = DataError("is nested deeper than any document", reason="nesting")
            self.refuse(source.name, error, media_type=source.media_type)
        else:
            self.keep(source.name, extract, media_type=source.media_type, is_titled=is_titled)

    def keep(self, name: str, extract: Extract, *, media_type: str | None, is_titled: bool = False) -> None:
        """Take the pages of a member that was read. ``is_titled`` and Raises: as ``add``."""
        self._budget.spend(sum(len(page.text) for page in extract.pages))
        first = len(self.pages) + 1
        for index, page in enumerate(extract.pages):
            numbered = replace(page, number=first + index)
            self.pages.append(_titled(numbered, name, has_line=index == 0) if is_titled else numbered)
        self.read_count += 1
        self._record({"name": name, "media_type": media_type, "first_page": first, "pages": len(extract.pages)})

    def refuse(self, name: str, error: DataError, *, media_type: str | None = None) -> None:
        """Put a member on record that is not read, and why."""
        self._refusals = [*self._refusals[:MAX_OUTLINE], (name, error)]
        self.unread_count += 1
        self._record({"name": name, "media_type": media_type, "reason": error.reason})

    def none_read(self) -> DataError:
        """What to say where no member could be read: why the first was not, and its reason where it is that of all."""
        if not self._refusals:
            return DataError("has no member that can be read (it is empty)", reason="no-text")
        name, error = self._refusals[0]
        more = f", and {len(self._refusals) - 1} more" if len(self._refusals) > 1 else ""
        is_common = error.reason in _COMMON and all(e.reason == error.reason for _, e in self._refusals)
        problem = f"has no member that can be read ({one_line(name)}: {error}{more})"
        return DataError(problem, reason=error.reason if is_common else "no-text")

    def facts(self, name: str) -> dict[str, Json]:
        """The records under ``name``, and how many members were not read where that is over their number."""
        facts: dict[str, Json] = {name: self.records} if self.records else {}
        return {**facts, "unread_count": self.unread_count} if len(self.records) == MAX_OUTLINE else facts

    def _record(self, record: Json) -> None:
        if len(self.records) < MAX_OUTLINE:
            self.records.append(record)


def _titled(page: Page, name: str, *, has_line: bool) -> Page:
    """A page whose headings stand below the member's name, which is its first line where ``has_line``."""
    title = one_line(name) if has_line else ""
    shift = len(title) + 2 if title else 0
    own = [Heading(1, 0, len(title))] if title else []
    lower = [replace(h, level=min(9, h.level + 1), start=h.start + shift, end=h.end + shift) for h in page.headings]
    tables = tuple(_moved(table, shift) for table in page.tables) if shift else page.tables
    text = f"{title}\n\n{page.text}" if title and page.text else title or page.text
    return replace(page, text=text, headings=(*own, *lower), tables=tables)


def _moved(table: Table, shift: int) -> Table:
    rows = tuple(tuple(replace(c, start=c.start + shift, end=c.end + shift) for c in row) for row in table.rows)
    return replace(table, start=table.start + shift, end=table.end + shift, rows=rows)
