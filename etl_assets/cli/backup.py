"""``etl-assets backup``, ``backup list``, ``backup prune``, ``verify-backup`` and ``restore``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import instant, json_line, printable, say, table, warn
from etl_assets.cli.session import as_json, read_settings
from etl_assets.errors import ConfigError, EtlAssetsError

if TYPE_CHECKING:
    from etl_assets.documents.backups.check import BackupCheck
    from etl_assets.documents.backups.restored_home import RestoreReport
    from etl_assets.settings import Settings

_SHOWN = 20


def back_up(targets: tuple[str, ...], as_json: bool) -> int:
    """Back up ledger, lake, originals and collections.yaml at one moment, while work goes on.

    What a target has already is not copied again. Searches and runs need not stop.
    """
    from etl_assets.backup_bindings import open_places, open_target
    from etl_assets.documents.backups.backup import make_backup

    settings = read_settings()
    names = _targets(settings, targets)
    failed = 0
    with open_places(settings) as places:
        for name in names:
            try:
                with open_target(settings, name) as target:
                    report = make_backup(places, target)
            except EtlAssetsError as error:
                failed += 1
                if as_json:
                    json_line({"target": name, "error": str(error)})
                warn(f"etl-assets: no backup was made to {printable(name)}: {printable(str(error))}")
                continue
            if as_json:
                json_line(report.as_json())
            else:
                say(
                    f"{printable(name)}: backup {report.backup} of sequence {report.sequence:,}: {report.rows:,} rows, "
                    f"{report.files:,} files; {report.bytes_written:,} bytes were new, {report.seconds:.1f} s"
                )
    return 1 if failed else 0


def _targets(settings: Settings, given: tuple[str, ...]) -> list[str]:
    names = list(dict.fromkeys(given or settings.backup_places))
    if not names:
        raise ConfigError("say where to: --to FOLDER or --to s3://bucket/prefix, or set ETL_BACKUP_TARGETS")
    return names


@click.command("list")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@as_json
def list_backups(targets: tuple[str, ...], as_json: bool) -> int:
    """List the finished backups of a target, the oldest first; of those in ETL_BACKUP_TARGETS without one."""
    from etl_assets.backup_bindings import open_target

    settings = read_settings()
    rows = []
    for name in _targets(settings, targets):
        with open_target(settings, name, exists=True) as target:
            for one in target.manifests():
                record = {
                    "target": name, "backup": one.backup, "sequence": one.sequence, "taken_at": instant(one.taken_at),
                    "files": one.file_count, "file_bytes": one.file_bytes, "installation": one.installation,
                    "program": one.program,
                }  # fmt: skip
                rows.append(record)
                if as_json:
                    json_line(record)
    if not as_json:
        shown = ("target", "backup", "sequence", "taken_at", "files", "file_bytes")
        table(shown, [[row[name] for name in shown] for row in rows], numeric=("sequence", "files", "file_bytes"))
        if not rows:
            say("no finished backup")
    return 0


@click.command()
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--keep-days", type=click.FloatRange(0), help="Keep younger ones; ETL_BACKUP_KEEP_DAYS without it.")
@as_json
def prune(targets: tuple[str, ...], keep_days: float | None, as_json: bool) -> int:
    """Forget old backups, and delete what only they named. The newest one always stays."""
    from etl_assets.backup_bindings import open_places, open_target
    from etl_assets.documents.backups.backup import prune as forget

    settings = read_settings()
    days = settings.backup_keep_days if keep_days is None else keep_days
    with open_places(settings) as places:
        for name in _targets(settings, targets):
            with open_target(settings, name, exists=True) as target:
                gone, freed = forget(places.ledger, target, keep_days=days)
            if as_json:
                json_line({"target": name, "pruned": gone, "bytes_freed": freed})
            else:
                say(f"{printable(name)}: {len(gone):,} backups are gone, {freed:,} bytes were freed")
    return 0


@click.command("verify-backup")
@click.argument("target", metavar="TARGET")
@click.option("--backup", metavar="NAME", help="Only this one; `etl-assets backup list` shows the names.")
@as_json
def verify(target: str, backup: str | None, as_json: bool) -> int:
    """Read every byte of a target's backups back and try their ledgers; exit code 1 if anything is damaged."""
    from etl_assets.backends.local_files import Scratch
    from etl_assets.backup_bindings import ENDINGS, open_target
    from etl_assets.documents.backups.check import Verifier

    settings = read_settings()
    problems = 0
    scratch = Scratch(settings.home.create().tmp / "verified")
    with open_target(settings, target, exists=True) as place, scratch.folder() as folder:
        names = place.names() if backup is None else [backup]
        if not names:
            raise ConfigError(f"{target} holds no finished backup")
        verifier = Verifier(place, folder, endings=ENDINGS)
        for name in names:
            found = verifier.check(name)
            problems += len(found.problems)
            _tell_check(found, as_json)
    return 1 if problems else 0


