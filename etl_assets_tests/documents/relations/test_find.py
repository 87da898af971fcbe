import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import find_mentions
from etl_assets.documents.model import chunks_columns, mentions_columns, pages_columns
from etl_assets.documents.relations.find import find_relations, relations_in
from etl_assets.documents.relations.statement import Named, Statement, relations_columns
from etl_assets.stages.spec import Task

TYPES = {
    "group": ("APT28", "FIN7", "TA453", "Charming Kitten", "APT41", "Elderwood"),
    "malware": ("Emotet", "TrickBot", "Carbanak", "Ryuk"), "tool": ("Mimikatz",), "campaign": ("Operation Aurora",),
    "location": ("Germany", "France", "Israel", "Iranian", "China"), "sector": ("banks",), "organisation": ("Acme",),
    "cve": ("CVE-2021-44228",), "product": ("Log4j",), "severity": ("10.0",), "domain": ("evil.com",),
    "technique": ("PowerShell",),
}  # fmt: skip


def named(text: str, types: Mapping[str, Sequence[str]] = TYPES) -> list[Named]:
    """Every occurrence of the known names, as the stage before would give them."""
    return sorted(
        Named(match.start(), match.end(), f"{kind}:{name}", kind, name, 0.9)
        for kind, names in types.items()
        for name in names
        for match in re.finditer(re.escape(name), text)
    )


def stated(text: str) -> list[Statement]:
    return relations_in(text, named(text))


def triples(text: str) -> set[tuple[str, str, str]]:
    return {(one.subject.name, one.kind, one.object.name) for one in stated(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("APT28 uses Emotet, TrickBot and Mimikatz.",
         {("APT28", "USES", "Emotet"), ("APT28", "USES", "TrickBot"), ("APT28", "USES", "Mimikatz")}),
        ("APT28 used Emotet and TrickBot to target banks in Germany.",
         {("APT28", "USES", "Emotet"), ("APT28", "USES", "TrickBot"), ("APT28", "TARGETS", "banks"),
          ("APT28", "TARGETS", "Germany")}),
        ("APT28 used Emotet to deliver TrickBot.", {("APT28", "USES", "Emotet"), ("Emotet", "USES", "TrickBot")}),
        ("FIN7 deployed Carbanak and targeted France.", {("FIN7", "USES", "Carbanak"), ("FIN7", "TARGETS", "France")}),
        ("Emotet, which drops TrickBot, was used by FIN7.",
         {("Emotet", "USES", "TrickBot"), ("FIN7", "USES", "Emotet")}),
        ("CVE-2021-44228 was exploited by APT41 and FIN7.",
         {("APT41", "EXPLOITS", "CVE-2021-44228"), ("FIN7", "EXPLOITS", "CVE-2021-44228")}),
        ("Exploitation of CVE-2021-44228 by APT41 began.", {("APT41", "EXPLOITS", "CVE-2021-44228")}),
        ("The use of Emotet by FIN7 is new.", {("FIN7", "USES", "Emotet")}),
        ("Acme was breached by FIN7.", {("FIN7", "TARGETS", "Acme")}),
        ("Operation Aurora was attributed to Elderwood.", {("Operation Aurora", "ATTRIBUTED_TO", "Elderwood")}),
        ("The Iranian group TA453 returned.", {("TA453", "ATTRIBUTED_TO", "Iranian")}),
        ("TA453, also known as Charming Kitten, came.", {("TA453", "RELATES_TO", "Charming Kitten")}),
        ("Ryuk is a variant of Carbanak.", {("Ryuk", "RELATES_TO", "Carbanak")}),
        ("Emotet communicates with evil.com.", {("Emotet", "RELATES_TO", "evil.com")}),
        ("CVE-2021-44228 has a score of 10.0", {("CVE-2021-44228", "RELATES_TO", "10.0")}),
        ("CVE-2021-44228 is a flaw in Log4j.", {("CVE-2021-44228", "RELATES_TO", "Log4j")}),
        ("During Operation Aurora, the actors used Mimikatz.", {("Operation Aurora", "USES", "Mimikatz")}),
        ("APT28\u2019s Emotet loader", {("APT28", "USES", "Emotet")}),
        ("We saw Emotet dropping Ryuk as well as TrickBot dropping Carbanak.",
         {("Emotet", "USES", "Ryuk"), ("TrickBot", "USES", "Carbanak")}),
        ("FIN7 used Emotet in a campaign against France.",
         {("FIN7", "USES", "Emotet"), ("FIN7", "TARGETS", "France")}),
        ("APT28 attacks on Germany go on.", {("APT28", "TARGETS", "Germany")}),
        ("A new Carbanak variant, which calls itself Ryuk.", {("Carbanak", "RELATES_TO", "Ryuk")}),
    ],
)  # fmt: skip
def test_a_sentence_states_what_it_says(text: str, expected: set[tuple[str, str, str]]) -> None:
    assert triples(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "APT28 and FIN7 were seen. Emotet was seen.",
        "Researchers of Acme used Mimikatz after APT28 had left.",
        "Emotet uses the same packer as TrickBot.",
        "Emotet supports many of the same commands as TrickBot.",
        "Emotet is operated by the same actor that deploys Ryuk.",
        "Acme said that the company used Mimikatz.",
        "APT28: a report; Emotet: another.",
        "See also: APT28, Emotet, Germany.",
        "Acme announced the attack on Elsewhere was caused by FIN7.",
        "The sample in a Ryuk supply chain attack Acme is watching.",
        "Sites of banks on a computer infected by Emotet.",
        "Emotet, as the recently developed malware is called, is akin to Ryuk.",
        "FIN7 saw the addresses of the machines downloading Emotet.",
        "Emotet uses infrastructure with little in common with Ryuk.",
        "Criminals posing as the well-known APT28 threatened Acme.",
        "A script downloaded by Emotet that drops Ryuk.",
        "Figures published by Acme of those most infected by Emotet.",
        "Files created by Mimikatz, or a text created by Emotet.",
        "Ryuk shares code with APT28\u2019s loader.",
    ],
)
def test_names_side_by_side_are_not_related(text: str) -> None:
    assert triples(text) == set()


