"""A small home on real stores with the fast embedder, and ways to look at it and to damage it."""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import func, select, update

from etl_assets.bindings import open_platform
from etl_assets.documents.parsing.workers import ParserPool
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.settings import Settings
from etl_assets_tests.lean_stores import new_ledger
from etl_assets_tests.ledgers import server_of

STATIC = "defaults:\n  embedder: {kind: static}\n"

TEXTS = {
    "bear.txt": "The bear group used EMOTET against a bank.\n\nIt moved to the mail server of APT28 in May 2020.",
    "panda.md": "# Panda\n\nThe panda group used TRICKBOT. A factory stopped for a week.\n",
    "garden.txt": "Roses want sun and water. CVE-2021-44228 is no rose, and 10.20.30.40 is no garden.",
}


@cache
def shared_pool() -> ParserPool:
    """One pool for every test of a process: a worker takes half a second to start."""
    return ParserPool(processes=1)


@dataclass
class SmallHome:
    """One installation. Tenant and collection are ``acme/reports`` unless a path says otherwise."""

    settings: Settings
    platform: Platform

    @classmethod
    def at(cls, folder: Path, texts: Mapping[str, str] = TEXTS, *, collections: str = STATIC) -> "SmallHome":
        settings = Settings(home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1)
        settings.home.create().collections_file.write_text(collections)
        if server_of(folder) is None:
            new_ledger(settings.home.ledger_file)
        platform = replace(open_platform(settings), parsers=shared_pool)
        home = cls(settings, platform)
        for path, text in texts.items():
            home.write(path, text)
        return home

    @classmethod
    def ran(
        cls, folder: Path, texts: Mapping[str, str] = TEXTS, *, collections: str = STATIC, run_id: str = "a-run"
    ) -> "SmallHome":
        """As ``at``, and run once: a copy of a home of this process, for a run takes twenty times as long.

        One whose ledger is on a server is made anew: no copy of a folder has a database.
        """
        if server_of(folder) is not None:
            home = cls.at(folder, texts, collections=collections)
            home.run(run_id)
            return home
        shutil.copytree(_template(tuple(texts.items()), collections, run_id), folder)
        home = cls.at(folder, {}, collections=collections)
        with home.platform.ledger.writing() as connection:
            o = schema.objects
            for path in texts:
                seen = home.platform.arrivals.look(f"acme/reports/{path}")
                assert seen is not None
                connection.execute(update(o).where(o.c.path == path).values(fingerprint=seen.fingerprint))
        return home

    def write(self, path: str, text: str | bytes, *, collection: str = "acme/reports") -> None:
        target = self.settings.home.objects / collection / path
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.settings.home.tmp / "arriving"
        scratch.write_bytes(text.encode() if isinstance(text, str) else text)
        scratch.replace(target)

    def remove(self, path: str, *, collection: str = "acme/reports") -> None:
        (self.settings.home.objects / collection / path).unlink()

    def partition(self, collection: str = "acme/reports", *, shard: int = 0) -> Partition:
        tenant, _, name = collection.partition("/")
        shards = self.platform.collections.of(tenant, name).shards
        return ensure_collection(self.platform.ledger, tenant, name, shards=shards)[shard]

    @property
    def key(self) -> str:
        return self.partition().key

    def run(self, run_id: str = "a-run") -> dict[str, Any]:
        """Every step, without Dagster and without checks."""
        with PartitionRun(self.platform, self.key, run_id=run_id) as run:
            return all_steps(run)

    def published(self) -> dict[str, str]:
        """Version by path of what searches answer from."""
        p = schema.publications
        with self.platform.ledger.reading() as connection:
            return dict(connection.execute(select(p.c.path, p.c.version).where(p.c.end_seq.is_(None))).all())

    def held(self) -> dict[str, tuple[str, str]]:
        """(stage, reason) of what is in quarantine, by path."""
        return {row.path: (row.stage, row.reason) for row in quarantine.rows(self.platform.ledger)}

    def rewrite(self, stage: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Replace every segment of a stage by what a faulty stage would have written."""
        file = schema.segments
        with self.platform.ledger.writing() as connection:
            for segment_id, key in connection.execute(
                select(file.c.segment_id, file.c.key).where(file.c.stage == stage)
            ).all():
                path = self.settings.home.lake / key
                rows = change(pl.read_parquet(path))
                os.chmod(path, 0o600)
                rows.write_parquet(path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                connection.execute(update(file).where(file.c.segment_id == segment_id).values(sha256=digest))

    def document_id(self, path: str) -> str:
        o = schema.objects
        with self.platform.ledger.reading() as connection:
            found = connection.scalar(select(o.c.document_id).where(o.c.path == path, o.c.end_seq.is_(None)))
        assert found is not None
        return str(found)

    def computed(self) -> int:
        """How many outputs were ever made."""
        with self.platform.ledger.reading() as connection:
            return int(connection.scalar(select(func.count()).select_from(schema.outputs)) or 0)


@cache
def _template(texts: tuple[tuple[str, str], ...], collections: str, run_id: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="small-home-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = SmallHome.at(folder / "home", dict(texts), collections=collections)
    home.run(run_id)
    home.platform.close()
    return folder / "home"
