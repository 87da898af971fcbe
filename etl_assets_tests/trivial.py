"""A documents chain with trivial stage functions, on real stores: for tests and benchmarks of the engine alone.

Each line of a file is a chunk. A vector is made of its text's digest. Words in capitals are mentions.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.documents.arrivals.intake import Intake, survey, take_in
from etl_assets.documents.generations.promotion import Candidate, consider, retire_expired
from etl_assets.documents.model import CHUNKS, EMBEDDINGS, MENTIONS, PAGES, chunk_id, embedded_text_digest
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.parameters import GenerationRules, ParsingLimits, Publications
from etl_assets.documents.publication.publisher import CommitReport, Publisher, Stores, Target
from etl_assets.documents.upkeep import settle, to_look_at
from etl_assets.errors import DataError
from etl_assets.ledger import generations
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.ledger.database import Ledger, digest_of
from etl_assets.ledger.generations import Definition, Generation
from etl_assets.ledger.leases import Lease, acquire
from etl_assets.ledger.outputs import Recipe, Step
from etl_assets.protocols.objects import Arrivals, Blobs
from etl_assets.stages import housekeeping
from etl_assets.stages.engine import Work, advance
from etl_assets.stages.lake import Lake
from etl_assets.stages.report import StageReport
from etl_assets.stages.spec import Computed, Parameters, Stage, Task
from etl_assets_tests.ledgers import open_ledger

DIMENSION = 8

STAGES = (
    PAGES, CHUNKS, EMBEDDINGS, replace(MENTIONS, inputs=("pages", "chunks"), input_columns=MENTIONS.input_columns[:2])
)  # fmt: skip
"""The stages of a chain that knows no catalogue and nobody's corrections."""


@dataclass
class Home:
    """The stores of one small installation under a folder."""

    folder: Path
    ledger: Ledger
    arrivals: Arrivals
    originals: Blobs
    lake: Lake
    stores: Stores

    @classmethod
    def open(cls, folder: Path) -> "Home":
        from etl_assets.backends.lancedb_keywords import LanceKeywords
        from etl_assets.backends.lancedb_vectors import LanceVectors

        for name in ("objects", "tmp", "originals", "lake", "indexes"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return cls(
            folder,
            open_ledger(folder / "ledger.sqlite", copied=True),
            LocalArrivals(folder / "objects", scratch=folder / "tmp"),
            LocalBlobs(folder / "originals"),
            Lake(LocalBlobs(folder / "lake")),
            Stores(
                LanceVectors(folder / "indexes" / "vectors"),
                LanceKeywords(folder / "indexes" / "keywords"),
                SqliteGraph(folder / "indexes" / "graph.sqlite"),
            ),
        )

    def put(self, path: str, text: str, tenant: str = "acme", collection: str = "reports") -> None:
        target = self.folder / "objects" / tenant / collection / path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = self.folder / "tmp" / "part"
        part.write_text(text)
        part.rename(target)

    def remove(self, path: str, tenant: str = "acme", collection: str = "reports") -> None:
        (self.folder / "objects" / tenant / collection / path).unlink()


@dataclass
class Counts:
    """How often the trivial functions ran."""

    parsed: list[str] = field(default_factory=list)
    chunked: list[str] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)


