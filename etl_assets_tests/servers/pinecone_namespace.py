"""What the Pinecone stand-in keeps of one namespace: a log of writes, and how far queries have followed it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Metadata = Mapping[str, Any]
Test = Callable[[Metadata], bool]

LONGEST_LIST = 10_000


class BadFilter(Exception):
    """A metadata filter that Pinecone refuses."""


@dataclass(frozen=True)
class Record:
    """One record as it was upserted; values are kept as float32, as Pinecone does."""

    values: NDArray[np.float32]
    metadata: Metadata


@dataclass
class View:
    """The records after part of the log."""

    records: dict[str, Record] = field(default_factory=dict)
    applied: int = 0


Change = Callable[[dict[str, Record]], None]


@dataclass
class Namespace:
    """``stored`` (fetch, list) follows the log at once; ``indexed`` (query) by half of the rest each ``lag`` queries.

    Log sequence numbers count the writes of the namespace, from 1.
    """

    lag: int = 0
    log: list[Change] = field(default_factory=list)
    stored: View = field(default_factory=View)
    indexed: View = field(default_factory=View)
    _queries: int = 0

    def write(self, change: Change) -> int:
        """Append to the log; its log sequence number."""
        self.log.append(change)
        self._follow(self.stored, len(self.log))
        return len(self.log)

    def queried(self) -> View:
        """What a query sees, a little later than what is stored."""
        if self.lag == 0:
            self._follow(self.indexed, len(self.log))
        else:
            self._queries += 1
            if self._queries % self.lag == 0:
                behind = len(self.log) - self.indexed.applied
                self._follow(self.indexed, len(self.log) - behind // 2)
        return self.indexed

    def _follow(self, view: View, target: int) -> None:
        for change in self.log[view.applied : target]:
            change(view.records)
        view.applied = target


def matches(view: View, vector: NDArray[np.float32], top_k: int, test: Test | None) -> list[tuple[str, float]]:
    """(id, cosine), best first; of one score in the order of their hashes, as a store that promises no order."""
    found = [(one, record) for one, record in view.records.items() if test is None or test(record.metadata)]
    if not found:
        return []
    table = np.stack([record.values for _, record in found]).astype(np.float64)
    norms = np.linalg.norm(table, axis=1) * np.linalg.norm(vector.astype(np.float64))
    scores = table @ vector.astype(np.float64) / norms
    order = sorted(range(len(found)), key=lambda i: (-round(scores[i], 12), hash(found[i][0])))
    return [(found[i][0], float(scores[i])) for i in order[:top_k]]


def compiled(condition: Any) -> Test:
    """A metadata filter as a function. Operators: docs.pinecone.io, "Metadata filter expressions".

    Raises:
        BadFilter: Pinecone would refuse it.
    """
    if not isinstance(condition, dict) or not condition:
        raise BadFilter("a filter must be an object with at least one condition")
    tests = [_clause(name, wanted) for name, wanted in condition.items()]
    return lambda metadata: all(test(metadata) for test in tests)


def _clause(name: str, wanted: Any) -> Test:
    if name in ("$and", "$or"):
        if not isinstance(wanted, list) or not wanted:
            raise BadFilter(f"{name} needs a list of conditions")
        parts = [compiled(part) for part in wanted]
        combine = all if name == "$and" else any
        return lambda metadata: combine(part(metadata) for part in parts)
    if name.startswith("$"):
        raise BadFilter(f"{name} is no operator here")
    if not isinstance(wanted, dict):
        wanted = {"$eq": wanted}
    tests = [_comparison(operator, value) for operator, value in wanted.items()]
    return lambda metadata: all(test(metadata.get(name)) for test in tests)


def _comparison(operator: str, wanted: Any) -> Callable[[Any], bool]:
    if operator in ("$in", "$nin"):
        if not isinstance(wanted, list) or len(wanted) > LONGEST_LIST:
            raise BadFilter(f"{operator} needs a list of at most {LONGEST_LIST} values")
        if any(not isinstance(value, str | int | float) or isinstance(value, bool) for value in wanted):
            raise BadFilter(f"{operator} takes strings and numbers")
        values = frozenset(wanted)
        return lambda held: values.isdisjoint(_values(held)) is (operator == "$nin")
    if operator in ("$eq", "$ne"):
        return lambda held: (wanted in _values(held)) is (operator == "$eq")
    if operator == "$exists":
        return lambda held: (held is not None) is bool(wanted)
    if operator not in ("$gt", "$gte", "$lt", "$lte"):
        raise BadFilter(f"{operator} is no operator")
    if not isinstance(wanted, int | float) or isinstance(wanted, bool):
        raise BadFilter(f"{operator} compares numbers")
    compare: dict[str, Callable[[float], bool]] = {
        "$gt": lambda held: held > wanted, "$gte": lambda held: held >= wanted,
        "$lt": lambda held: held < wanted, "$lte": lambda held: held <= wanted,
    }  # fmt: skip
    ordered = compare[operator]
    return lambda held: isinstance(held, int | float) and ordered(held)


def _values(held: Any) -> list[Any]:
    """A field holds one value or a list of strings, which matches by any of them."""
    return held if isinstance(held, list) else [held]
