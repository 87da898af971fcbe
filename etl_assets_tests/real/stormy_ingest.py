"""An ingest on hosted backends that come and go, and the same one in peace on the embedded backends."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets_tests.real.hosted_homes import (
    EMBEDDED,
    KEY,
    answers,
    command,
    environment_on,
    held,
    opened,
    rows,
    stored,
)
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.outages import BehindProxy, OwnServer, PlayedServer, Target
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

TENANT, COLLECTION = "acme", "reports"
ADDRESSES = {
    "postgres": "ETL_TEST_POSTGRES_URL", "minio": "ETL_TEST_S3_ENDPOINT", "neo4j": "ETL_TEST_NEO4J_URI",
    "redis": "ETL_TEST_REDIS_URL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Try:
    """One command that was run. ``said`` is what it wrote to its standard error."""

    arguments: tuple[str, ...]
    code: int
    seconds: float
    said: str


@dataclass
class Ingest:
    """Commands as a person, or a schedule, gives them: each again until it succeeds, ``attempts`` times at most."""

    env: Mapping[str, str]
    attempts: int = 40
    limit_s: float = 300.0
    tries: list[Try] = field(default_factory=list)

    def done(self, *arguments: str) -> str:
        """What the command wrote when it succeeded."""
        for _ in range(self.attempts):
            began = time.monotonic()
            try:
                ran = command(self.env, *arguments, limit_s=self.limit_s)
            except subprocess.TimeoutExpired as e:
                raise AssertionError(f"{arguments} hung for {self.limit_s} s: {e.stderr!r}") from e
            self.tries.append(Try(arguments[:2], ran.returncode, time.monotonic() - began, ran.stderr))
            assert "Traceback" not in ran.stderr, ran.stderr
            if ran.returncode == 0:
                return ran.stdout
        raise AssertionError(f"{arguments} never succeeded: {[one.said[-300:] for one in self.tries]}")

    def took_in(self, folders: Sequence[Path]) -> None:
        """Put the documents of each folder there and ingest them, then the next folder's."""
        for folder in folders:
            self.done("document", "add", str(folder), "--tenant", TENANT, "--collection", COLLECTION)
            self.done("sync")


@dataclass(frozen=True, slots=True)
class Result:
    """What an ingest left behind, comparable with another one's."""

    rows: Mapping[str, object]
    stored: Mapping[str, object]
    held: object
    answers: object

    @classmethod
    def of(cls, env: Mapping[str, str], questions: Sequence[str]) -> "Result":
        """Asks the lake, every store, the quarantine, and searches, which may take their time."""
        with opened({**env, "ETL_SEARCH_TIME_LIMIT_S": "60"}) as platform:
            return cls(rows(platform), stored(platform), held(platform), answers(platform, TENANT, list(questions)))

    def differences(self, other: "Result") -> list[str]:
        """The parts that differ."""
        found = [f"rows of {stage}" for stage in self.rows if self.rows[stage] != other.rows[stage]]
        found += [f"rows in {store}" for store in self.stored if self.stored[store] != other.stored[store]]
        found += ["quarantine"] * (self.held != other.held) + ["answers"] * (self.answers != other.answers)
        return found


def home(folder: Path, jina: JinaStandIn | None, embedder: str) -> dict[str, str]:
    """Variables of a new home at ``folder`` that embeds with ``embedder``."""
    folder.mkdir()
    (folder / "collections.yaml").write_text(f"defaults:\n  embedder: {{kind: {embedder}}}\n")
    model = {} if jina is None else {"JINA_API_KEY": "test-key", "ETL_JINA_BASE_URL": f"{jina.url}/v1"}
    budget = {"ETL_JINA_REQUESTS_PER_MINUTE": "1000000", "ETL_JINA_TOKENS_PER_MINUTE": "1000000000"}
    return {**EMBEDDED, "ETL_HOME": str(folder), **model, **(budget if model else {})}


@contextmanager
def hosted(
    folder: Path, shared: Mapping[str, Mapping[str, str]], own: Mapping[str, Server], proxy: str, *, embedder: str
) -> Iterator[tuple[dict[str, str], dict[str, Target]]]:
    """(variables, what can go away) of a new home on the servers given, each behind a proxy, and on the stand-ins."""
    with ExitStack() as stack:
        pinecone = stack.enter_context(PineconeStandIn(keys={KEY}))
        jina = stack.enter_context(JinaStandIn()) if embedder == "jina" else None
        variables = {**shared, **{name: server.variables for name, server in own.items()}}
        merged = {name: value for one in variables.values() for name, value in one.items()}
        env = stack.enter_context(environment_on(folder, merged, pinecone)) | home(folder, jina, embedder)
        targets: dict[str, Target] = {"pinecone": PlayedServer(pinecone, more=pinecone.indexes)}
        if jina is not None:
            targets["jina"] = PlayedServer(jina)
        for name, variable in ADDRESSES.items():
            upstream = urlsplit(merged[variable]).netloc.rpartition("@")[2]
            unique = f"{name}-{folder.name}-{time.monotonic_ns()}"
            target = (
                OwnServer(proxy, unique, upstream, own[name]) if name in own else BehindProxy(proxy, unique, upstream)
            )
            targets[name] = target
            env = {key: value.replace(upstream, target.address) for key, value in env.items()}
        yield env, targets


def in_peace(folder: Path, folders: Sequence[Path], questions: Sequence[str], *, embedder: str) -> Result:
    """What the same documents come to on embedded backends, step by step in this process."""
    with ExitStack() as stack:
        jina = stack.enter_context(JinaStandIn()) if embedder == "jina" else None
        env = home(folder, jina, embedder)
        for arriving in folders:
            shutil.copytree(arriving, folder / "objects" / TENANT / COLLECTION, dirs_exist_ok=True)
            with opened(env) as platform:
                for place in ensure_collection(platform.ledger, TENANT, COLLECTION, shards=1):
                    with PartitionRun(platform, place.key, run_id="in peace") as run:
                        all_steps(run)
                platform.parsers().close()
        return Result.of(env, questions)
