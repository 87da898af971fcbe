"""Keys of encryption at rest: data keys that encrypt blobs, and the master keys that wrap data keys."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

KEY_BYTES = 32
"""Length of every key: AES-256."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """One key that encrypts blobs, unwrapped. ``key_id`` is 32 hex digits; ``secret`` is in no repr."""

    key_id: str
    scope: str
    secret: bytes = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"data key {self.key_id} must not leave its process: unwrap it again where it is needed")


@dataclass(frozen=True, slots=True)
class Wrapping:
    """A data key as a master key has encrypted it.

    ``master`` names the master key (never its bytes) and ``version`` its version, "" where the store shows none.
    """

    master: str
    version: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as the ledger keeps it. ``wrapped_at`` is Unix seconds UTC by the ledger's clock."""

    key_id: str
    scope: str
    wrapping: Wrapping
    wrapped_at: float = 0.0

    @property
    def context(self) -> str:
        """What its wrapping is bound to: it does not open under another id or for another scope."""
        return context_of(self.key_id, self.scope)


def context_of(key_id: str, scope: str) -> str:
    """What the wrapping of a data key is bound to."""
    return f"etl-assets data key {key_id} of {scope}"


class MasterKey(Protocol):
    """A key that wraps data keys and that this program does not keep."""

    @property
    def label(self) -> str:
        """What a person set, to be shown in messages: a path, a key id. No secret."""
        ...

    def opens(self, master: str) -> bool:
        """Whether what ``master`` has wrapped may be given to ``unwrap``."""
        ...

    def current(self) -> tuple[str, str]:
        """(master, version) of what is wrapped now.

        Raises:
            ConfigError, PermanentError, TransientError: as for ``wrap``.
        """
        ...

    def wrap(self, secret: bytes, context: str) -> Wrapping:
        """``secret``, encrypted and bound to ``context``.

        Raises:
            ConfigError: there is no such key.
            PermanentError: its use is refused, or it is disabled.
            TransientError: its store does not answer.
        """
        ...

    def unwrap(self, wrapping: Wrapping, context: str) -> bytes:
        """The secret of a wrapping.

        Raises:
            ConfigError, PermanentError, TransientError: as for ``wrap``; PermanentError also when the wrapping was
                altered or belongs to another context.
        """
        ...


class DataKeyRows(Protocol):
    """Where wrapped data keys are kept: one for each scope."""

    def by_scope(self, scopes: Collection[str]) -> Mapping[str, WrappedKey]:
        """The keys of these scopes, by scope; a scope without one is left out."""
        ...

    def by_id(self, key_id: str) -> WrappedKey | None:
        """The key of this id; ``None`` when there is none, or none any more."""
        ...

    def enter(self, keys: Sequence[WrappedKey]) -> None:
        """Add keys, committed on return. A scope that has one keeps it."""
        ...

    def rewrap(self, key_id: str, before: Wrapping, after: Wrapping) -> bool:
        """Replace a wrapping that still is ``before``; whether it was."""
        ...

    def destroy(self, scope: str) -> str | None:
        """Remove the key of a scope; its id, or ``None`` when it had none."""
        ...

    def all(self) -> Iterator[WrappedKey]:
        """Every key, in order of ids."""
        ...