def _tell_check(found: BackupCheck, as_json: bool) -> None:
    if as_json:
        json_line({
            "backup": found.backup, "sequence": found.sequence, "taken_at": instant(found.taken_at),
            "pieces": found.pieces, "bytes_read": found.bytes_read, "problems": found.problems,
        })  # fmt: skip
        return
    state = f"{len(found.problems):,} problems" if found.problems else "good"
    say(f"{found.backup}: {state}; {found.pieces:,} pieces, {found.bytes_read:,} bytes read")
    for line in found.problems[:_SHOWN]:
        say(f"  {printable(line)}")
    if len(found.problems) > _SHOWN:
        say(f"  and {len(found.problems) - _SHOWN:,} more")


@click.command()
@click.option("--from", "source", metavar="TARGET", required=True, help="A folder or s3://bucket/prefix.")
@click.option("--at", metavar="TIME", help="As it was then, for example 2026-05-01T12:00:00Z (UTC without an offset).")
@click.option("--sequence", type=click.IntRange(0), help="As of this number of the ledger.")
@click.option("--backup", metavar="NAME", help="As of this backup; the newest one without any of the three.")
@click.option("--into", metavar="HOME", help="The home to bring back, instead of ETL_HOME.")
@click.option("--replace", is_flag=True, help="Give up what the home holds.")
@as_json
def restore(
    source: str, at: str | None, sequence: int | None, backup: str | None, into: str | None, replace: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Bring a home back from a backup. Searches and runs are refused until it is done.

    Stop Dagster, workers and searches of the home before. What was interrupted is begun again by the same command.
    """
    import dataclasses

    from etl_assets.backup_bindings import open_target, restore_home
    from etl_assets.documents.backups.restore import Point

    if sum(one is not None for one in (at, sequence, backup)) > 1:
        raise click.UsageError("give one of --at, --sequence and --backup")
    settings = read_settings()
    if into is not None:
        settings = dataclasses.replace(settings, home_folder=str(Path(into).absolute()))
    point = Point(backup, sequence, None if at is None else _seconds(at))
    with open_target(settings, source, exists=True) as target:
        report = restore_home(settings, target, point, replace=replace)
    if as_json:
        json_line(report.as_json())
    else:
        _tell_restore(report, settings)
    return 0


def _tell_restore(report: RestoreReport, settings: Settings) -> None:
    say(
        f"{settings.home.root} is as of sequence {report.sequence:,} (backup {report.backup}): {report.documents:,} "
        f"documents answer, {report.files:,} files were brought back, {report.seconds:.1f} s"
    )
    if report.put_back:
        say(f"{report.put_back:,} documents were laid under their keys again")
    if report.recomputed:
        say(f"{report.recomputed:,} outputs of that time were in no backup and were made again from the originals")
    if report.not_put_back:
        warn(f"etl-assets: {len(report.not_put_back):,} documents could not be laid under their keys; the next sync")
        warn("takes them for removed. " + printable(report.not_put_back[0]))


def _seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise click.BadParameter(f"{text!r}: write a time such as 2026-05-01T12:00:00Z", param_hint="--at") from e
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
