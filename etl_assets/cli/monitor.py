"""``etl-assets monitor``."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.machine import Machine, size
from etl_assets.cli.output import console, instant, json_line, printable, say, shortened
from etl_assets.cli.session import as_json, opened, read_settings
from etl_assets.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from etl_assets.documents.platform import Platform
    from etl_assets.settings import Settings

SHOWN_RUNS = 15
SHOWN_ERRORS = 5
LAST_HOUR_S = 3600.0


@click.command()
@click.option("--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between.")
@click.option("--once", is_flag=True, help="Look once, and end.")
@as_json
def monitor(every: float, once: bool, as_json: bool) -> int:
    """Show what waits, what is at work and how fast, what failed, and what the machine has left, until Ctrl-C.

    Where the output is no terminal, plain text is written at every look.
    """
    settings = read_settings()
    machine = Machine(settings.home.root)
    with opened(settings) as platform, ExitStack() as stack:
        show = _lines if as_json else _drawn(stack) if sys.stdout.isatty() and not once else _text
        try:
            while True:
                _look(settings, platform, machine, show, may_fail=not once)
                if once:
                    return 0
                time.sleep(every)
        except KeyboardInterrupt:
            return 0


def _look(
    settings: Settings, platform: Platform, machine: Machine, show: Callable[[dict[str, Any]], None], *, may_fail: bool
) -> None:
    try:
        show(facts(settings, platform, machine))
    except TransientError as error:
        if not may_fail:
            raise
        show({"at": instant(time.time()), "unreachable": str(error)})  # the next look may reach it again


def facts(settings: Settings, platform: Platform, machine: Machine) -> dict[str, Any]:
    """Everything that is shown, as plain values."""
    from etl_assets.cli.runs import run_list
    from etl_assets.ledger import quarantine
    from etl_assets.ledger.controls import controls, told
    from etl_assets.ledger.run_records import ended_since

    unfinished = run_list(settings, platform, states=OPEN_STATES, limit=1_000)
    recent, errors = ended_since(platform.ledger, LAST_HOUR_S, errors=SHOWN_ERRORS)
    now = controls(platform.ledger)
    return {
        "at": instant(time.time()),
        "paused": [{"scope": told(one.scope), "reason": one.reason} for one in now.by_scope.values() if one.paused],
        "queue": _queue(unfinished) | {"most_at_once": settings.max_runs},
        "runs": [{name: one[name] for name in RUN_FIELDS} for one in unfinished[:SHOWN_RUNS]],
        "rows_per_s": round(sum(map(_rate, unfinished)), 1),
        "last_hour": recent,
        "errors": [
            {"run_id": one.run_id, "partition": one.partition, "state": one.state, "ended_at": instant(one.ended_at),
             "error": one.report.get("error")}
            for one in errors
        ],
        "quarantined": quarantine.count(platform.ledger),
        "machine": machine.figures(),
    }  # fmt: skip


OPEN_STATES = ("waiting", "queued", "not_started", "starting", "started", "canceling")
RUN_FIELDS = ("run_id", "partition", "state", "source", "priority", "started_at", "progress", "held")


def _queue(unfinished: list[dict[str, Any]]) -> dict[str, int]:
    held = sum(1 for one in unfinished if one["held"])
    at_work = sum(1 for one in unfinished if one["state"] in ("started", "canceling"))
    return {"at_work": at_work, "held_back": held, "waiting": len(unfinished) - at_work - held}


def _rate(one: dict[str, Any]) -> float:
    progress = one["progress"]
    return progress["rows"] / progress["elapsed_s"] if progress and progress["elapsed_s"] else 0.0


def _lines(found: dict[str, Any]) -> None:
    json_line(found)
    sys.stdout.flush()


def _text(found: dict[str, Any]) -> None:
    say(*_heading(found))
    for one in found.get("runs", ()):
        say("  " + "  ".join(_run(one)))
    for one in found.get("errors", ()):
        say(f"  {_error(one)}")


def _drawn(stack: ExitStack) -> Callable[[dict[str, Any]], None]:
    """One picture, drawn anew at every look."""
    from rich.live import Live

    live = stack.enter_context(Live(console=console(), auto_refresh=False, screen=True))
    return lambda found: live.update(_picture(found), refresh=True)


def _picture(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title="runs", title_justify="left", expand=True)
    for name in ("run", "partition", "state", "source", "since", "progress"):
        table.add_column(name, overflow="fold")
    for one in found.get("runs", ()):
        table.add_row(*map(Text, _run(one)))
    errors = [Text(_error(one), style="red") for one in found.get("errors", ())]
    return Group(*map(Text, _heading(found)), table, *errors)


def _heading(found: dict[str, Any]) -> list[str]:
    if "unreachable" in found:
        return [f"{found['at']}  {printable(found['unreachable'])}"]
    queue, hour, machine = found["queue"], found["last_hour"], found["machine"]
    share = "?" if machine["cpu_share"] is None else f"{machine['cpu_share']:.0%}"
    lines = [
        f"{found['at']}  {queue['at_work']:,} at work (at most {queue['most_at_once']:,}), {queue['waiting']:,} wait, "
        f"{queue['held_back']:,} held back; {found['rows_per_s']:,.1f} rows/s",
        f"last hour: {hour['succeeded']:,} succeeded, {hour['failed']:,} failed, {hour['canceled']:,} canceled, "
        f"{hour['lost']:,} lost; {hour['documents']:,} documents taken in; {found['quarantined']:,} in quarantine",
        f"cpu {share} of {machine['cpu_count']}, load {machine['load_1_min']}; "
        f"memory {size(machine['memory_free_bytes'])} of {size(machine['memory_total_bytes'])} free; "
        f"disk {size(machine['disk_free_bytes'])} of {size(machine['disk_total_bytes'])} free",
    ]
    if found["paused"]:
        names = (one["scope"] + (f" ({one['reason']})" if one["reason"] else "") for one in found["paused"])
        lines.append(f"paused: {printable(', '.join(names))}")
    return lines


def _run(one: dict[str, Any]) -> tuple[str, ...]:
    from etl_assets.cli.runs import progress_text

    what = shortened(one["held"], 80) if one["held"] else progress_text(one)
    return one["run_id"][:8], one["partition"], one["state"], one["source"] or "-", one["started_at"] or "", what


def _error(one: dict[str, Any]) -> str:
    return f"{one['ended_at']} {one['partition']} {one['state']}: {shortened(one['error'] or '', 160)}"
