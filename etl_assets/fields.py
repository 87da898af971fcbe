"""What a person may write for one setting: its kind, bounds, unit and meaning, whatever file or variable holds it.

Reading a setting turns its text into a value or says what is allowed instead; nothing here knows where the text stood.
"""

import math
import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from etl_assets.errors import ConfigError

_WHOLE = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
_REAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
_MAX_DIGITS = 18


class Kind(Protocol):
    """One kind of value."""

    @property
    def allowed(self) -> str:
        """What may be written, as the end of a sentence: ``a whole number from 1 to 9``."""
        ...

    def read(self, text: str) -> object:
        """The value that ``text`` stands for.

        Raises:
            ConfigError: it is none of this kind; the message is ``allowed``, or that and how to spell such a text.
        """
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """Decimal integers, both bounds in."""

    minimum: int
    maximum: int
    power_of_two: bool = False

    @property
    def allowed(self) -> str:
        """Both bounds, as the end of a sentence."""
        return f"a {'power of two' if self.power_of_two else 'whole number'} from {self.minimum} to {self.maximum}"

    def read(self, text: str) -> int:
        """The integer; underscores between digits are allowed. ConfigError outside the bounds."""
        # Bounded before int(): Python refuses to convert thousands of digits with an error of its own.
        if _WHOLE.fullmatch(text) is None or len(text) > _MAX_DIGITS:
            raise ConfigError(self.allowed)
        value = int(text)
        if not self.minimum <= value <= self.maximum or (self.power_of_two and value.bit_count() != 1):
            raise ConfigError(self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Real:
    """Finite decimal numbers, both bounds in."""

    minimum: float
    maximum: float

    @property
    def allowed(self) -> str:
        """Both bounds, as the end of a sentence."""
        return f"a number from {self.minimum:g} to {self.maximum:g}"

    def read(self, text: str) -> float:
        """The number. ConfigError outside the bounds, and for ``nan`` and ``inf``."""
        value = float(text) if _REAL.fullmatch(text) else math.nan
        if not self.minimum <= value <= self.maximum:
            raise ConfigError(self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """``true`` or ``false``, in the spellings of YAML 1.1, any case."""

    @property
    def allowed(self) -> str:
        """The two canonical spellings."""
        return "true or false"

    def read(self, text: str) -> bool:
        """The truth value. ConfigError for any other word."""
        value = _SWITCH.get(text.lower())
        if value is None:
            raise ConfigError(self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, as they are spelled."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """Every word, in the order given."""
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}" if len(self.words) > 1 else self.words[0]

    def read(self, text: str) -> str:
        """The word itself. ConfigError for any other."""
        if text not in self.words:
            raise ConfigError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class FolderPath:
    """A path, absolute or relative. ``~`` is refused: only a shell expands it, so a folder named ``~`` would appear."""

    @property
    def allowed(self) -> str:
        """What is refused of a path."""
        return "the path of a folder, without ~ and without control characters"

    def read(self, text: str) -> str:
        """The path itself, which need not exist. ConfigError if it is empty, begins with ~ or is not printable."""
        if not text or text.startswith("~") or not text.isprintable():
            raise ConfigError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Words:
    """Any printable text in one line, without blanks at its ends."""

    @property
    def allowed(self) -> str:
        """What is refused of a text."""
        return "a text in one line, without blanks at its ends"

    def read(self, text: str) -> str:
        """The text itself. ConfigError if it is empty, not printable, or has blanks at its ends."""
        if not text or not text.isprintable() or text != text.strip():
            raise ConfigError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Address:
    """A URL with a host, of one of some schemes. What is wrong with it is not shown: it may hold a password."""

    schemes: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """Every scheme, in the order given."""
        return f"an address that begins with {' or '.join(f'{scheme}://' for scheme in self.schemes)}, with a host"

    def read(self, text: str) -> str:
        """The URL itself. ConfigError for another scheme, no host, a port out of range, a blank, or an @ elsewhere
        than before the host: half of a password would be taken for the host, and be told as one.
        """
        try:
            parts = urlsplit(text)
            is_usable = parts.scheme in self.schemes and bool(parts.hostname) and (parts.port or 1) > 0
            is_usable = is_usable and text.count("@") == (parts.username is not None)
        except ValueError:
            is_usable = False
        if not is_usable or not text.isprintable() or " " in text:
            spelling = "; inside a password write %40 for @, %2F for / and %3A for :" if "@" in text else ""
            raise ConfigError(self.allowed + spelling)
        return text


@dataclass(frozen=True, slots=True)
class Matching:
    """Text of one form: ``pattern`` as a regular expression, ``form`` as people read it."""

    pattern: str
    form: str

    @property
    def allowed(self) -> str:
        """``form``."""
        return self.form

    def read(self, text: str) -> str:
        """The text itself. ConfigError if the pattern does not match the whole of it."""
        if re.fullmatch(self.pattern, text) is None:
            raise ConfigError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, of at most so many characters; spaces at its ends belong to it."""

    longest: int

    @property
    def allowed(self) -> str:
        """The greatest length, in characters."""
        return f"a text of 1 to {self.longest} characters in one line"

    def read(self, text: str) -> str:
        """The text itself. ConfigError if it is empty, too long in code points, or not printable."""
        if not 1 <= len(text) <= self.longest or not text.isprintable():
            raise ConfigError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for data, in the two forms that Dagster shows: an e-mail address or a team."""

    @property
    def allowed(self) -> str:
        """Both forms."""
        return "an e-mail address or team:NAME"

    def read(self, text: str) -> str:
        """The text itself. ConfigError if it is neither form."""
        if _EMAIL.fullmatch(text) is None and not (text.startswith("team:") and text[5:].strip()):
            raise ConfigError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: what it may hold, what it means, and the unit of its number ("" where there is none).

    ``many`` is a list of such values; ``optional`` admits ``null``, and ``unset`` says what that means. ``secret``
    values are shown nowhere, and may be named instead of given.
    """

    kind: Kind
    meaning: str
    unit: str = ""
    many: bool = False
    unset: str = ""
    secret: bool = False

    @property
    def optional(self) -> bool:
        """Whether it may be left without a value."""
        return bool(self.unset)

    @property
    def allowed(self) -> str:
        """What may be written for it, with its unit."""
        one = f"{self.kind.allowed}{f' ({self.unit})' if self.unit else ''}"
        each = f"a list, each {one}" if self.many else one
        return f"{each}, or null" if self.optional else each
