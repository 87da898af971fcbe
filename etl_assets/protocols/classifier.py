"""Texts and labels in, scores out: what classifies, wherever it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a set. ``description`` says in words what it stands for, ``keywords`` how texts put it.

    A keyword is a word or phrase, found as whole words; ``*`` at its end stands for any ending. One that begins with
    two capitals is an abbreviation and found as written; any other is found in any case.
    """

    name: str
    description: str = ""
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels that are decided together, each by itself: a text may have several of them, or none.

    ``name`` is what they are shown under (``threat``, ``sector``); a score of ``threshold`` (0 to 1) or more is a yes.
    """

    name: str
    labels: tuple[Label, ...]
    threshold: float = 0.6


class Classifier(Protocol):
    """Every method may raise TransientError or PermanentError."""

    @property
    def name(self) -> str:
        """Which classifier it is, with its version, as records name it."""
        ...

    def scores(self, texts: Sequence[str], labels: LabelSet) -> Sequence[Sequence[float]]:
        """For each text, in the order given, one score in [0, 1] for each label, in theirs. An empty text scores 0."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """One request to a vendor: which of the texts that are given it holds, and the tokens that it is charged for."""

    texts: range
    tokens: int


@runtime_checkable
class HostedClassifier(Classifier, Protocol):
    """A classifier that is paid for by the token, and keeps what it was answered, tenant by tenant."""

    def for_scope(self, scope: str) -> "HostedClassifier":
        """The same classifier for another tenant: what is kept for one is never seen by another."""
        ...

    def known(self, texts: Sequence[str], labels: LabelSet) -> Sequence[Sequence[float] | None]:
        """For each text the scores that are kept, ``None`` where it would have to be sent. Nothing is sent."""
        ...

    def requests(self, texts: Sequence[str], labels: LabelSet) -> Sequence[Asking]:
        """The requests that ``scores`` makes of texts none of which is kept, in their order. Nothing is sent."""
        ...
