"""Lineage as a drawing and as OpenLineage's run events."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from etl_assets.documents.lineage.formats import mermaid, mermaid_impact, run_events
from etl_assets.documents.lineage.impact import impact
from etl_assets.documents.lineage.subject import subject_of
from etl_assets.documents.lineage.upstream import lineage
from etl_assets.documents.model import STAGES
from etl_assets.documents.origin import Origin
from etl_assets_tests.small_homes import SmallHome

FACET = {
    "type": "object", "required": ["_producer", "_schemaURL"],
    "properties": {"_producer": {"type": "string", "format": "uri"}, "_schemaURL": {"type": "string", "format": "uri"}},
}  # fmt: skip
FACETS = {"type": "object", "additionalProperties": FACET}
NAMED = {"namespace": {"type": "string"}, "name": {"type": "string"}, "facets": FACETS}
FIELD = {
    "type": "object", "required": ["namespace", "name", "field"],
    "properties": {"namespace": {"type": "string"}, "name": {"type": "string"}, "field": {"type": "string"}},
}  # fmt: skip
COLUMNS = {
    "type": "object", "required": ["fields"],
    "properties": {"fields": {"type": "object", "additionalProperties": {
        "type": "object", "required": ["inputFields"],
        "properties": {"inputFields": {"type": "array", "minItems": 1, "items": FIELD}},
    }}},
}  # fmt: skip
RUN_EVENT = {
    "type": "object", "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
        "run": {"type": "object", "required": ["runId"],
                "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS}},
        "job": {"type": "object", "required": ["namespace", "name"], "properties": NAMED},
        "inputs": {"type": "array", "items": {"type": "object", "required": ["namespace", "name"],
                                              "properties": NAMED}},
        "outputs": {"type": "array", "items": {
            "type": "object", "required": ["namespace", "name"],
            "properties": NAMED | {
                "facets": {"allOf": [FACETS, {"properties": {"columnLineage": COLUMNS}}]},
                "outputFacets": {"allOf": [FACETS, {"properties": {"outputStatistics": {
                    "required": ["rowCount"], "properties": {"rowCount": {"type": "integer"}},
                }}}]},
            },
        }},
    },
}  # fmt: skip
"""What OpenLineage 2-0-2 asks of a run event and of the facets that are written here."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    home = SmallHome.ran(tmp_path / "home")
    yield home
    home.platform.close()


def events(home: SmallHome, name: str) -> list[dict[str, Any]]:
    return list(run_events(lineage(home.platform, subject_of(home.platform, name))))


@pytest.mark.parametrize("name", ["acme/reports/bear.txt", "EMOTET"])
def test_run_events_are_what_openlineage_asks_for(name: str, home: SmallHome) -> None:
    check = Draft202012Validator(RUN_EVENT, format_checker=FormatChecker())
    found = events(home, name)
    assert found
    for event in found:
        check.validate(event)
        assert UUID(event["run"]["runId"]) and datetime.fromisoformat(event["eventTime"])
    runs = [event["run"]["runId"] for event in found]
    assert runs[::2] == runs[1::2] and len(set(runs)) * 2 == len(runs)
    assert [event["eventType"] for event in found] == ["START", "COMPLETE"] * (len(found) // 2)


def test_every_column_of_every_stage_is_traced_to_columns_that_exist(home: SmallHome) -> None:
    columns = {stage.name: set(stage.columns()) for stage in STAGES}
    done = [event for event in events(home, "acme/reports/bear.txt") if event["eventType"] == "COMPLETE"]
    assert [event["job"]["name"].rpartition(".")[2] for event in done] == list(columns)
    for event in done:
        (output,) = event["outputs"]
        facets = output["facets"]
        named = {field["name"] for field in facets["schema"]["fields"]}
        assert named == set(facets["columnLineage"]["fields"]) == columns[output["name"].rpartition(".")[2]]
        inputs = {(one["namespace"], one["name"]) for one in event["inputs"]}
        for column in facets["columnLineage"]["fields"].values():
            for field in column["inputFields"]:
                assert (field["namespace"], field["name"]) in inputs
                stage = field["name"].rpartition(".")[2]
                assert field["field"] in columns.get(stage, {"bytes"})


def test_a_drawing_has_a_box_for_each_thing_and_arrows_between_them(home: SmallHome) -> None:
    found = lineage(home.platform, subject_of(home.platform, "acme/reports/bear.txt"))
    text = mermaid(found)
    boxes = set(re.findall(r"^  (n\d+)\[", text, re.MULTILINE))
    ends = {end for arrow in re.findall(r"^  (n\d+) --> (n\d+)$", text, re.MULTILINE) for end in arrow}
    assert text.startswith("flowchart BT\n") and boxes == ends
    assert len(boxes) == len({(one.kind, one.name) for one in found.walk()})
    drawn = mermaid_impact(impact(home.platform, "chunks"))
    assert "  top --> embeddings\n" in drawn and "  vector_index --> published_documents\n" in drawn


def test_no_name_breaks_a_drawing() -> None:
    text = mermaid(Origin("document", "x", {"path": 'a"]\n--> <b>#;'}))
    assert text.count("\n") == 2 and '"' not in text.split('["')[1].removesuffix('"]\n')
