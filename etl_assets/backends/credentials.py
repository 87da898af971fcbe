"""The credential that calls of one backend carry, and what keeps it out of every message."""

import threading

from etl_assets.protocols.secrets import Credential, Secrets


class FixedCredential:
    """A text that does not change while the process lives."""

    def __init__(self, text: str, *, source: str) -> None:
        self._text = text
        self.source = source

    def __repr__(self) -> str:
        return f"FixedCredential(source={self.source!r})"

    def value(self) -> str:
        """The text."""
        return self._text

    def renewed(self, refused: str) -> str | None:
        """None, unless another text than this one was refused."""
        return self._text if self._text != refused else None


class StoredCredential:
    """A secret of a store; it is read again when a backend refuses it, which is how a rotation is noticed."""

    def __init__(self, secrets: Secrets, name: str) -> None:
        self._secrets = secrets
        self._name = name
        self._rereading = threading.Lock()
        self.source = name

    def __repr__(self) -> str:
        return f"StoredCredential(source={self.source!r})"

    def value(self) -> str:
        """The secret's text now; raises as ``Secrets.get``."""
        return self._secrets.get(self._name)

    def renewed(self, refused: str) -> str | None:
        """The secret as the store has it now, if that is another text; raises as ``Secrets.get``."""
        with self._rereading:  # many calls are refused at once; the first one reads for all
            kept = self._secrets.get(self._name)
            found = kept if kept != refused else self._secrets.reread(self._name).text
        return found if found != refused else None


def credential_of(given: str | Credential, *, source: str) -> Credential:
    """``given`` itself, or a text as a credential that never changes; ``source`` tells people where it is set."""
    return FixedCredential(given, source=source) if isinstance(given, str) else given
