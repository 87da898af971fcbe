import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from stix2validator import ValidationOptions, validate_instance

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import find_mentions
from etl_assets.documents.model import chunks_columns, mentions_columns
from etl_assets.documents.relations.find import find_relations
from etl_assets.documents.relations.statement import relations_columns
from etl_assets.documents.stix.bundle import ReportOf, stix_bundle
from etl_assets.documents.stix.objects import stix_object
from etl_assets.stages.spec import Task

TEXT = (
    "APT28 has used Emotet and Mimikatz to target banks in Germany. APT28 never used TrickBot.\n\n"
    "Zorblax malware from evil[.]com, 203.0.113.77, 2001:db8::7, https://evil.com/a'b and bad@evil.com drops"
    " 44d88612fea8a8f36de82e1278abb02f. During C0022, the actors used T1059.001.\n\n"
    "CVE-2021-44228, a flaw in Log4j with a CVSS score of 10.0, was likely exploited by Emotet on 2021-12-10."
)
REPORT = ReportOf("a", "On bears", datetime(2021, 12, 11, 9, 30, tzinfo=UTC), ("threat-report", "apt-campaign"))
OPTIONS = ValidationOptions(version="2.1")


def rows(**texts: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    pages = pl.DataFrame({"document_id": list(texts), "page": [1] * len(texts), "text": list(texts.values())})
    tasks = [Task(name, "acme", "reports", f"{name}.txt", "0" * 64, 1) for name in texts]
    none = pl.DataFrame(schema=pl.Schema([("document_id", pl.String()), *chunks_columns().items()]))
    mentions = find_mentions(tasks, pages, none, catalogue=Catalogue.load()).rows
    return mentions, find_relations(tasks, pages, mentions).rows


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in bundle["objects"] if one["type"] == kind]


def test_the_bundle_of_a_report_is_valid_and_refers_to_all_it_holds() -> None:
    bundle = stix_bundle([REPORT], *rows(a=TEXT))
    assert validate_instance(bundle, OPTIONS).is_valid, [e.message for e in validate_instance(bundle, OPTIONS).errors]
    (report,) = of_type(bundle, "report")
    assert report["name"] == "On bears" and report["published"] == "2021-12-11T09:30:00.000Z"
    assert report["object_refs"] == sorted(one["id"] for one in bundle["objects"] if one is not report)
    assert {"intrusion-set", "malware", "tool", "indicator", "vulnerability", "relationship", "location", "identity",
            "attack-pattern", "campaign"} <= {one["type"] for one in bundle["objects"]}  # fmt: skip
    assert {one["pattern"] for one in of_type(bundle, "indicator")} >= {
        "[domain-name:value = 'evil.com']", "[ipv4-addr:value = '203.0.113.77']", "[url:value = 'https://evil.com/a\\'b']",
        "[ipv6-addr:value = '2001:db8::7']", "[email-addr:value = 'bad@evil.com']",
        "[file:hashes.MD5 = '44d88612fea8a8f36de82e1278abb02f']",
    }  # fmt: skip


def test_relationships_have_a_confidence_their_sentence_and_no_denial() -> None:
    bundle = stix_bundle([REPORT], *rows(a=TEXT))
    names = {one["id"]: one.get("name") for one in bundle["objects"]}
    links = {(names[one["source_ref"]], one["relationship_type"], names[one["target_ref"]]): one
             for one in of_type(bundle, "relationship")}  # fmt: skip
    assert ("APT28", "uses", "Emotet") in links and ("APT28", "targets", "Germany") in links
    assert not [key for key in links if "TrickBot" in key]
    sure, likely = links["APT28", "uses", "Emotet"], links["Emotet", "exploits", "CVE-2021-44228"]
    assert sure["confidence"] > likely["confidence"] > 0
    assert sure["description"] == "APT28 has used Emotet and Mimikatz to target banks in Germany."


def test_ids_and_bytes_are_the_same_in_any_order_of_rows_and_reports() -> None:
    mentions, relations = rows(a=TEXT, b="APT28 used Emotet.")
    reports = [REPORT, ReportOf("b", "More", datetime(2020, 1, 1, tzinfo=UTC))]
    one = stix_bundle(reports, mentions, relations)
    other = stix_bundle(reports[::-1], mentions.reverse(), relations.reverse())
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    alone = {thing["id"] for thing in stix_bundle(reports[1:], mentions, relations)["objects"]}
    assert alone < {thing["id"] for thing in one["objects"]}
    (apt,) = of_type(one, "intrusion-set")
    assert (apt["created"], apt["modified"]) == ("2020-01-01T00:00:00.000Z", "2021-12-11T09:30:00.000Z")


def test_nothing_found_gives_a_bundle_without_objects() -> None:
    bundle = stix_bundle([REPORT], *rows(a=""))
    assert bundle["objects"] == [] and bundle["id"].startswith("bundle--")
    assert stix_bundle([], *rows(a=TEXT))["objects"] == []


def test_what_is_less_sure_than_asked_for_stays_out() -> None:
    mentions, relations = rows(a=TEXT)
    assert stix_bundle([REPORT], mentions, relations, least=1.01)["objects"] == []
    few, many = (len(stix_bundle([REPORT], mentions, relations, least=least)["objects"]) for least in (0.95, 0.0))
    assert 0 < few < many


@pytest.mark.parametrize("kind", ["date", "severity", "cvss", "cwe", "tactic"])
def test_types_without_an_object_in_stix_have_none(kind: str) -> None:
    assert stix_object(f"{kind}:x", kind, "x", stamp="2020-01-01T00:00:00.000Z", confidence=50) is None


ODD = (
    "x", "'); DROP", "back\\slash'", "\u202e\u05d0\u4e2d", "new\nline", '"quoted"', "IR", "europe", "energy", "a" * 300,
)  # fmt: skip
KINDS = "malware group tool url domain organisation product sector vulnerability location".split()


def test_any_name_gives_a_valid_object() -> None:
    schema = pl.Schema([("document_id", pl.String()), *mentions_columns().items()])
    found = [("a", 1, 0, 1, name, f"{kind}:{name}", kind, name, None, 0.9, name, "context")
             for name in ODD for kind in KINDS]  # fmt: skip
    none = pl.DataFrame(schema=pl.Schema([("document_id", pl.String()), *relations_columns().items()]))
    bundle = stix_bundle([REPORT], pl.DataFrame(found, schema=schema, orient="row"), none)
    result = validate_instance(bundle, OPTIONS)
    assert result.is_valid, [error.message for error in result.errors]
    assert len(of_type(bundle, "malware")) == len(ODD) and len(of_type(bundle, "location")) == 2