@dataclass
class Chain:
    """One run of one partition of a ``Home`` with the trivial functions, for every index generation in use."""

    home: Home
    tenant: str = "acme"
    collection: str = "reports"
    shard: int = 0
    shards: int = 1
    run_id: str = "run"
    model: str = "trivial"
    parameters: dict[str, Parameters] = field(default_factory=dict)
    publications: Publications = field(default_factory=Publications)
    rules: GenerationRules = field(default_factory=lambda: GenerationRules(keep_previous_days=0))
    counts: Counts = field(default_factory=Counts)
    time_limit_s: float = 0.0
    wait_s: float = 10.0
    looked_at: Partition | None = None

    def run(self) -> tuple[Intake, list[StageReport], CommitReport]:
        """Every step in order, as a real run takes them."""
        partitions = ensure_collection(self.home.ledger, self.tenant, self.collection, shards=self.shards)
        lease = acquire(self.home.ledger, partitions[self.shard].key, holder=self.run_id, wait_s=self.wait_s)
        try:
            return self.steps(lease)
        finally:
            lease.release()

    def work(self, lease: Lease, model: str | None = None) -> Work:
        partitions = ensure_collection(self.home.ledger, self.tenant, self.collection, shards=self.shards)
        recipe = self.recipe(model or self.model)
        place = self.looked_at or partitions[self.shard]
        return Work(self.home.ledger, self.home.lake, lease, place, recipe, self.run_id)

    def recipe(self, model: str) -> Recipe:
        recipe = {}
        for stage in STAGES:
            parameters = dict(self.parameters.get(stage.name, {}))
            if stage is EMBEDDINGS:
                parameters["model"] = model
            producer = self.home.ledger.producer_id(stage.name, stage.producer(parameters), parameters)
            recipe[stage.name] = Step(stage.name, producer, stage.inputs)
        return recipe

    def in_use(self, work: Work) -> dict[int, Generation]:
        """The collection's generations, that of this chain's model among them."""
        wanted = definition(self.model)
        with self.home.ledger.reading() as connection:
            if generations.is_followed(connection, work.partition.cid, wanted):
                return generations.generations(connection, work.partition.cid)
        with work.lease.writing() as connection:
            return generations.follow(connection, work.partition.cid, wanted)

    def steps(self, lease: Lease) -> tuple[Intake, list[StageReport], CommitReport]:
        self.looked_at = None
        work = self.work(lease)
        intake = self.take_in(work)
        begun_under = self.digest(work)
        self.looked_at = to_look_at(self.home.ledger, lease, work.partition, begun_under)
        work = self.work(lease)
        models = {self.model, *(one.embedding_model for one in self.in_use(work).values())}
        reports = [
            self.stage(self.work(lease, model), stage, model)
            for stage in STAGES
            for model in (sorted(models) if stage is EMBEDDINGS else [self.model])
        ]
        publisher = self.publisher(work)
        for store in ledger_publications.STORES:
            publisher.write(store)
        report = publisher.commit()
        self.promote(work, report)
        if housekeeping.is_dirty(work):
            self.tidy(work, publisher, report)
        now_under, recipes = self.digest(work), [self.recipe(model) for model in sorted(models)]
        settle(
            self.home.ledger, lease, work.partition, recipes, begun_under=begun_under, now_under=now_under
        )  # fmt: skip
        return intake, reports, report

    def digest(self, work: Work) -> str:
        """Of what this chain's results depend on beside its documents."""
        made = [(number, one.state, one.embedding_model) for number, one in sorted(self.in_use(work).items())]
        producers = [[step.producer_id for step in self.recipe(model).values()] for _, _, model in made]
        return digest_of([made, producers, dict(self.publications.parameters())])

    def promote(self, work: Work, report: CommitReport) -> None:
        for one in self.in_use(work).values():
            if one.state == "building":
                producers = {step.producer_id for step in self.recipe(one.embedding_model).values()}
                promoted = consider(
                    self.home.ledger, work.lease.writing, Candidate(one, producers), self.rules, lambda *_: None,
                    report.notes,
                )  # fmt: skip
                report.promoted = promoted or report.promoted
            elif one.state == "previous":
                with work.lease.writing() as connection:
                    retire_expired(connection, work.partition.cid, self.rules)

    def take_in(self, work: Work) -> Intake:
        home = self.home
        found = survey(home.ledger, home.arrivals, self.tenant, self.collection, shards=self.shards)
        changes = found.changes[work.partition.key]
        if not changes:
            return Intake()
        return take_in(work.lease, home.arrivals, home.originals, changes, ParsingLimits())

    def stage(self, work: Work, stage: Stage, model: str | None = None) -> StageReport:
        if stage is EMBEDDINGS:
            return advance(work, stage, compute_rows=lambda rows: self.embed(rows, model or self.model))
        return advance(
            work, stage, compute={"pages": self.parse, "chunks": self.cut, "mentions": self.find}[stage.name]
        )

    def publisher(self, work: Work) -> Publisher:
        targets = [
            Target(number, self.recipe(one.embedding_model), self.publications)
            for number, one in self.in_use(work).items()
        ]
        return Publisher(work, self.home.stores, targets, time_limit_s=self.time_limit_s)

    def tidy(self, work: Work, publisher: Publisher, report: CommitReport) -> None:
        names = [stage.name for stage in STAGES]
        housekeeping.drop_unwanted(work, [self.recipe(one.embedding_model) for one in self.in_use(work).values()])
        housekeeping.compact(work, names)
        report.collected = publisher.collect()
        housekeeping.delete_dead_segments(work, grace_s=self.time_limit_s)
        housekeeping.delete_strays(work, names)
        publisher.drop_retired()
        housekeeping.mark_clean(work)

    def parse(self, tasks: Sequence[Task], *_: pl.DataFrame) -> Computed:
        rows, failures, facts = [], {}, {}
        for task in tasks:
            self.counts.parsed.append(task.path)
            with self.home.originals.local(original_key(task.tenant, task.document_id, task.version)) as path:
                text = path.read_text()
            if "BROKEN" in text:
                failures[task.document_id] = DataError(f"{task.path}: broken", reason="broken")
                continue
            rows.append((task.document_id, 1, text, [], []))
            facts[task.document_id] = {"title": text.split("\n")[0], "document_type": "text", "date": None}
        return Computed(_frame(PAGES, rows), failures, facts)

    def cut(self, tasks: Sequence[Task], pages: pl.DataFrame) -> Computed:
        rows = []
        for document, page, text, _ in pages.select("document_id", "page", "text", "headings").rows():
            seen: dict[str, int] = {}
            for ordinal, match in enumerate(re.finditer(r"[^\n]+", text)):
                line = match.group()
                n = seen[line] = seen.get(line, -1) + 1
                digest = embedded_text_digest(line)
                rows.append(
                    (document, chunk_id(line, n), ordinal, page, *match.span(), line, "", len(line.split()), digest)
                )
        self.counts.chunked += [task.path for task in tasks]
        return Computed(_frame(CHUNKS, rows))

    def embed(self, rows: pl.DataFrame, model: str) -> pl.DataFrame:
        texts = rows["text"].to_list()
        if any("UNEMBEDDABLE" in text for text in texts):
            raise DataError("a text cannot be embedded", reason="unembeddable")
        self.counts.embedded += texts
        vectors = np.stack([vector_of(text, model) for text in texts])
        return pl.DataFrame(
            {"text_digest": rows["text_digest"], "vector": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32))}
        )

    def find(self, tasks: Sequence[Task], pages: pl.DataFrame, chunks: pl.DataFrame) -> Computed:
        rows = []
        for document, page, text, _ in pages.select("document_id", "page", "text", "headings").rows():
            for match in re.finditer(r"\b[A-Z]{3,}\b", text):
                word = match.group()
                rows.append(
                    (document, page, *match.span(), word, f"word:{word}", "word", word, None, 1.0, "", "pattern")
                )
        self.counts.searched += [task.path for task in tasks]
        return Computed(_frame(MENTIONS, rows))


