"""``etl-assets runs list``, ``show`` and ``cancel``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, shortened, table
from etl_assets.cli.session import as_json, opened, read_settings, scoped
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.controls import Controls
    from etl_assets.ledger.run_records import RunRecord
    from etl_assets.resources.instance_runs import InstanceRun
    from etl_assets.settings import Settings

STATES = ("waiting", "queued", "starting", "started", "canceling", "succeeded", "failed", "canceled", "lost")
OPEN = ("waiting", "queued", "not_started", "starting", "started", "canceling")
SHOWN = ("run_id", "partition", "state", "source", "batch", "priority", "started_at", "ended_at", "seconds")
_NAME = re.compile(r"[0-9A-Za-z_-]{4,64}")


@click.command("list")
@scoped
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these; may be given twice.")
@click.option("--open", "unfinished", is_flag=True, help="Only those that wait or are at work.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="The newest so many.")
@as_json
def list_runs(
    tenant: str | None, collection: str | None, states: tuple[str, ...], unfinished: bool, limit: int, as_json: bool
) -> None:
    """List runs: who asked for each, its priority, how far it is, and how it ended. Those at work come first.

    waiting: of a sync, not begun yet. queued: in Dagster's queue. lost: its process died; what it finished is kept,
    and the next run goes on.
    """
    wanted = (*states, *(OPEN if unfinished else ()))
    settings = read_settings()
    with opened(settings) as platform:
        shown = run_list(settings, platform, tenant=tenant, collection=collection, states=wanted, limit=limit)
    if as_json:
        for one in shown:
            json_line(_plain(one))
        return
    table(
        ("run", "partition", "state", "source", "priority", "started", "seconds", "progress", ""),
        [
            (one["run_id"][:8], one["partition"], one["state"], one["source"], one["priority"], one["started_at"],
             one["seconds"], progress_text(one), shortened(one["held"] or one["error"] or "", 100))
            for one in shown
        ],
        numeric=("priority", "seconds"),
    )  # fmt: skip
    if not shown:
        say("no such run" if wanted or tenant or collection else "no run yet; etl-assets sync begins one")


@click.command("show")
@click.argument("run", metavar="ID")
@as_json
def show_run(run: str, as_json: bool) -> None:
    """Show a run, or the runs of a batch: what each step did, and how far it is."""
    settings = read_settings()
    with opened(settings) as platform:
        found = _named(settings, platform, run)
    for one in found:
        if as_json:
            json_line(_plain(one))
            continue
        for name in SHOWN:
            value = "-" if one[name] is None else printable(str(one[name]))
            say(f"{name.removesuffix('_at').replace('_', ' ')}: {value}")
        for name in ("held", "error"):
            if one[name]:
                say(f"{name}: {printable(one[name])}")
        if one["progress"]:
            say(f"progress: {progress_text(one)}")
        steps = [(step, *_figures(values)) for step, values in one["steps"].items()]
        table(("step", "figures", "seconds"), steps, numeric=("seconds",))


@click.command("cancel")
@click.argument("names", metavar="ID...", nargs=-1, required=True)
@as_json
def cancel_runs(names: tuple[str, ...], as_json: bool) -> int:
    """Stop runs, by their ids, their batch's or backfill's id, or what either begins with.

    What waits never begins; what is at work stops after the batch at work. What it finished is kept, and nothing half
    done is ever shown. Sensors ask for its partition again after an hour; `etl-assets sync` or `resume` does at once.
    """
    settings = read_settings()
    failed = 0
    with opened(settings) as platform:
        chosen: dict[tuple[str, str], Mapping[str, Any]] = {}
        for name in names:
            chosen |= {(one["run_id"], one["partition"]): one for one in _named(settings, platform, name)}
        for one in chosen.values():
            outcome = _cancel(settings, platform, one)
            failed |= outcome == "ended"
            record = {"run_id": one["run_id"], "partition": one["partition"], "outcome": outcome, "state": one["state"]}
            if as_json:
                json_line(record)
            else:
                say(f"{one['run_id']} {one['partition']}: {_OUTCOMES[outcome].format(state=one['state'])}")
    return failed


_OUTCOMES = {
    "canceled": "canceled before it began",
    "asked": "asked to stop; it does after the batch at work",
    "ended": "it had ended already ({state})",
}


def run_list(
    settings: Settings, platform: Platform, *, tenant: str | None = None, collection: str | None = None,
    states: Sequence[str] = (), limit: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Runs that the ledger keeps or Dagster has not begun; unfinished ones first, then the newest."""
    from etl_assets.launching import instance_runs
    from etl_assets.ledger.catalogue import parse_partition_key
    from etl_assets.ledger.controls import controls
    from etl_assets.ledger.run_records import run_records
    from etl_assets.ledger.runs import STARTED, WAITING

    known = run_records(platform.ledger, tenant=tenant, collection=collection, states=(WAITING, STARTED))
    over = [one for one in states if one not in OPEN] or ([] if states else [one for one in STATES if one not in OPEN])
    if over:
        known += run_records(platform.ledger, tenant=tenant, collection=collection, states=over, limit=limit)
    now = controls(platform.ledger)
    records = [_of_ledger(one, now) for one in known]
    seen = {one.run_id for one in known}
    for run in instance_runs(settings):
        owner, name, _, _ = parse_partition_key(run.partition)
        # Of a command's own runs the ledger tells more, and first; Dagster keeps those that were killed as started.
        if run.is_ours or run.run_id in seen:
            continue
        if tenant in (None, owner) and collection in (None, name):
            records.append(_of_instance(run, now))
    found = (one for one in records if not states or one["state"] in states)
    return sorted(found, key=lambda one: (one["state"] not in OPEN, -one["since"]))[:limit]