@pytest.mark.parametrize(
    ("text", "negated", "certainty"),
    [
        ("APT28 uses Emotet.", False, "stated"),
        ("There is no evidence that APT28 uses Emotet.", True, "stated"),
        ("APT28 did not use Emotet.", True, "stated"),
        ("APT28 does not only use Emotet.", False, "stated"),
        ("APT28 uses tools, including, but not limited to, Emotet.", False, "stated"),
        ("It is unlikely that APT28 used Emotet.", True, "stated"),
        ("APT28 likely used Emotet.", False, "likely"),
        ("APT28 may have used Emotet.", False, "possible"),
        ("In May 2021 APT28 used Emotet.", False, "stated"),
        ("APT28 allegedly used Emotet.", False, "alleged"),
        ("We assess with moderate confidence that APT28 used Emotet.", False, "likely"),
        ("APT28 possibly never used Emotet.", True, "possible"),
        ("Germany was not attacked; APT28 used Emotet.", False, "stated"),
    ],
)
def test_negation_and_certainty_are_those_of_the_clause(text: str, negated: bool, certainty: str) -> None:
    (one,) = [one for one in stated(text) if one.kind == "USES"]
    assert (one.negated, one.certainty) == (negated, certainty)


def test_statements_that_contradict_one_another_are_both_kept() -> None:
    text = "APT28 uses Emotet. Later reports say that APT28 never used Emotet."
    assert [(one.negated, text[one.start : one.end]) for one in stated(text)] == [
        (False, "APT28 uses Emotet."), (True, "Later reports say that APT28 never used Emotet.")
    ]  # fmt: skip


def test_the_group_is_the_only_group_of_the_sentences_before() -> None:
    text = "APT28 returned. The group also uses Emotet."
    (one,) = stated(text)
    assert (one.subject.name, one.method, one.object.name) == ("APT28", "reference", "Emotet")
    assert one.confidence < 0.8
    assert triples("APT28 and FIN7 returned. The group also uses Emotet.") == set()


def frame(schema: pl.Schema, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=pl.Schema([("document_id", pl.String()), *schema.items()]))


def test_rows_carry_the_sentence_and_both_ends_and_do_not_depend_on_the_order_of_rows() -> None:
    texts = {("b", 1): "Intro.\n\nAPT28 has used Emotet against Germany.", ("b", 2): "Emotet uses PowerShell."}
    pages = pl.DataFrame(
        [{"document_id": d, "page": p, "text": t} for (d, p), t in texts.items()], schema_overrides={"page": pl.Int32()}
    )
    tasks = [Task(name, "acme", "reports", f"{name}.txt", "0" * 64, 1) for name in ("a", "b")]
    blank = pages.with_columns(headings=pl.Series([[]] * 2, dtype=pages_columns()["headings"]))
    mentions = find_mentions(tasks, blank, frame(chunks_columns(), []), catalogue=Catalogue.load()).rows
    computed = find_relations(tasks, pages, mentions)
    rows = computed.rows
    assert rows.drop("document_id").schema == relations_columns() and set(computed.seconds) == {"a", "b"}
    assert ("group:G0007", "USES", "malware:S0367") in rows.select("subject_id", "kind", "object_id").rows()
    for row in rows.to_dicts():
        text = texts[row["document_id"], row["page"]]
        assert text[row["start"] : row["end"]] == row["sentence"]
        assert row["start"] <= row["subject_start"] < row["subject_end"] <= row["end"]
        assert row["start"] <= row["object_start"] < row["object_end"] <= row["end"]
    assert find_relations(tasks, pages.reverse(), mentions.reverse()).rows.equals(rows)
    assert find_relations(tasks, pages, mentions.clear()).rows.is_empty()
    assert set(mentions_columns()) <= set(mentions.columns)


WORDS = [
    *(name for names in TYPES.values() for name in names), "used", "by", ",", "and", "targets", "not", ". ",
    "the group", "(", ")", "\ue000G0\ue001", "\u202e", "\u4e2d\u6587", "which", "to",
]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.sampled_from(WORDS), max_size=25))
def test_any_words_give_statements_about_two_of_their_names(words: list[str]) -> None:
    text = " ".join(words)
    known = named(text)
    for one in relations_in(text, known):
        assert one.subject.entity_id != one.object.entity_id and 0 < one.confidence <= 1
        assert {one.subject, one.object} <= set(known)
