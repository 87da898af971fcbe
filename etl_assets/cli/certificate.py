"""``etl-assets certificate``: list, check and export what proves a deletion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, say, table
from etl_assets.cli.session import as_json, opened
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.protocols.erasure import Certificates


@click.command("list")
@as_json
def list_certificates(as_json: bool) -> None:
    """List the certificates of this installation, and deletions that were interrupted and have none yet."""
    with opened() as platform:
        rows = _listed(platform)
    if as_json:
        for row in rows:
            json_line(row)
        return
    table(
        ("certificate", "kind", "of", "documents", "purged", "completed"),
        [
            (one["certificate"], one["kind"], one["of"], one["documents"], "yes" if one["purged"] else "no",
             one["completed_at"] or "interrupted: etl-assets document delete --resume")
            for one in rows
        ],
        numeric=("documents",),
    )  # fmt: skip
    say(f"{len(rows):,} deletions")


@click.command("public-key")
def public_key() -> None:
    """Print the public key that certificates of this installation are checked with, PEM."""
    with opened() as platform:
        say(_certificates(platform).public_key().decode().rstrip())


@click.command("verify")
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--public-key", "key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The PEM file of the installation that signed.",
)  # fmt: skip
@as_json
def verify_certificate(certificate: Path, key: Path, as_json: bool) -> None:
    """Check the signature of a certificate: NAME.json, whose signature NAME.sig lies beside it. It needs no home."""
    from etl_assets.bindings import verify_signature

    signature = certificate.with_suffix(".sig")
    if not signature.exists():
        raise ConfigError(f"{signature.name}: the signature must lie beside the certificate")
    content = certificate.read_bytes()
    verify_signature(content, signature.read_bytes(), key.read_bytes())
    record: dict[str, Any] = json.loads(content)
    if as_json:
        json_line({"valid": True, "certificate": record["certificate"], "completed_at": record["completed_at"]})
    else:
        say(
            f"valid: {record['documents']:,} documents {'purged' if record['purged'] else 'deleted'}, "
            f"completed {record['completed_at']}, installation {record['installation']}"
        )


def _certificates(platform: Platform) -> Certificates:
    if platform.certificates is None:
        raise ConfigError("this platform keeps no certificates; open it with `open_platform`")
    return platform.certificates()


def _listed(platform: Platform) -> list[dict[str, Any]]:
    from etl_assets.ledger import deletions

    kept = _certificates(platform)
    rows = []
    for name in kept.names():
        one = json.loads(kept.content(name))
        place = "/".join(part for part in (one["deleted"]["tenant"], one["deleted"]["collection"]) if part)
        rows.append(
            {"certificate": name, "kind": one["deleted"]["kind"], "of": place, "documents": one["documents"],
             "purged": one["purged"], "requested_at": one["requested_at"], "completed_at": one["completed_at"]}
        )  # fmt: skip
    with platform.ledger.reading() as connection:
        waiting = deletions.unfinished(connection)
    for row in waiting:
        place = "/".join(part for part in (row.tenant, row.collection) if part)
        rows.append(
            {"certificate": row.deletion_id, "kind": row.kind, "of": place, "documents": len(row.documents),
             "purged": row.purge, "requested_at": instant(row.started_at), "completed_at": None}
        )  # fmt: skip
    return sorted(rows, key=lambda one: str(one["requested_at"]))
