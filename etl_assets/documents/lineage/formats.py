"""Lineage and impact as a drawing in Mermaid's text form, and lineage as run events of OpenLineage 2-0-2.

The forms: mermaid.js.org/syntax/flowchart, openlineage.io/docs/spec/object-model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from etl_assets.documents.model import (
    CHUNKS,
    CLASSIFICATIONS,
    EMBEDDINGS,
    KNOWLEDGE,
    MENTIONS,
    PAGES,
    RELATIONS,
    STAGES,
)
from etl_assets.documents.origin import Origin
from etl_assets.stages.spec import Stage

if TYPE_CHECKING:
    from etl_assets.documents.lineage.impact import Impact

PRODUCER = "urn:etl-assets:lineage"
NAMESPACE = "etl-assets"
_RUNS = UUID("6f0f3a38-5a0c-5f0e-9b0b-1d1a4e1c2b7d")
_SPEC = "https://openlineage.io/spec"
_LONGEST_LABEL = 80

_MADE_OF: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = {
    PAGES.name: dict.fromkeys(("page", "text", "headings", "tables"), (("original", "bytes"),)),
    CHUNKS.name: {
        "page": ((PAGES.name, "page"),), "heading": ((PAGES.name, "text"), (PAGES.name, "headings")),
        **dict.fromkeys(
            ("chunk_id", "ordinal", "start", "end", "text", "token_count", "text_digest"), ((PAGES.name, "text"),)
        ),
    },
    EMBEDDINGS.name: {
        "chunk_id": ((CHUNKS.name, "chunk_id"),),
        **dict.fromkeys(("text_digest", "vector"), ((CHUNKS.name, "text"),)),
    },
    KNOWLEDGE.name: dict.fromkeys(("kind", "key", "value"), ((PAGES.name, "text"),)),
    CLASSIFICATIONS.name: dict.fromkeys(
        ("kind", "label", "rank", "score", "accepted", "evidence", "classifier"),
        ((PAGES.name, "text"), (PAGES.name, "headings"), (KNOWLEDGE.name, "value")),
    ),
    RELATIONS.name: {
        "page": ((PAGES.name, "page"),),
        **dict.fromkeys(("sentence", "start", "end", "negated", "certainty", "trigger"), ((PAGES.name, "text"),)),
        **dict.fromkeys(("kind", "confidence", "method"), ((PAGES.name, "text"), (MENTIONS.name, "entity_type"))),
        **{
            f"{role}_{part}": ((MENTIONS.name, column),)
            for role in ("subject", "object")
            for part, column in (
                ("id", "entity_id"), ("type", "entity_type"), ("name", "name"), ("start", "start"), ("end", "end")
            )
        },
    },
    MENTIONS.name: {
        "page": ((PAGES.name, "page"),),
        "chunk_id": ((CHUNKS.name, "chunk_id"), (CHUNKS.name, "start"), (CHUNKS.name, "end")),
        **dict.fromkeys(
            ("start", "end", "text", "entity_id", "entity_type", "name", "confidence", "context", "method"),
            ((PAGES.name, "text"),),
        ),
    },
}  # fmt: skip
"""Stage -> column -> the (input, column) that it is made of."""


def mermaid(top: Origin) -> str:
    """A flow chart from the bytes to ``top``; what several things were made of is one box."""
    boxes: dict[tuple[str, str], str] = {}
    arrows: dict[str, None] = {}
    lines = ["flowchart BT"]
    for one in top.walk():
        if (one.kind, one.name) not in boxes:
            boxes[one.kind, one.name] = f"n{len(boxes)}"
            lines.append(f'  {boxes[one.kind, one.name]}["{_label(_told(one))}"]')
    for one in top.walk():
        for source in one.sources:
            arrows[f"  {boxes[source.kind, source.name]} --> {boxes[one.kind, one.name]}"] = None
    return "\n".join([*lines, *arrows, ""])


def mermaid_impact(found: Impact) -> str:
    """A flow chart from one thing to the assets, partitions and saved searches that rest on it."""
    from etl_assets.documents.lineage.impact import DOWNSTREAM

    lines = ["flowchart LR", f'  top["{_label(f"{found.kind} {found.name}")}"]']
    lines += [f'  {asset}["{asset}"]' for asset in found.assets]
    reached = {later for asset in found.assets for later in DOWNSTREAM[asset]}
    lines += [f"  top --> {asset}" for asset in found.assets if asset not in reached and asset != found.name]
    lines += [f"  top --> {later}" for later in DOWNSTREAM.get(found.name, ()) if found.name in found.assets]
    lines += [f"  {asset} --> {later}" for asset in found.assets for later in DOWNSTREAM[asset] if asset != found.name]
    for number, (key, one) in enumerate(sorted(found.partitions.items())):
        lines += [f'  p{number}["{_label(f"partition {key}: {one.documents:,} documents")}"]', f"  top --> p{number}"]
    for number, search in enumerate(found.searches):
        lines += [f'  s{number}["{_label(f"saved search {search.name}")}"]', f"  top --> s{number}"]
    return "\n".join([line for line in lines if line != f'  {found.name}["{found.name}"]'] + [""])


def run_events(top: Origin) -> Iterator[dict[str, Any]]:
    """START and COMPLETE of each run of a stage, in the order in which they computed.

    A dataset is a partition at a stage, and what the first stage reads is one original. The run's id is made of the
    run's own and the stage, since there a run has one job. What has no time of its own is left out.
    """
    runs: dict[tuple[str, str, str], list[Origin]] = {}
    for one in {one.name: one for one in top.walk() if one.kind == "output"}.values():
        key = (str(one.facts["run_id"]), str(one.facts["partition"]), str(one.facts["stage"]))
        runs.setdefault(key, []).append(one)
    stages = {stage.name: (place, stage) for place, stage in enumerate(STAGES)}
    for (run_id, partition, name), made in sorted(runs.items(), key=lambda run: (stages[run[0][2]][0], run[0])):
        yield from _events(run_id, partition, stages[name][1], made)


def _events(run_id: str, partition: str, stage: Stage, made: list[Origin]) -> Iterator[dict[str, Any]]:
    run = {
        "runId": str(uuid5(_RUNS, f"{run_id}/{partition}/{stage.name}")),
        "facets": {
            "etlAssets": _facet("2-0-2/OpenLineage.json#/$defs/RunFacet") | {
                "runId": run_id, "outputs": [_made(one) for one in made],
            }
        },
    }  # fmt: skip
    job = {"namespace": NAMESPACE, "name": f"{partition}.{stage.name}", "facets": {}}
    inputs = _inputs(partition, stage, made)
    at = [str(one.facts["computed_at"]) for one in made]
    started = [str(one.facts["run_started_at"] or one.facts["computed_at"]) for one in made]
    common = {
        "run": run,
        "job": job,
        "producer": PRODUCER,
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }
    output = {
        "namespace": NAMESPACE, "name": f"{partition}.{stage.name}",
        "facets": {"schema": _schema(stage), "columnLineage": _columns(stage, inputs)},
        "outputFacets": {
            "outputStatistics": _facet(
                "facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"
            ) | {"rowCount": sum(int(str(one.facts["rows"])) for one in made)}
        },
    }  # fmt: skip
    datasets = [{"namespace": one["namespace"], "name": one["name"], "facets": {}} for one in inputs]
    yield {"eventType": "START", "eventTime": min(started), **common, "inputs": datasets, "outputs": []}
    yield {"eventType": "COMPLETE", "eventTime": max(at), **common, "inputs": datasets, "outputs": [output]}


def _inputs(partition: str, stage: Stage, made: list[Origin]) -> list[dict[str, str]]:
    if stage.inputs:
        return [{"namespace": NAMESPACE, "name": f"{partition}.{one}", "of": one} for one in stage.inputs]
    keys = {source.name: None for one in made for source in one.sources if source.kind == "original"}
    return [{"namespace": f"{NAMESPACE}.originals", "name": key, "of": "original"} for key in keys]


def _columns(stage: Stage, inputs: list[dict[str, str]]) -> dict[str, Any]:
    fields = {
        column: {
            "inputFields": [
                {"namespace": one["namespace"], "name": one["name"], "field": field}
                for name, field in sources for one in inputs if one["of"] == name
            ]
        }
        for column, sources in _MADE_OF[stage.name].items()
    }  # fmt: skip
    return _facet("facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet") | {"fields": fields}


def _schema(stage: Stage) -> dict[str, Any]:
    fields = [{"name": name, "type": str(kind)} for name, kind in stage.columns().items()]
    return _facet("facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet") | {"fields": fields}


def _facet(schema: str) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{_SPEC}/{schema}"}


def _made(one: Origin) -> dict[str, Any]:
    names = ("document_id", "version", "producer", "parameters", "rows", "segment", "input_digest", "output_digest")
    return {name: one.facts[name] for name in names}


def _told(one: Origin) -> str:
    if one.kind == "output":
        return f"{one.facts['stage']}: {one.facts['rows']} rows by {one.facts['producer']}"
    place = str(one.facts.get("object_key") or one.facts.get("path") or "")
    return f"{one.kind} {place or one.name}"


def _label(text: str) -> str:
    """Text that Mermaid shows as it is, in one line."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    line = line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"
    return "".join(f"#{ord(c)};" if c in '"#<>&;[]{}|`\\' else c for c in line)