def definition(model: str) -> Definition:
    return Definition({"embedding": {"name": model, "digest": model, "dimension": DIMENSION}}, model)


def vector_of(text: str, model: str = "trivial") -> np.ndarray:
    seed = hashlib.blake2b(f"{model} {text}".encode(), digest_size=DIMENSION).digest()
    vector = np.frombuffer(seed, dtype=np.uint8).astype(np.float32) - 127.5
    return vector / np.linalg.norm(vector)


def _frame(stage: Stage, rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"document_id": pl.String, **stage.columns()}, orient="row")


def contents(home: Home, tenant: str = "acme", collection: str = "reports") -> dict[str, object]:
    """Everything every store shows of a collection, without numbers that differ between histories."""
    from sqlalchemy import select

    from etl_assets.ledger import schema

    p, owner = schema.publications, schema.collections
    with home.ledger.reading() as connection:
        rows = connection.execute(
            select(p.c.publication, p.c.path, p.c.version, p.c.record, p.c.content_digest, p.c.generation_id)
            .join(owner, owner.c.cid == p.c.cid)
            .where(owner.c.tenant == tenant, owner.c.collection == collection, p.c.end_seq.is_(None))
        ).all()
    names = {row.publication: row.path for row in rows}

    shown: dict[str, object] = {"ledger": sorted((r.path, r.version, r.content_digest) for r in rows)}
    generations = {row.generation_id for row in rows}
    for store, index in (("vector", home.stores.vector), ("keyword", home.stores.keyword)):
        found = []
        for space in index.spaces():
            if (space.tenant, space.collection) == (tenant, collection):
                found += [
                    (
                        names.get(r.publication, f"?{r.publication}"),
                        r.chunk_id,
                        r.digest,
                        space.generation in generations,
                    )
                    for r in index.rows(space)
                ]
        shown[store] = sorted(found)
    edges = home.stores.graph.edges(tenant, collection)
    shown["graph"] = sorted((names.get(e.publication, f"?{e.publication}"), e.edge_id) for e in edges)
    shown["orphans"] = list(home.stores.graph.orphans(tenant))
    return shown
