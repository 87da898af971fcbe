"""Files of models: their digests, and writing them so that a reader sees a whole file or none."""

import hashlib
import json
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from etl_assets.errors import ConfigError


def packaged_file(package: str, relative: str, *, install: str) -> Path:
    """Path of a data file of an installed package, found without importing it.

    Raises:
        ConfigError: the package or its file is not there; ``install`` is what to install.
    """
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (path := Path(folder) / relative).is_file():
            return path
    raise ConfigError(f"the model file {package}/{relative} is not installed: install {install}")


def read_checked(path: Path, sha256: str, *, install: str) -> bytes:
    """The bytes of ``path``.

    Raises:
        ConfigError: it cannot be read, or its SHA-256 (hex) is another one.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"model file {path} cannot be read ({e.strerror}): install {install}") from e
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ConfigError(
            f"model file {path} has sha256 {found}, expected {sha256}: it is damaged or of another version; "
            f"reinstall {install}"
        )
    return data


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``path`` whole or not at all; several processes may write it at once.

    Raises:
        OSError: no space left, or no right to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class FileDigests:
    """SHA-256 of files, remembered in ``cache`` by path, size and mtime_ns, so that an unchanged one is not read.

    The record is a help only: one that is missing, damaged or not writable costs a reading of the file.
    """

    def __init__(self, cache: Path) -> None:
        self._record = cache / "model-digests.json"

    def sha256(self, path: Path) -> str:
        """Hex SHA-256 of ``path``.

        Raises:
            OSError: it cannot be read.
        """
        stat = path.stat()
        stamp = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        known = self._known()
        if stamp not in known:
            with path.open("rb") as file:
                known[stamp] = hashlib.file_digest(file, "sha256").hexdigest()
            self._remember(known)
        return known[stamp]

    def _known(self) -> dict[str, str]:
        try:
            record = json.loads(self._record.read_bytes())
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in record.items() if isinstance(v, str)} if isinstance(record, dict) else {}

    def _remember(self, known: dict[str, str]) -> None:
        newest = dict(list(known.items())[-64:])
        try:
            write_atomically(self._record, json.dumps(newest).encode())
        except OSError:
            return  # a read-only or full cache folder: the next start reads the file again
