"""Which spans overlap a span, in time that does not grow with a page: tables of a million words are one page."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

_WIDTH = 256


class Span(Protocol):
    """``start`` and ``end`` in code points, ``end`` exclusive."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


S = TypeVar("S", bound=Span)


class Overlaps(Generic[S]):
    """Spans, found again by what they overlap. Spans are short, or few."""

    def __init__(self, spans: Iterable[S] = ()) -> None:
        self._buckets: dict[int, list[S]] = {}
        for one in spans:
            self.add(one)

    def add(self, one: S) -> None:
        """Take in one more span."""
        for bucket in range(one.start // _WIDTH, max(one.end - 1, one.start) // _WIDTH + 1):
            self._buckets.setdefault(bucket, []).append(one)

    def of(self, start: int, end: int) -> list[S]:
        """Those that overlap ``[start, end)``, in the order they were taken in; one may come twice."""
        return [
            one
            for bucket in range(start // _WIDTH, max(end - 1, start) // _WIDTH + 1)
            for one in self._buckets.get(bucket, ())
            if one.start < end and start < one.end
        ]
