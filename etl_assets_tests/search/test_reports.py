"""Pages on documents and collections: what they show, and that nothing of a document can run in them."""

import html
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from etl_assets.ledger.snapshots import CollectionView, VisibleDocument
from etl_assets.protocols.graph import Entity
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.entity_ranking import RankedEntity
from etl_assets.search.label_ranking import RankedLabel
from etl_assets.search.links import ReadDocument, passage
from etl_assets.search.report_collection import Overview, _periods, collection_page, plots
from etl_assets.search.report_document import document_page, highlighted
from etl_assets.search.svg import bars, columns, graph, matrix

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"></title></svg>]]>&lt;\u202e\x00"
VIEW = CollectionView(1, "acme", "reports", 1, "static", "digest", 4, Visibility(1, 1, ()))


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def mention(start: int, end: int, name: str = "Emotet", kind: str = "malware", page: int = 1) -> dict[str, Any]:
    return {"page": page, "start": start, "end": end, "entity_id": f"{kind}:{name}", "entity_type": kind, "name": name,
            "confidence": 0.9}  # fmt: skip


def relation(sentence: str, *, negated: bool = False) -> dict[str, Any]:
    return {
        "page": 1, "start": 0, "end": len(sentence), "sentence": sentence, "kind": "USES", "subject_id": "group:Bear",
        "subject_type": "group", "subject_name": "Bear", "object_id": "malware:Emotet", "object_type": "malware",
        "object_name": "Emotet", "negated": negated, "certainty": "likely", "confidence": 0.8,
    }  # fmt: skip


def document(text: str, title: str = "On bears", **more: Any) -> ReadDocument:
    shown = VisibleDocument(1, "d" * 32, 1, more.pop("path", "a.txt"), "v" * 64, {"title": title}, {})
    return ReadDocument(VIEW, shown, {1: text}, more.get("mentions", ()), more.get("relations", ()))


def plain(marked: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", marked))


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs")), max_size=80), st.data())
def test_marking_mentions_keeps_every_word_once(text: str, data: st.DataObject) -> None:
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text) + 9)), max_size=6))
    rows = [mention(low, high) for low, high in spans if low < high]
    assert plain(highlighted(text, rows, 1)) == text


def test_a_page_shows_labels_relations_and_marked_text() -> None:
    text = "Bear used Emotet. It did not use TrickBot."
    labels = [{"kind": "threat", "label": "ransomware", "score": 0.83, "accepted": True, "rank": 1, "classifier": "x",
               "evidence": [{"page": 1, "start": 0, "end": 17, "text": text[:17], "contribution": 1.0}]}]  # fmt: skip
    labels.append(labels[0] | {"kind": "technique", "label": "T1105"})
    mentions = [mention(0, 4, "Bear", "group"), mention(10, 16)]
    stated = [relation(text[:17]), relation(text[:17], negated=True)]
    page = document_page(document(text, mentions=mentions, relations=stated), labels)
    assert "<mark" in page and "threat: <b>ransomware</b>" in page and "0.83" in page and "<b>T1105</b>" in page
    assert (
        "<q><span class='long'>Bear used Emotet.</span></q>" in page
        and "USES, denied" in page
        and "stroke-dasharray" in page
    )
    assert "<svg" in page and "likely" in page


def test_nothing_of_a_document_runs_or_loads_in_its_page() -> None:
    rows = [mention(0, 8, EVIL, "malware")]
    stated = [relation(EVIL) | {"subject_name": EVIL, "object_name": EVIL, "certainty": EVIL, "kind": EVIL}]
    labels = [{"kind": EVIL, "label": EVIL, "score": 0.9, "accepted": True, "evidence": [{"text": EVIL, "page": 1}]}]
    one = document(EVIL, EVIL, path=EVIL, mentions=rows, relations=[*stated])
    over = Overview(
        EVIL,
        [(VIEW, one.document)],
        [(EVIL, 1)],
        0,
        {EVIL: [RankedLabel(EVIL, 2, 1.0)]},
        [RankedEntity(Entity("a", EVIL, EVIL), 3, 1.5)],
    )
    over.actors, over.together = [Entity("a", "group", EVIL), Entity("b", "group", EVIL)], {(0, 1): 2}
    for page in (document_page(one, labels), collection_page(over)):
        found = Tags(page)
        assert not found.tags & {"script", "img", "iframe", "object", "a", "link", "foreignobject", "use", "image"}
        assert not {name for name in found.attributes if name.startswith("on") or name in ("href", "src")}
        assert "default-src 'none'" in page and "\u202e" not in page and "\x00" not in page and "<script" not in page


def test_every_drawing_is_well_formed_whatever_it_is_drawn_of() -> None:
    nodes = [(EVIL, "group"), ("b", EVIL), *((str(number), "tool") for number in range(30))]
    drawn = [
        bars(EVIL, [(EVIL, 2), ("b", 0.5)]), bars("none", []), columns(EVIL, [(EVIL, 0), ("2024-01", 3)]),
        columns("none", []), matrix(EVIL, [EVIL, "b"], {(0, 1): 3}), matrix("none", [], {}),
        graph(EVIL, nodes, [(0, 1, EVIL, True), (1, 0, "USES", False), (2, 2, "USES", False)]), graph("none", [], []),
    ]  # fmt: skip
    for one in drawn:
        assert ElementTree.fromstring(one).tag.endswith("svg")


def test_months_without_documents_are_there_and_many_months_become_years() -> None:
    assert _periods(["2024-11-03", "2025-01-09", "2025-01-10"]) == [("2024-11", 1), ("2024-12", 0), ("2025-01", 2)]
    assert _periods(["2015-11-03", "2017-01-09", "2021-05"]) == [
        ("2015", 1), ("2016", 0), ("2017", 1), ("2018", 0), ("2019", 0), ("2020", 0), ("2021", 1)
    ]  # fmt: skip
    assert _periods(["someday"]) == []
    assert set(plots(Overview("acme", []))) == {"time", "entities", "indicators", "together"}


@given(st.text(max_size=400), st.data())
def test_a_passage_holds_its_mention_and_little_more(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    low, high = passage(text, start, end)
    assert 0 <= low <= start <= end <= high <= len(text) and start - low <= 300 and high - end <= 300


def test_a_passage_is_a_sentence_where_there_is_one() -> None:
    text = "First one. Bear used Emotet v1.2 here! Last one."
    low, high = passage(text, 11, 15)
    assert text[low:high] == "Bear used Emotet v1.2 here!"
