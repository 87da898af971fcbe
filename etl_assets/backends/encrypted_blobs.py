"""Blobs that are encrypted before another store of blobs sees them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from etl_assets.backends.envelope import Envelope
from etl_assets.backends.local_files import Scratch, refuse
from etl_assets.backends.sealed_files import plain_size, read_header, seal, unseal
from etl_assets.errors import ConfigError
from etl_assets.protocols.keys import DataKey
from etl_assets.protocols.objects import Blobs

ENDING = ".enc"
"""What an encrypted blob's key in the inner store ends with; a key without it holds plain bytes of earlier days."""


class EncryptedBlobs:
    """Blobs (see ``protocols.objects``) in ``inner``, each encrypted with the data key of its scope.

    Sizes and names are those of the plain bytes. What was stored before encryption was set is read as it is; see
    ``encrypt_existing``. Plain bytes exist below ``plain``, in folders of mode 0700 and for the time of a context;
    what a killed process left there is removed by the next one.

    Args:
        scope_of: the scope of a key, whose data key encrypts it.
        plain: a folder on this machine.
    """

    def __init__(self, inner: Blobs, keys: Envelope, scope_of: Callable[[str], str], *, plain: Path) -> None:
        self.inner = inner
        self.envelope = keys
        self._scope_of = scope_of
        self._plain = Scratch(plain)

    def put(self, key: str, source: Path) -> int:
        """Encrypt ``source``, move the result in under ``key``, remove ``source``; the size of ``source`` in bytes.

        Raises:
            PermanentError, FileNotFoundError: as the inner store's ``put``.
            ConfigError: ``key`` is no key, or the master key cannot be used as it is set.
            PermanentError, TransientError: the master key is refused, or its store does not answer.
        """
        _refuse_bad(key)
        (data_key,) = self.envelope.for_writing([self._scope_of(key)])
        with self.inner.scratch() as folder:
            size = _sealed(source, folder / "sealed", data_key, key)
            self.inner.put(key + ENDING, folder / "sealed")
        source.unlink(missing_ok=True)
        return size

    def put_all(self, items: Sequence[tuple[str, Path]]) -> None:
        """``put`` each (key, source), together where the inner store can; raises as ``put``.

        A source is gone once it is encrypted, also when the store then fails.
        """
        if not items:
            return
        for key, _ in items:
            _refuse_bad(key)
        data_keys = self.envelope.for_writing([self._scope_of(key) for key, _ in items])
        with self.inner.scratch() as folder:
            sealed = []
            for number, ((key, source), data_key) in enumerate(zip(items, data_keys, strict=True)):
                _sealed(source, folder / str(number), data_key, key)
                sealed.append((key + ENDING, folder / str(number)))
                # Before the inner store syncs its volume, or the plain bytes would be brought to the disk too.
                source.unlink(missing_ok=True)
            self.inner.put_all(sealed)

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """A file with the plain bytes of ``key``; it must not be written, and is removed with the context.

        Raises:
            FileNotFoundError: there is no such key.
            DataError: what is stored was altered (``altered``), or its key was destroyed (``key-destroyed``).
            ConfigError, PermanentError, TransientError: as for ``put``.
        """
        _refuse_bad(key)
        with self._plain.folder() as folder:
            try:
                self._decrypt(key, folder / "plain")
            except FileNotFoundError:
                if key.endswith(ENDING):
                    raise
            else:
                yield folder / "plain"
                return
        with self.inner.local(key) as path:
            yield path

    def exists(self, key: str) -> bool:
        """Whether ``key`` is there, encrypted or not."""
        _refuse_bad(key)
        return self.inner.exists(key + ENDING) or (not key.endswith(ENDING) and self.inner.exists(key))

    def delete(self, key: str) -> None:
        """Remove ``key``, encrypted or not. A missing one is no error."""
        _refuse_bad(key)
        self.inner.delete(key + ENDING)
        if not key.endswith(ENDING):
            self.inner.delete(key)

    def keys(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(key, size of the plain bytes, last modified as Unix seconds) of everything under ``prefix``.

        A key that is there twice, as ``encrypt_existing`` leaves it when it is killed, comes twice.
        """
        for key, size, modified in self.inner.keys(prefix):
            if not key.endswith(ENDING):
                yield key, size, modified
            elif (name := key.removesuffix(ENDING)).startswith(prefix):
                yield name, plain_size(size), modified

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder for plain bytes, removed with the context."""
        return self._plain.folder()

    def encrypt_existing(self) -> Iterator[tuple[str, int]]:
        """Encrypt what is stored plain, blob by blob; (key, size in bytes) of each once it is done.

        It may be interrupted and called again. Nobody may be writing meanwhile.
        """
        plain = [key for key, _, _ in self.inner.keys("") if not key.endswith(ENDING)]
        for key in plain:
            size = 0
            if not self.inner.exists(key + ENDING):
                (data_key,) = self.envelope.for_writing([self._scope_of(key)])
                with self.inner.scratch() as folder, self.inner.local(key) as path:
                    size = _sealed(path, folder / "sealed", data_key, key)
                    self.inner.put(key + ENDING, folder / "sealed")
            self.inner.delete(key)
            yield key, size

    def plain_count(self) -> int:
        """How many blobs are stored plain."""
        return sum(1 for key, _, _ in self.inner.keys("") if not key.endswith(ENDING))

    def _decrypt(self, key: str, target: Path) -> None:
        with self.inner.local(key + ENDING) as path, open(path, "rb", buffering=0) as sealed:
            header = read_header(sealed, key)
            data_key = self.envelope.for_reading(header.key_id, key)
            try:
                unseal(sealed, header, target, data_key, key)
            except FileNotFoundError:
                raise
            except OSError as e:
                refuse(e, f"decrypting {key}")


def _sealed(source: Path, target: Path, data_key: DataKey, key: str) -> int:
    try:
        return seal(source, target, data_key, key)
    except FileNotFoundError:
        raise
    except OSError as e:
        refuse(e, f"encrypting {key}")


def _refuse_bad(key: str) -> None:
    """Here, since with the ending a name such as ".." would be one that the inner store takes."""
    if "\x00" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise ConfigError(f"blob key {key!r}: use names joined by single slashes, none of them '.' or '..'")
