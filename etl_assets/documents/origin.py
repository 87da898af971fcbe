"""A tree of what something came from, as plain values: what lineage gives, whatever it is printed as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from etl_assets.stages.spec import Json


@dataclass(frozen=True, slots=True)
class Origin:
    """One thing and what it was made of. ``kind`` is ``hit``, ``chunk``, ``entity``, ``document``, ``partition``,
    ``publication``, ``output``, ``original`` or ``object``; ``name`` is unique among things of its kind.
    """

    kind: str
    name: str
    facts: Mapping[str, Json] = field(default_factory=dict)
    sources: tuple[Origin, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """``kind``, ``name``, every fact under its name, and ``from``, which lists the sources in the same form."""
        return {
            "kind": self.kind, "name": self.name, **self.facts, "from": [one.as_json() for one in self.sources],
        }  # fmt: skip

    def walk(self) -> Iterator[Origin]:
        """This and everything below it, from the top down."""
        yield self
        for one in self.sources:
            yield from one.walk()

    @property
    def problems(self) -> list[str]:
        """What of it could not be confirmed by the bytes that are stored."""
        found: list[str] = []
        for one in self.walk():
            said = one.facts.get("problems")
            if isinstance(said, list):
                found += [str(problem) for problem in said]
        return list(dict.fromkeys(found))


def instant(at: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
