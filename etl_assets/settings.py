"""What an installation is set to, read from environment variables once, and the folders of its home.

Decisions about one collection are not here but in ``collections.yaml`` (``documents/collections.py``).
"""

import difflib
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from types import MappingProxyType

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.fields import Field, FolderPath, Matching, Real, Whole
from etl_assets.hosted_settings import (
    GROUPS,
    AwsSecretsPlace,
    CeleryPlace,
    EncryptionPlace,
    JinaPlace,
    Neo4jPlace,
    OpenAIPlace,
    PineconePlace,
    PostgresPlace,
    RedisPlace,
    S3Place,
    VaultPlace,
    contradictions,
)
from etl_assets.variables import Variable, given, shown

PREFIX = "ETL_"
_TARGETS = r"[^\x00-\x1f,]+(,[^\x00-\x1f,]+)?"
_TENANTS = r"\s*[a-z0-9_*?-]+\s*(,\s*[a-z0-9_*?-]+\s*)*"
ENV_FILE = "ETL_ENV_FILE"
FOREIGN = ("ETL_SHARED_DATA", "ETL_TEST_")
"""Variables, or beginnings of them, that belong to the test suite: no setting, and no mistake either."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation. Every number has its unit in its name and its bounds in ``VARIABLES``.

    ``parser_processes`` and ``embedder_threads`` are one per available core when ``None``.
    """

    home_folder: str = "data"
    search_time_limit_s: float = 2.0
    parser_processes: int | None = None
    embedder_threads: int | None = None
    lease_s: float = 20.0
    arrivals_interval_s: int = 30
    reconcile_interval_s: int = 3600
    tenants: str | None = None
    max_runs: int = 5
    tenant_runs: int = 2
    pool_limit: int | None = None
    backup_targets: str | None = None
    backup_keep_days: float = 90.0
    s3: S3Place | None = None
    postgres: PostgresPlace | None = None
    pinecone: PineconePlace | None = None
    neo4j: Neo4jPlace | None = None
    jina: JinaPlace | None = None
    openai: OpenAIPlace | None = None
    redis: RedisPlace | None = None
    vault: VaultPlace | None = None
    aws_secrets: AwsSecretsPlace | None = None
    celery: CeleryPlace | None = None
    encryption: EncryptionPlace | None = None

    @property
    def allowed_tenants(self) -> tuple[str, ...]:
        """Names and patterns of the tenants let in; none when all are."""
        return tuple(one.strip() for one in (self.tenants or "").split(",") if one.strip())

    @property
    def backup_places(self) -> tuple[str, ...]:
        """Folders and ``s3://bucket/prefix`` that backups go to; none when nothing is set."""
        return tuple(one.strip() for one in (self.backup_targets or "").split(",") if one.strip())

    @property
    def home(self) -> "Home":
        """The folders of this installation."""
        return Home(Path(self.home_folder).absolute())

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Settings":
        """The settings in ``env``. A variable that is empty counts as unset.

        A relative ETL_HOME is below the current folder.

        Raises:
            ConfigError: every unknown variable with our prefix and every wrong value, all in one message.
        """
        problems: list[str] = list(_unknown(env))
        values: dict[str, object] = {}
        for name, variable in VARIABLES.items():
            try:
                value = given(env, variable)
            except ConfigError as e:
                problems.append(str(e))
                continue
            if value is not None:
                values[name] = value
        places = {name: group.read(env, problems) for name, group in GROUPS.items()}
        problems += contradictions(places)
        if problems:
            raise ConfigError("the environment cannot be used:\n" + "\n".join(f"  {problem}" for problem in problems))
        settings = cls(**values, **places)  # type: ignore[arg-type]  # each value was read by the kind of its own field
        return replace(settings, home_folder=str(settings.home.root))

    @classmethod
    def from_process(cls) -> "Settings":
        """The settings of this process: its environment, and below it the file ``.env`` of the current folder.

        ETL_ENV_FILE names another file, which must exist. A variable of the environment wins over the file's.

        Raises:
            ConfigError: as ``from_environment``; or the file cannot be read.
        """
        return cls.from_environment(with_env_file(os.environ))

    def embedded(self) -> "Settings":
        """The same home and limits with no hosted backend."""
        return replace(
            self, s3=None, postgres=None, pinecone=None, neo4j=None, jina=None, openai=None, redis=None, vault=None,
            aws_secrets=None, celery=None, encryption=None,
        )  # fmt: skip

    def as_environment(self) -> dict[str, str]:
        """The variables from which another process reads the same settings; what is not set is left out.

        Credentials are among them: they go to a child's environment and nowhere else.
        """
        flat = {name: getattr(self, name) for name in VARIABLES}
        variables = {VARIABLES[name].names[0]: str(value) for name, value in flat.items() if value is not None}
        for name, group in GROUPS.items():
            if (place := getattr(self, name)) is not None:
                variables |= group.as_environment(place)
        return variables


