"""Opens what backups read and write: a home's ledger and files as they are stored, and targets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.backups.backup import Places
    from etl_assets.documents.backups.restore import Point
    from etl_assets.documents.backups.restored_home import RestoreReport
    from etl_assets.documents.backups.target import Target
    from etl_assets.protocols.objects import Blobs
    from etl_assets.settings import Settings

_S3 = "s3://"
ENDINGS = (".enc", "")
"""What keys of stored files may end with: encrypted ones have ``encrypted_blobs.ENDING``."""


@contextmanager
def open_target(settings: Settings, name: str, *, exists: bool = False) -> Iterator[Target]:
    """A folder, or ``s3://bucket/prefix`` by the connection of the home's own bucket if it has one, else by boto3's
    own settings. ``exists``: a folder that is not there is a mistake.

    Raises:
        ConfigError: the name cannot be used, the folder is not there or is inside the home, or boto3 is missing.
    """
    from etl_assets.backends.local_files import Scratch
    from etl_assets.documents.backups.target import Target

    if name.startswith(_S3):
        with Scratch(settings.home.create().tmp / "backups").folder() as cache:
            yield Target(name, _bucket(settings, name, cache))
        return
    yield Target(name, _folder(settings, name, exists=exists))


def _folder(settings: Settings, name: str, *, exists: bool) -> Blobs:
    from etl_assets.backends.local_blobs import LocalBlobs

    folder = Path(name).absolute()
    if "://" in name:
        raise ConfigError(f"backup target {name}: use a folder or s3://bucket/prefix")
    if folder == settings.home.root or settings.home.root in folder.parents:
        raise ConfigError(f"backup target {name} lies inside the home that it is to outlive: use another folder")
    if exists and not folder.is_dir():
        raise ConfigError(f"backup target {name}: there is no such folder")
    return LocalBlobs(folder)


def _bucket(settings: Settings, name: str, cache: Path) -> Blobs:
    from etl_assets.hosted_bindings import Connections, needs, told

    needs("s3", "boto3")
    from etl_assets.backends.blob_cache import BlobCache
    from etl_assets.backends.s3_blobs import S3Blobs
    from etl_assets.backends.s3_client import S3Bucket
    from etl_assets.backends.s3_settings import S3Settings

    place = urlsplit(name)
    prefix = place.path.strip("/")
    if not place.netloc or place.query or place.fragment or place.username:
        raise ConfigError("a backup target on S3 is s3://bucket or s3://bucket/prefix, and nothing else")
    if settings.s3 is not None:
        bucket = Connections(settings).other_bucket(place.netloc, prefix)
    else:
        bucket = S3Bucket(S3Settings(place.netloc, prefix=prefix), on_open=told)
    # Emptied with every opening: what is verified has to come from the bucket, not from this machine.
    return S3Blobs(bucket, BlobCache(cache, limit_bytes=0))


@contextmanager
def open_places(settings: Settings) -> Iterator[Places]:
    """The home's ledger, and its files as they are stored, without a key of encryption.

    Raises:
        ConfigError, PermanentError, TransientError: as for ``open_platform``.
    """
    from etl_assets.bindings import stored_blobs
    from etl_assets.documents.backups.backup import Places
    from etl_assets.hosted_bindings import Connections

    home = settings.home.create()
    hosted = Connections(settings)
    ledger = hosted.ledger()
    try:
        endings = ENDINGS if settings.encryption is not None else ENDINGS[::-1]
        yield Places(
            ledger, stored_blobs(hosted, "lake"), stored_blobs(hosted, "originals"), home.collections_file, endings
        )
    finally:
        ledger.close()
        hosted.close()


def restore_home(settings: Settings, target: Target, point: Point, *, replace: bool) -> RestoreReport:
    """Bring the home of these settings back.

    Raises:
        ConfigError, PermanentError, TransientError: as for ``restore``; or what is encrypted needs a master key that
            is not set.
    """
    from etl_assets.backends.local_files import Scratch
    from etl_assets.bindings import open_platform
    from etl_assets.documents.backups.restore import restore

    with open_places(settings) as places, Scratch(settings.home.tmp / "backups").folder() as scratch:
        return restore(
            places, target, point, replace=replace, scratch=scratch, open_platform=partial(open_platform, settings),
            check_keys=partial(_refuse_unset_masters, settings),
        )  # fmt: skip


def _refuse_unset_masters(settings: Settings, masters: tuple[str, ...]) -> None:
    """Before anything is written: a home whose files nobody can read is no home."""
    if masters and settings.encryption is None:
        raise ConfigError(
            f"the backup's files are encrypted under {', '.join(masters)}, and no master key is set; set "
            "ETL_ENCRYPTION_KEY to it"
        )
