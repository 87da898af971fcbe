"""Countries and regions by the names and adjectives that English texts use. Data: ``data/places.txt``."""

from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Place:
    """``code`` is ISO 3166-1 alpha-2 for a country, else the name of a region in small letters with hyphens."""

    code: str
    name: str

    @property
    def is_country(self) -> bool:
        """Whether it is a state or territory with a code of its own."""
        return len(self.code) == 2


@cache
def places() -> dict[str, Place]:
    """Every spelling as it is written, capitals included: ``US`` is a country, ``us`` a word."""
    found: dict[str, Place] = {}
    text = resources.files(__package__).joinpath("data/places.txt").read_text("utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            code, name, others = line.split("|")
            place = Place(code, name)
            for spelling in (name, *filter(None, others.split(";"))):
                found[spelling] = place
    return found


def place_of(written: str) -> Place | None:
    """The country or region that a name or an adjective means, ``the`` and a possessive not counted; else None."""
    plain = " ".join(written.split()).replace("\u2019", "'").removeprefix("the ").removeprefix("The ")
    for spelling in (plain, plain.removesuffix("'s"), plain.replace(". ", "."), f"{plain}."):
        if spelling in places():
            return places()[spelling]
    if plain.isupper() and len(plain) > 4:
        return places().get(plain.title())
    return None
