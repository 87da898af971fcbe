"""A page on one document: what it is, what it is about and why, what it names and states, and its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from etl_assets.search.links import Link, ReadDocument
from etl_assets.search.published_rows import Row
from etl_assets.search.report_style import long, page, section, table
from etl_assets.search.safe_text import safe
from etl_assets.search.svg import colour_of, graph

_NONE = "<p class='muted'>none</p>"

MOST_CODE_POINTS = 400_000
"""So much text is shown; a report of 200 pages has it all."""

MOST_DRAWN = 24
MOST_STATED = 200
_SHOWN_TYPES = 40


def document_page(read: ReadDocument, labels: Sequence[Row]) -> str:
    """The HTML page of a document. ``labels`` are its rows of the stage ``classifications``.

    Every word of the document is escaped, and the page neither runs nor loads anything.
    """
    record = read.document.record
    title = str(record.get("title") or read.document.path)
    stated = [link for one in sorted(read.entities) for link in read.said_of(one) if link.subject.entity_id == one]
    parts = [
        f"<h1>{safe(title)}</h1>",
        _facts(read),
        section("Labels", _labels(labels)),
        section("Relations", _drawing(stated), _statements(stated)),
        section("Entities", _entities(read)),
        section("Techniques", _techniques(labels)),
        section("Text", *_texts(read)),
    ]
    return page(title, parts)


def _facts(read: ReadDocument) -> str:
    record, view = read.document.record, read.view
    facts = [
        ("document", f"{view.tenant}/{view.collection}/{read.document.path}"), ("id", read.document.document_id),
        ("version", read.document.version), ("type", str(record.get("document_type") or "")),
        ("date", str(record.get("date") or "")), ("pages", str(len(read.texts))),
        ("publication", str(read.document.publication)),
    ]  # fmt: skip
    return table(
        ("", ""), [(f"<span class='muted'>{safe(name)}</span>", long(value)) for name, value in facts if value]
    )


def _labels(labels: Sequence[Row]) -> str:
    rows = [one for one in labels if one["kind"] != "technique"]
    if not rows:
        return _NONE
    rows = sorted(rows, key=lambda one: (not one["accepted"], one["kind"], -one["score"], one["label"]))
    return table(
        ("label", "score", "", "because of"),
        [(f"{safe(one['kind'])}: <b>{safe(one['label'])}</b>" if one["accepted"] else
          f"<span class='muted'>{safe(one['kind'])}: {safe(one['label'])}</span>",
          f"<span class='bar' style='width:{one['score'] * 60:.0f}px'></span> {one['score']:.2f}",
          "accepted" if one["accepted"] else "below its threshold",
          "<br>".join(f"<q>{long(_line(each['text']))}</q> <span class='muted'>page {each['page']}</span>"
                      for each in one["evidence"] or ())) for one in rows],
    )  # fmt: skip


def _techniques(labels: Sequence[Row]) -> str:
    """The likeliest technique of each sentence that states one."""
    rows = [
        (
            f"<b>{safe(one['label'])}</b>",
            f"{one['score']:.2f}",
            f"<q>{long(_line(each['text']))}</q>",
            str(each["page"]),
        )
        for one in labels
        if one["kind"] == "technique" and one["accepted"]
        for each in one["evidence"] or ()
    ]
    return table(("technique", "score", "sentence", "page"), rows[:MOST_STATED]) if rows else _NONE


def _drawing(stated: Sequence[Link]) -> str:
    if not stated:
        return ""
    counts = Counter(end.entity_id for link in stated for end in (link.subject, link.object))
    chosen = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_DRAWN]]
    ends = {end.entity_id: end for link in stated for end in (link.subject, link.object)}
    places = {name: at for at, name in enumerate(chosen)}
    kinds: dict[tuple[int, int, bool], set[str]] = {}
    for link in stated:
        if {link.subject.entity_id, link.object.entity_id} <= places.keys():
            arrow = places[link.subject.entity_id], places[link.object.entity_id], link.negated
            kinds.setdefault(arrow, set()).add(link.kind)
    edges = [(one, other, ", ".join(sorted(found)), no) for (one, other, no), found in sorted(kinds.items())]
    return graph("what its sentences state", [(ends[one].name, ends[one].entity_type) for one in chosen], edges)


def _statements(stated: Sequence[Link]) -> str:
    if not stated:
        return "<p class='muted'>none is stated</p>"
    rows = [
        (_entity(link.subject.name, link.subject.entity_type), safe(link.kind) + (", denied" if link.negated else ""),
         _entity(link.object.name, link.object.entity_type), safe(link.certainty),
         "<br>".join(f"<q>{long(_line(one.quote))}</q> <span class='muted'>page {one.page}, characters {one.start} to "
                     f"{one.end}</span>" for one in link.citations))
        for link in stated[:MOST_STATED]
    ]  # fmt: skip
    return table(("subject", "", "object", "certainty", "sentence"), rows)


def _entities(read: ReadDocument) -> str:
    counts = Counter((one["entity_type"], one["name"], one["entity_id"]) for one in read.mentions)
    by_type: dict[str, list[tuple[int, str]]] = {}
    for (kind, name, _), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        by_type.setdefault(kind, []).append((count, name))
    rows = [
        (_entity(kind, kind), ", ".join(f"{long(name)} <span class='muted'>{count}</span>"
                                        for count, name in named[:_SHOWN_TYPES])
         + (f" <span class='muted'>and {len(named) - _SHOWN_TYPES} more</span>" if len(named) > _SHOWN_TYPES else ""))
        for kind, named in sorted(by_type.items())
    ]  # fmt: skip
    return table(("type", "named, and how often"), rows) if rows else _NONE


def _texts(read: ReadDocument) -> Iterable[str]:
    left = MOST_CODE_POINTS
    for number in sorted(read.texts):
        if left <= 0:
            yield f"<p class='muted'>the pages from {number} on are not shown</p>"
            return
        text = read.texts[number][:left]
        left -= len(text)
        yield f"<p class='muted'>page {number}</p><pre>{highlighted(text, read.mentions, number)}</pre>"


def highlighted(text: str, mentions: Iterable[Row], number: int) -> str:
    """The text of page ``number`` as HTML with its mentions marked; the words are those of the page, each once."""
    parts, at = [], 0
    spans: list[Any] = [one for one in mentions if one["page"] == number and one["end"] <= len(text)]
    for one in sorted(spans, key=lambda row: (row["start"], -row["end"])):
        if one["start"] < at:
            continue
        what = f"{one['entity_type']}: {one['name']} ({one['entity_id']}), {one['confidence']:.2f}"
        mark = f"<mark style='--c:{colour_of(one['entity_type'])}' title='{safe(what)}'>"
        parts.append(f"{safe(text[at : one['start']])}{mark}{safe(text[one['start'] : one['end']])}</mark>")
        at = one["end"]
    return "".join(parts) + safe(text[at:])


def _entity(name: str, kind: str) -> str:
    return f"<span class='dot' style='background:{colour_of(kind)}'></span>{safe(name)}"


def _line(text: str) -> str:
    return " ".join(text.split())
