"""``etl-assets check``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import json_line, printable, say
from etl_assets.cli.session import as_json, chosen_partitions, opened, scoped

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.catalogue import Partition

CITATIONS = "citations_of_sampled_searches_verify"
SETTINGS = "settings_can_be_used"


@click.command()
@scoped
@click.option("--sample", type=click.IntRange(0, 1000), default=20, show_default=True,
              help="How many searches to try in each collection.")  # fmt: skip
@as_json
def check(tenant: str | None, collection: str | None, sample: int, as_json: bool) -> int:
    """Run every check over everything that is stored; exit code 1 if one fails. It changes nothing.

    A check of severity warn tells, and does not fail.
    """
    results: list[dict[str, Any]] = []
    with opened() as platform:
        places = chosen_partitions(platform, tenant, collection)
        for result in _results(platform, places, sample):
            results.append(result)
            if as_json:
                json_line(result)
            else:
                _show(result)
    failed = sum(1 for one in results if not one["passed"] and one["severity"] == "error")
    warned = sum(1 for one in results if not one["passed"] and one["severity"] == "warn")
    if not as_json:
        say(f"{len(results):,} checks: {failed:,} failed, {warned:,} warned")
    return 1 if failed else 0


def _results(platform: Platform, places: list[Partition], sample: int) -> Iterator[dict[str, Any]]:
    from etl_assets.documents.consistency.verification import run_checks
    from etl_assets.errors import ConfigError

    for place in places:
        try:
            for result in run_checks(platform, place):
                yield result.as_json()
        except ConfigError as error:  # without its settings nobody knows what should be stored
            yield {
                "check": SETTINGS, "asset": "raw_documents", "partition": place.key, "passed": False,
                "severity": "error", "counts": {}, "details": [str(error)],
            }  # fmt: skip
    if sample:
        for tenant, collection in sorted({(place.tenant, place.collection) for place in places}):
            yield _citations(platform, tenant, collection, sample)


def _citations(platform: Platform, tenant: str, collection: str, sample: int) -> dict[str, Any]:
    from etl_assets.bindings import search_places
    from etl_assets.search.checks import verify_citations

    report = verify_citations(search_places(platform), tenant=tenant, collection=collection, sample=sample)
    details = [f"{one.document}: {one.problem}; asked {one.query!r}" for one in report.failures[:20]]
    return {
        "check": CITATIONS, "asset": "published_documents", "partition": f"{tenant}.{collection}",
        "passed": report.passed, "severity": "error",
        "counts": {
            "searches": report.searches, "hits": report.hits, "verified": report.verified,
            "superseded": report.superseded, "failures": len(report.failures),
        },
        "details": [*details, *sorted(report.degraded)],
    }  # fmt: skip


def _show(result: dict[str, Any]) -> None:
    word = "passed" if result["passed"] else {"error": "FAILED", "warn": "warns"}[result["severity"]]
    counts = ", ".join(f"{name} {count:,}" for name, count in result["counts"].items())
    say(f"{word:6}  {result['partition']}  {result['check']}  ({counts})")
    if not result["passed"]:
        for detail in result["details"]:
            say(f"        {printable(detail)}")
