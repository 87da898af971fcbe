"""Credentials by name, with the version that was read, so that a rotated one is noticed without a restart."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SecretValue:
    """One version of a secret. Its text is in no repr, and so in no message that shows the record.

    ``version`` is the store's own, "" where it has none. ``lease_s`` is for how long, in seconds from reading, the
    store promises it; ``None`` without a promise.
    """

    name: str
    text: str = field(repr=False)
    version: str = ""
    lease_s: float | None = None

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(f"secret {self.name} must not leave its process: read it again where it is needed")


class Secrets(Protocol):
    """Names are the store's own: a variable, ``path#field`` in Vault, ``id`` or ``id#field`` in Secrets Manager."""

    def get(self, name: str) -> str:
        """The secret's text now.

        Raises:
            ConfigError: there is no such secret.
            PermanentError: the store refuses to show it.
            TransientError: the store does not answer.
        """
        ...

    def current(self, name: str) -> SecretValue:
        """The secret with its version; raises as ``get``."""
        ...

    def reread(self, name: str) -> SecretValue:
        """The secret as the store has it now, whatever was kept: for when a kept one was refused. Raises as ``get``."""
        ...


class Credential(Protocol):
    """What calls of one backend carry. ``source`` tells people where it is set; it is no secret."""

    @property
    def source(self) -> str:
        """The variable, or the name in the store, where a person sets it; no secret."""
        ...

    def value(self) -> str:
        """The text to send now; "" for none. Raises as ``Secrets.get``."""
        ...

    def renewed(self, refused: str) -> str | None:
        """Another text than ``refused``, which the backend did not accept; None when there is none."""
        ...


class RotatingSecrets(Secrets, Protocol):
    """A store that can hold a new value beside the one in use."""

    def rotate(self, name: str, new_value: str, verify: Callable[[str], None]) -> SecretValue:
        """Write ``new_value`` beside the value in use, ``verify`` it as read back, and only then put it into use.

        Until ``verify`` returns, and for ever when it raises, readers get the value that was in use before.

        Raises:
            Whatever ``verify`` raises, once the new value is gone again.
            TransientError: somebody else changed the secret meanwhile, or the store does not answer; run it again.
            PermanentError: no right to write.
        """
        ...
