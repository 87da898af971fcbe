"""The four kinds of failure and nothing else: what may be retried, what may not, and whose fault it is.

Every message says what happened, to which document, partition or row, and what to do about it.
"""


class EtlAssetsError(Exception):
    """Base of every error this package raises on purpose."""


class TransientError(EtlAssetsError):
    """The same call may succeed later: a time-out, a lost connection, a lease held by somebody else."""


class PermanentError(EtlAssetsError):
    """The outside refused, and will refuse again: a bad credential, a missing index, a full disk."""


class ConfigError(EtlAssetsError):
    """A person wrote a setting that cannot work. The message names it, and where it stands."""


class DataError(EtlAssetsError):
    """One document or row cannot be processed. It goes to quarantine; its neighbours go on.

    ``reason`` is a short stable code, such as ``encrypted`` or ``time-limit``, that people filter by.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_data_error, (str(self), self.reason))


def _data_error(message: str, reason: str) -> DataError:
    return DataError(message, reason=reason)
