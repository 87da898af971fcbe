"""Whether the lake and the originals hold exactly the files that the ledger names, byte by byte."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from etl_assets.documents.model import STAGES
from etl_assets.documents.original_keys import original_key
from etl_assets.errors import DataError
from etl_assets.ledger import audits, files
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.files import Original
from etl_assets.ledger.segments import SegmentFile
from etl_assets.stages.lake import SegmentLost, folder, token_of

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LostSegment:
    """A segment whose bytes are gone or not those that were written, and the documents that rest on it."""

    file: SegmentFile
    stage: str
    problem: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LostOriginal:
    """An original whose bytes are gone or are others."""

    original: Original
    key: str
    problem: str


@dataclass(slots=True)
class FileDifferences:
    """What differs. ``strays`` are keys of the lake that no ledger row names and that nobody can be writing;
    ``unmade`` are paths of published documents whose rows were struck out; ``is_ahead``: a stray carries a token that
    the ledger has not drawn yet."""

    segments: list[LostSegment] = field(default_factory=list)
    originals: list[LostOriginal] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    unmade: list[str] = field(default_factory=list)
    is_ahead: bool = False
    read: int = 0

    def segment_lines(self) -> list[str]:
        """One line for each lost or stray segment."""
        lost = [
            f"segment {one.file.key} {one.problem}: {one.stage} of {', '.join(one.paths[:3]) or 'no document'}"
            + (f" and {len(one.paths) - 3:,} more" if len(one.paths) > 3 else "")
            for one in self.segments
        ]
        unmade = [f"{path}: rows that it was published from are lost" for path in self.unmade]
        return [*lost, *unmade, *(f"file {key} of the lake is named by nothing" for key in self.strays)]

    def original_lines(self) -> list[str]:
        """One line for each lost original."""
        return [f"{one.original.path}: its original {one.key} {one.problem}" for one in self.originals]


def compare_segments(platform: "Platform", partition: Partition) -> FileDifferences:
    """Every segment that the ledger names is there with its very bytes, and no other.

    Files are listed before the ledger is read, so that one whose transaction is on its way is not taken for a stray.
    """
    found = FileDifferences()
    listed = _listed(platform, partition)
    with platform.ledger.reading() as connection:
        named = files.live_segments(connection, partition)
        known = files.named_keys(connection, sorted(listed))
        token = files.lease_token(connection, partition)
        shown = audits.known(connection, partition).open.values()
        gone = audits.without_rows(connection, [number for one in shown for number in one.outputs.values()], ())
    found.unmade = sorted({one.path for one in shown if gone.intersection(one.outputs.values())})
    for file, stage in sorted(named.items(), key=lambda item: item[0].segment_id):
        found.read += 1
        problem = _segment_problem(platform, file, is_listed=file.key in listed)
        if problem:
            with platform.ledger.reading() as connection:
                paths = files.documents_on(connection, file.segment_id)
                # A run may have merged it away since.
                if file in files.live_segments(connection, partition):
                    found.segments.append(LostSegment(file, stage, problem, tuple(paths)))
    for key in sorted(listed - known):
        number = token_of(key)
        if number != token:
            found.strays.append(key)
            found.is_ahead |= number is not None and number > token
    return found


def compare_originals(platform: "Platform", partition: Partition) -> FileDifferences:
    """The bytes of every version that is present or published are there, and are the version's."""
    found = FileDifferences()
    with platform.ledger.reading() as connection:
        wanted = files.originals(connection, partition)
    for one in wanted:
        found.read += 1
        key = original_key(partition.tenant, one.document_id, one.version)
        problem = _original_problem(platform, key, one.version)
        if problem:
            found.originals.append(LostOriginal(one, key, problem))
    return found


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            hasher.update(block)
    return hasher.hexdigest()


def _listed(platform: "Platform", partition: Partition) -> set[str]:
    blobs = platform.lake.blobs
    return {key for stage in STAGES for key, _, _ in blobs.keys(folder(partition, stage.name))}


def _segment_problem(platform: "Platform", file: SegmentFile, *, is_listed: bool) -> str:
    # A copy on this machine's disk may be whole while the store's is gone.
    if not is_listed and not platform.lake.blobs.exists(file.key):
        return "is gone"
    try:
        platform.lake.verified_bytes(file)
    except SegmentLost as lost:
        return "is gone" if isinstance(lost.__cause__, FileNotFoundError) else "was altered"
    return ""


def _original_problem(platform: "Platform", key: str, version: str) -> str:
    if not platform.originals.exists(key):
        return "is gone"
    try:
        with platform.originals.local(key) as path:
            return "" if sha256_of(path) == version else "was altered"
    except FileNotFoundError:
        return "is gone"
    except DataError as error:
        return f"cannot be read ({error})"