def _named(settings: Settings, platform: Platform, name: str) -> list[dict[str, Any]]:
    """The runs that are meant.

    Raises:
        ConfigError: there is none, or a beginning names several runs of different batches.
    """
    from etl_assets.launching import instance_runs
    from etl_assets.ledger.controls import controls
    from etl_assets.ledger.run_records import runs_named

    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"run {printable(name)!r}: give an id, or the first four or more of its characters")
    now = controls(platform.ledger)
    known = runs_named(platform.ledger, name)
    found = [_of_ledger(one, now) for one in known]
    ids = {one.run_id for one in known}
    others = (one for one in instance_runs(settings, name) if one.run_id not in ids and not one.is_ours)
    found += [_of_instance(one, now) for one in others]
    if not found:
        raise ConfigError(f"run {name}: there is none; `etl-assets runs list` names those there are")
    if len({one["run_id"] for one in found}) > 1 and len({one["batch"] or one["run_id"] for one in found}) > 1:
        several = ", ".join(sorted({one["run_id"] for one in found})[:5])
        raise ConfigError(f"run {name}: several begin so: {several}")
    return found


def _cancel(settings: Settings, platform: Platform, one: Mapping[str, Any]) -> str:
    from etl_assets.launching import cancel_run, instance_runs
    from etl_assets.ledger import controls, requests, runs

    run_id, partition = one["run_id"], one["partition"]
    if one["state"] not in OPEN:
        return "ended"
    in_dagster = [run for run in instance_runs(settings, run_id) if run.run_id == run_id]
    stopped = any(not run.is_ours and not run.is_over and cancel_run(settings, run_id) for run in in_dagster)
    with platform.ledger.writing() as connection:
        # Where Dagster does not reach the process the ledger does.
        asked = [] if stopped else runs.ask_to_stop(connection, run_id)
        if not stopped and partition not in asked:
            return "ended"
        requests.put_off(connection, partition)
        controls.note(connection, "cancel", partition, {"run_id": run_id, "state": one["state"]})
    return "asked" if one["state"] in ("started", "canceling") else "canceled"


def _of_ledger(one: RunRecord, now: Controls) -> dict[str, Any]:
    progress = dict(one.progress) if one.progress and not one.is_over else None
    ended = one.ended_at
    steps = {name: values for name, values in one.report.items() if isinstance(values, Mapping)}
    state = "canceling" if one.cancel_at is not None and not one.is_over else one.state
    return _record(
        one.run_id, one.partition, state, one.source, one.batch, one.priority, since=one.started_at, ended_at=ended,
        held=_held(now, one.partition, one.batch) if one.state == "waiting" else None,
        error=one.report.get("error"), progress=progress, steps=steps,
    )  # fmt: skip


def _of_instance(run: InstanceRun, now: Controls) -> dict[str, Any]:
    origin = run.origin
    held = _held(now, run.partition, origin.batch) if run.is_held else None
    return _record(
        run.run_id, run.partition, _IN_LEDGER.get(run.state, run.state), origin.source, origin.batch, origin.priority,
        since=run.created_at, ended_at=None, held=held, error=None, progress=None, steps={},
    )  # fmt: skip


_IN_LEDGER = {"success": "succeeded", "failure": "failed"}


def _record(
    run_id: str, partition: str, state: str, source: str | None, batch: str | None, priority: int | None, *,
    since: float, ended_at: float | None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    return {
        "run_id": run_id, "partition": partition, "state": state, "source": source, "batch": batch,
        "priority": priority, "started_at": instant(since), "ended_at": instant(ended_at),
        "seconds": None if ended_at is None else round(max(ended_at - since, 0.0), 1), **more, "since": since,
    }  # fmt: skip


def _plain(one: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only sorts."""
    return {name: value for name, value in one.items() if name != "since"}


def _held(now: Controls, partition: str, batch: str | None) -> str | None:
    from etl_assets.cli.control import told_pause

    pause = now.pause_of(partition, batch)
    return "paused" if pause is None else told_pause(pause)


def progress_text(one: Mapping[str, Any]) -> str:
    """How far a run is: stage, documents and rows a second."""
    progress = one["progress"]
    if not progress:
        return ""
    if not progress["total"]:
        return str(progress["stage"])
    rate = progress["rows"] / progress["elapsed_s"] if progress["elapsed_s"] else 0.0
    return f"{progress['stage']} {progress['done']:,} of {progress['total']:,}, {rate:,.1f} rows/s"


def _figures(values: Mapping[str, Any]) -> Sequence[object]:
    numbers = [f"{name} {value:,}" for name, value in values.items() if type(value) is int and value]
    return ", ".join(numbers), float(values.get("elapsed_s") or values.get("seconds") or 0.0)
