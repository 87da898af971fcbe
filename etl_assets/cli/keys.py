"""``etl-assets keys create``, ``status``, ``rotate`` and ``encrypt``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, table
from etl_assets.cli.session import as_json, opened

if TYPE_CHECKING:
    from etl_assets.backends.encrypted_blobs import EncryptedBlobs
    from etl_assets.documents.platform import Platform


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def create(file: Path) -> None:
    """Make a key file: 32 random bytes that only you can read. Keep a copy where the home's backups are not."""
    from etl_assets.backends.key_files import create_key_file

    path = file.absolute()
    name = create_key_file(path)
    say(f"made {printable(str(path))} ({name}); to use it, set ETL_ENCRYPTION_KEY=file:{printable(str(path))}")


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show which master keys wrap how many data keys, and what is not encrypted yet."""
    with opened() as platform:
        originals, segments = _stores(platform)
        counts = originals.envelope.status()
        plain = {"originals": originals.plain_count(), "segments": segments.plain_count()}
    if as_json:
        json_line({"keys": [asdict(one) for one in counts], "plain": plain})
        return
    table(
        ("master key", "version", "data keys", "in use for", "set here"),
        [
            (one.master, one.version or "-", one.count, "new and old" if one.is_current else "old",
             "yes" if one.is_set else "NO")
            for one in counts
        ],
        numeric=("data keys",),
    )  # fmt: skip
    if any(plain.values()):
        say(
            f"not encrypted: {plain['originals']:,} originals, {plain['segments']:,} segments; "
            "`etl-assets keys encrypt` encrypts them"
        )


@click.command()
@click.option("--all", "rewrap_all", is_flag=True, help="Also those that the current version wraps, for AWS KMS.")
def rotate(rewrap_all: bool) -> None:
    """Wrap every data key again under the first master key that is set. No document is read or written.

    Run it after the master key has a new version, or after another one was put first in ETL_ENCRYPTION_KEY. It may be
    interrupted and run again.
    """
    with opened() as platform:
        originals, _ = _stores(platform)
        done = sum(1 for _ in originals.envelope.rotate(rewrap_all=rewrap_all))
    say(f"wrapped {done:,} data keys again")


@click.command()
def encrypt() -> None:
    """Encrypt what was stored before a master key was set. Stop other commands and the UI first.

    It may be interrupted and run again.
    """
    with opened() as platform:
        for name, store in zip(("originals", "segments"), _stores(platform), strict=True):
            count, size = 0, 0
            for _, size_bytes in store.encrypt_existing():
                count, size = count + 1, size + size_bytes
            say(f"encrypted {count:,} {name}, {size / 1e6:,.1f} MB")


def _stores(platform: Platform) -> tuple[EncryptedBlobs, EncryptedBlobs]:
    """Originals and segments.

    Raises:
        ConfigError: no master key is set.
    """
    from etl_assets.backends.encrypted_blobs import EncryptedBlobs
    from etl_assets.errors import ConfigError

    originals, segments = platform.originals, platform.lake.blobs
    if not isinstance(originals, EncryptedBlobs) or not isinstance(segments, EncryptedBlobs):
        raise ConfigError("nothing is encrypted here; set ETL_ENCRYPTION_KEY, see docs/how-to/encryption.md")
    return originals, segments
