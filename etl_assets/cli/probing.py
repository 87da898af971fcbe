"""Which backend fills which role of an installation, and how each is tried: all at once, each for a limited time."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl_assets.cli.configured_secrets import secrets_in, without
from etl_assets.cli.probed_roles import Role, roles
from etl_assets.errors import EtlAssetsError
from etl_assets.hosted_settings import GROUPS
from etl_assets.protocols.probes import Finding

if TYPE_CHECKING:
    from etl_assets.settings import Settings

TIME_LIMIT_S = 10.0
_LIBRARIES = {
    "s3": "boto3", "aws_secrets": "boto3", "pinecone": "pinecone", "neo4j": "neo4j", "redis": "redis",
    "celery": "kombu", "jina": "httpx", "openai": "httpx", "vault": "httpx",
}  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """A role after its probe."""

    role: Role
    variables: tuple[str, ...]
    found: Finding = field(default_factory=Finding)
    is_done: bool = False

    @property
    def passed(self) -> bool:
        """Whether the role can be filled."""
        return self.is_done and not self.found.problems

    def as_json(self) -> dict[str, Any]:
        """For programs; see docs/reference/json.md."""
        found = self.found
        return {
            "role": self.role.name, "backend": self.role.backend, "hosted": bool(self.role.group),
            "variables": list(self.variables), "passed": self.passed, "version": found.version,
            "latency_ms": found.latency_ms, "rights": dict(found.rights), "limits": dict(found.limits),
            "notes": list(found.notes), "problems": list(found.problems),
        }  # fmt: skip


def probed(
    settings: Settings, env: Mapping[str, str], *, paid: bool = False, limit_s: float = TIME_LIMIT_S
) -> list[Outcome]:
    """Every role, tried; in the order of ``roles``. ``env`` tells which variables chose a backend.

    Raises:
        ConfigError: the home cannot be used.
    """
    from etl_assets.hosted_bindings import Connections

    settings.home.create()
    hosted = Connections(settings)
    outcomes = [Outcome(role, _chosen_by(role.group, env)) for role in roles(hosted, paid=paid)]
    _load(settings)
    run_probes([(one.role, one) for one in outcomes], limit_s)
    hidden = secrets_in(settings, hosted)
    for one in outcomes:
        one.found.notes = [without(text, hidden) for text in one.found.notes]
        one.found.problems = [without(text, hidden) for text in one.found.problems]
        one.found.version = without(one.found.version, hidden)
    return outcomes


def run_probes(work: Sequence[tuple[Role, Outcome]], limit_s: float) -> None:
    """Try all at once. One that has not come back after ``limit_s`` is left behind, with what it has found so far."""
    threads = []
    for role, outcome in work:
        thread = threading.Thread(target=_try, args=(role, outcome), name=f"probe {role.name}", daemon=True)
        thread.start()
        threads.append(thread)
    ends = time.monotonic() + limit_s
    for thread, (_, outcome) in zip(threads, work, strict=True):
        thread.join(max(0.0, ends - time.monotonic()))
        if not outcome.is_done:
            # A copy: the thread may go on writing into its own.
            partial = outcome.found
            outcome.found = Finding(
                partial.version, partial.latency_ms, dict(partial.rights), dict(partial.limits), list(partial.notes),
                [*partial.problems, f"no answer within {limit_s:g} s; check address, firewall and load"],
            )  # fmt: skip


def _try(role: Role, outcome: Outcome) -> None:
    found = outcome.found
    try:
        if role.try_it is not None:
            role.try_it(found)
    except EtlAssetsError as e:
        found.problems.append(str(e))
    except Exception as e:  # noqa: BLE001  # the border of a thread: whatever a client raises, its role says
        found.problems.append(f"{type(e).__name__}: {e}")
    outcome.is_done = True


def _chosen_by(group: str, env: Mapping[str, str]) -> tuple[str, ...]:
    if not group:
        return ()
    return tuple(name for variable in GROUPS[group].variables.values() for name in variable.names if env.get(name))


def _load(settings: Settings) -> None:
    """Import the clients before any clock runs: on a busy machine that takes longer than most answers."""
    wanted = {_LIBRARIES[group] for group in _LIBRARIES if getattr(settings, group) is not None}
    if settings.postgres is not None:
        wanted.add("psycopg")
    for module in sorted(wanted):
        with suppress(ModuleNotFoundError):  # the probe says what to install
            importlib.import_module(module)