def with_env_file(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` over the variables of its ``.env`` file.

    Raises:
        ConfigError: the file that ETL_ENV_FILE names is not there, or a line of it is no assignment.
    """
    path = Path(env.get(ENV_FILE) or ".env")
    if not path.is_file():
        if env.get(ENV_FILE):
            raise ConfigError(f"{ENV_FILE}: there is no file {path}")
        return dict(env)
    from dotenv.main import DotEnv
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: it cannot be read as UTF-8 text: {type(e).__name__}") from e
    # The line itself is not shown: what is wrong with it may be that it holds a password.
    wrong = [str(one.original.line) for one in parse_stream(StringIO(text)) if one.error]
    if wrong:
        raise ConfigError(f"{path}: line {', '.join(wrong)}: write NAME=VALUE")
    values = DotEnv(None, stream=StringIO(text), interpolate=False).dict()
    return {**{name: value for name, value in values.items() if value is not None}, **env}


VARIABLES: Mapping[str, Variable] = MappingProxyType(
    {
        "home_folder": Variable(
            ("ETL_HOME",),
            Field(FolderPath(), "Folder that holds everything this installation writes. Two homes never touch."),
        ),
        "search_time_limit_s": Variable(
            ("ETL_SEARCH_TIME_LIMIT_S",),
            Field(
                Real(0.1, 60.0),
                "The longest a search may run. Superseded index rows stay at least this long, "
                "so that a running search never loses them.",
                "seconds",
            ),
        ),
        "parser_processes": Variable(
            ("ETL_PARSER_PROCESSES",),
            Field(Whole(1, 256), "Worker processes that parse documents.", unset="one per available core"),
        ),
        "embedder_threads": Variable(
            ("ETL_EMBEDDER_THREADS",),
            Field(Whole(1, 256), "Threads that compute embeddings in one process.", unset="one per available core"),
        ),
        "lease_s": Variable(
            ("ETL_LEASE_S",),
            Field(
                Real(5.0, 600.0),
                "A run that gave no sign of life for so long loses its partition to the next one.",
                "seconds",
            ),
        ),
        "arrivals_interval_s": Variable(
            ("ETL_ARRIVALS_INTERVAL_S",),
            Field(Whole(5, 86_400), "Time between two looks of the arrival sensor at the store.", "seconds"),
        ),
        "reconcile_interval_s": Variable(
            ("ETL_RECONCILE_INTERVAL_S",),
            Field(
                Whole(60, 604_800),
                "The same where a queue tells of arrivals: the listing then finds only what no event told of.",
                "seconds",
            ),
        ),
        "tenants": Variable(
            ("ETL_TENANTS",),
            Field(
                Matching(_TENANTS, "names or patterns such as acme,beta-*, separated by commas"),
                "Tenants whose documents are processed; what others drop is reported and left alone.",
                unset="all",
            ),
        ),
        "max_runs": Variable(
            ("ETL_MAX_RUNS",),
            Field(Whole(1, 10_000), "Runs at work at one time, on all machines together; others wait in the queue."),
        ),
        "tenant_runs": Variable(
            ("ETL_TENANT_RUNS",),
            Field(Whole(1, 10_000), "Runs of one tenant at one time, so that its backfill leaves room for others."),
        ),
        "pool_limit": Variable(
            ("ETL_POOL_LIMIT",),
            Field(
                Whole(1, 10_000),
                "Steps at one time in each pool, on all machines together: one pool for embeddings and one for each "
                "publication. Set it where a daemon runs: it alone takes slots back from runs that were killed.",
                unset="no limit",
            ),
        ),
        "backup_targets": Variable(
            ("ETL_BACKUP_TARGETS",),
            Field(
                Matching(_TARGETS, "one or two folders or s3://bucket/prefix, separated by a comma"),
                "Where `etl-assets backup` and the `backups` asset write to, unless told otherwise.",
                unset="nowhere",
            ),
        ),
        "backup_keep_days": Variable(
            ("ETL_BACKUP_KEEP_DAYS",),
            Field(Real(0.0, 36_500.0), "Older backups are pruned by the `backups` asset; the newest stays.", "days"),
        ),
    }
)
"""Each setting's variables, by the name of its attribute."""


def _unknown(env: Mapping[str, str]) -> Iterator[str]:
    grouped = [variable for group in GROUPS.values() for variable in group.variables.values()]
    known = [name for variable in [*VARIABLES.values(), *grouped] for name in variable.names]
    known = [name for name in known if name.startswith(PREFIX)] + [ENV_FILE]
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known and not name.startswith(FOREIGN):
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            yield f"{name}={shown(name, env[name])}: unknown; {advice}"


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one installation. People write below ``objects`` and ``collections_file``; the rest is private."""

    root: Path

    @property
    def objects(self) -> Path:
        """Where documents arrive, as ``{tenant}/{collection}/any/path``."""
        return self.root / "objects"

    @property
    def collections_file(self) -> Path:
        """What a person decided about collections; it need not exist."""
        return self.root / "collections.yaml"

    @property
    def originals(self) -> Path:
        """Immutable copies of every version's bytes."""
        return self.root / "originals"

    @property
    def lake(self) -> Path:
        """Parquet segments with the rows of every stage."""
        return self.root / "lake"

    @property
    def indexes(self) -> Path:
        """Vector index, keyword index and knowledge graph: all of it can be rebuilt from the lake."""
        return self.root / "indexes"

    @property
    def ledger(self) -> Path:
        """The folder of the ledger: its database, write-ahead log and locks."""
        return self.root / "ledger"

    @property
    def ledger_file(self) -> Path:
        """The ledger's database, SQLite."""
        return self.ledger / "ledger.sqlite"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME: run and event storage, and ``dagster.yaml``."""
        return self.root / "dagster"

    @property
    def cache(self) -> Path:
        """What can be computed again: prepared models."""
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.root / "logs"

    @property
    def certificates(self) -> Path:
        """Certificates of deletions and the key that signs them, made by the first one."""
        return self.root / "certificates"

    @property
    def tmp(self) -> Path:
        """Files of running work, on the same volume as the rest."""
        return self.root / "tmp"

    def create(self) -> "Home":
        """Make every folder that is missing, and return this home. What exists already keeps its rights.

        ``root`` and ``objects`` follow the umask, since other people and programs may have to drop documents there;
        all others are for their owner alone (mode 0700).

        Raises:
            ConfigError: the path is a file, lies inside another home, or cannot be written.
            PermanentError: its disk is full.
        """
        self._refuse_inside_another()
        private = (self.originals, self.lake, self.indexes, self.ledger, self.dagster, self.cache, self.logs, self.tmp)
        try:
            for folder in (self.root, self.objects):
                folder.mkdir(parents=True, exist_ok=True)
            for folder in private:
                folder.mkdir(mode=0o700, exist_ok=True)
            # Rights alone do not tell: a read-only or full file system refuses root too.
            with tempfile.TemporaryFile(dir=self.tmp) as probe:
                probe.write(b"\0")
        except (FileExistsError, NotADirectoryError) as e:
            raise ConfigError(f"ETL_HOME: {e.filename} is a file, not a folder; set ETL_HOME to a folder") from e
        except OSError as e:
            problem = f"ETL_HOME: {e.filename or self.tmp} cannot be written ({os.strerror(e.errno or 0)})"
            is_full = e.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "free some space" if is_full else "make it writable or set ETL_HOME to another folder"
            raise (PermanentError if is_full else ConfigError)(f"{problem}; {remedy}") from e
        return self

    def _refuse_inside_another(self) -> None:
        for parent in self.root.absolute().parents:
            if Home(parent).ledger_file.exists():
                raise ConfigError(
                    f"ETL_HOME: {self.root} lies inside the home {parent}; set ETL_HOME to a folder outside of it"
                )
