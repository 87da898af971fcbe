"""The stage ``knowledge``: what is known from outside that concerns a document, and nothing that does not.

That is the entries of the catalogue whose names or ids its text holds, and the corrections of people. Stages that
depend on either read these rows: so a new group, or one corrected label, reaches the documents that it concerns only.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from etl_assets.documents.mentions.catalogue import Catalogue, Entry
from etl_assets.documents.mentions.linking import attack_ids
from etl_assets.documents.mentions.names import folded
from etl_assets.documents.model import knowledge_columns
from etl_assets.ledger.corrections import Correction, in_force
from etl_assets.ledger.database import Ledger, digest_of
from etl_assets.stages.spec import Computed, Parameters, Task

if TYPE_CHECKING:
    import polars as pl

CALIBRATION = "calibration"
"""Corrections of this kind concern the scores of all documents, and none in particular."""

ENTRY = "entry"
"""The kind of a row about the catalogue; the other kinds are those of corrections."""


@dataclass(frozen=True)
class Outside:
    """What the stages of a collection are told beside its documents, as it was when somebody asked."""

    catalogue: Catalogue
    corrections: tuple[Correction, ...] = ()

    @cached_property
    def parameters(self) -> Parameters:
        """Digests of the whole catalogue and of every correction in force; who made one, and when, is not in it."""
        rows = [[one.document_id, *_row(one)] for one in self.corrections if one.kind != CALIBRATION]
        return {"catalogue": self.catalogue.digest, "corrections": digest_of(rows) if rows else ""}

    @cached_property
    def _of_documents(self) -> Mapping[str, list[Correction]]:
        found: dict[str, list[Correction]] = {}
        for one in self.corrections:
            found.setdefault(one.document_id, []).append(one)
        return found

    def concerning(self, document_id: str, pages: Sequence[str], entries: Iterable[Entry]) -> list[Correction]:
        """The corrections of a document itself, and those of its tenant that its text may have to do with."""
        mine = list(self._of_documents.get(document_id, ()))
        if shared := self._of_documents.get(""):
            named = {entry.entity_id for entry in entries}
            low = "\n".join(map(folded, pages))
            left = [one for one in shared if one.kind != CALIBRATION]
            while found := [one for one in left if _subject_of(one) in named or _may_hold(low, _text_of(one))]:
                mine += found
                left = [one for one in left if one not in found]
                # What one correction makes of a mention may be what another one is about.
                named.update(str(entity["entity_id"]) for one in mine if (entity := one.value.get("entity")))
        return mine


def outside_of(ledger: Ledger, catalogue: Catalogue, tenant: str, collection: str) -> Outside:
    """What holds for a collection now."""
    with ledger.reading() as connection:
        return Outside(catalogue, tuple(in_force(connection, tenant, collection)))


def entries_in(pages: Sequence[str], catalogue: Catalogue) -> list[Entry]:
    """The entries that any page names, by a spelling or an id, by entity id."""
    found: set[Entry] = set()
    for text in pages:
        for hit in catalogue.names.hits(text):
            found.update(name.entry for name in hit.names)
        for one in attack_ids(text, catalogue):
            entry = catalogue.by_attack_id.get(one.entity_id.partition(":")[2])
            found.update([] if entry is None else [entry])
    return sorted(found, key=lambda entry: (entry.entity_id, entry.name, entry.aliases))


def known(tasks: Sequence[Task], pages: "pl.DataFrame", *, outside: Outside) -> Computed:
    """Rows of ``model.KNOWLEDGE`` for every task, by kind, key and value. Nothing here fails for a document."""
    import polars as pl

    texts = texts_of(pages)
    rows: list[tuple[str, ...]] = []
    for task in tasks:
        mine = [text for _, text in texts.get(task.document_id, ())]
        entries = entries_in(mine, outside.catalogue)
        told = {(ENTRY, entry.entity_id, _canonical(asdict(entry))) for entry in entries}
        told.update(_row(one) for one in outside.concerning(task.document_id, mine, entries))
        rows += [(task.document_id, *row) for row in sorted(told)]
    schema = pl.Schema([("document_id", pl.String()), *knowledge_columns().items()])
    return Computed(pl.DataFrame(rows, schema=schema, orient="row"))


def texts_of(pages: "pl.DataFrame") -> dict[str, list[tuple[int, str]]]:
    """(page, text) of every document, in order."""
    texts: dict[str, list[tuple[int, str]]] = {}
    for document, page, text in pages.select("document_id", "page", "text").iter_rows():
        texts.setdefault(document, []).append((page, text))
    return {document: sorted(numbered) for document, numbered in texts.items()}


def corrections_in(knowledge: "pl.DataFrame") -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """(kind, subject, value) of the corrections that rows of ``model.KNOWLEDGE`` tell, by document."""
    found: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for document, kind, key, value in knowledge.select("document_id", "kind", "key", "value").iter_rows():
        if kind != ENTRY:
            found.setdefault(document, []).append((kind, key, json.loads(value)))
    return found


def _row(one: Correction) -> tuple[str, str, str]:
    return one.kind, one.subject, _canonical(dict(one.value))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _subject_of(one: Correction) -> str:
    """The entity that a correction of a whole tenant is about; "" for none."""
    return one.subject if one.kind in ("merge", "split") else ""


def _text_of(one: Correction) -> str:
    """How documents may write what a correction of a whole tenant is about."""
    if one.kind == "merge":
        return one.subject.partition(":")[2]
    return str(one.value.get("text", "")) if one.kind == "split" else one.subject


def _may_hold(low: str, text: str) -> bool:
    """Whether a folded text has every run of letters and digits of ``text``.

    More than needed may be found, since indicators are written defanged and names with other blanks and dashes.
    """
    parts = "".join(one if one.isalnum() else " " for one in folded(text)).split()
    return bool(parts) and all(part in low for part in parts)
