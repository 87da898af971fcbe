"""What sentences state, from the lake into the graph: written, compared, repaired, moved by corrections, deleted."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from etl_assets.bindings import search_places
from etl_assets.documents.consistency.mending import drop_unknown_collections
from etl_assets.documents.consistency.repair import rebuild, repair
from etl_assets.documents.consistency.verification import run_checks
from etl_assets.documents.deletion.orders import delete_collection, delete_documents, named
from etl_assets.documents.generations import work as generation_work
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.publication.index_rows import RELATION_KEY
from etl_assets.documents.relations.statement import Kind as RelationKind
from etl_assets.errors import ConfigError
from etl_assets.ledger.contents import Contents, together
from etl_assets.ledger.corrections import Kind, Place, correct, take_back
from etl_assets.ledger.snapshots import snapshot
from etl_assets.protocols.comparison import Judgement
from etl_assets.protocols.graph import RELATION_KINDS, MentionEdge, RelationEdge, Scope, StoredEdge
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.graph_questions import GraphQuestions
from etl_assets.search.sources import scope_of
from etl_assets_tests.backups import another, back_up, bring_back, differences, opened
from etl_assets_tests.byte_search import found_in
from etl_assets_tests.documents.generations.test_in_use import FIXED, MANUAL, decide
from etl_assets_tests.small_homes import STATIC, SmallHome

CHECK = "knowledge_graph_equals_the_ledger"
EVERYTHING = Scope("acme", {"reports": Visibility(0, 10**15)})
APT28, EMOTET, TRICKBOT, OTHER = "group:G0007", "malware:S0367", "malware:S0266", "group:G0016"
SAID = {"says.txt": "APT28 used EMOTET against banks.", "denies.txt": "APT28 did not use EMOTET."}


def stated(home: SmallHome, *entities: str) -> list[RelationEdge]:
    return home.platform.stores.graph.relations(EVERYTHING, entities or (APT28, EMOTET, TRICKBOT), each=99)


def triples(home: SmallHome) -> set[tuple[str, str, str, bool]]:
    return {(one.subject.entity_id, one.kind, one.object.entity_id, one.negated) for one in stated(home)}


def in_lake(home: SmallHome, path: str) -> list[tuple[object, ...]]:
    """Newest rows of a document, as the lake's own files have them."""
    found = []
    for file in sorted(home.settings.home.lake.rglob("relations/**/*.parquet")):
        rows = pl.read_parquet(file).filter(pl.col("document_id") == home.document_id(path))
        found = rows.select(*RELATION_KEY, "sentence", "negated", "certainty", "confidence").rows() or found
    return sorted(found)


def as_rows(found: list[RelationEdge]) -> list[tuple[object, ...]]:
    return sorted(
        (one.page, one.start, one.end, one.kind, one.subject.entity_id, one.object.entity_id, one.sentence,
         one.negated, one.certainty, one.confidence)
        for one in found
    )  # fmt: skip


def test_what_the_graph_holds_changes_with_either_of_the_stages_that_feed_it() -> None:
    mentions, relations, others = Contents(2, 7, "a"), Contents(2, 3, "b"), Contents(2, 3, "c")
    both = together([mentions, relations])
    assert (both.documents, both.rows) == (2, 10) and together([mentions]) == mentions
    assert len({both.digest, together([mentions, others]).digest, mentions.digest, relations.digest}) == 4


def test_every_kind_that_the_stage_may_give_is_one_that_stores_know() -> None:
    assert set(RELATION_KINDS) == set(RelationKind.__args__)  # type: ignore[attr-defined]


def answers_come_from_the_graph(home: SmallHome) -> None:
    """What people are told of it: every sentence with its place, and what contradicts beside what it contradicts."""
    questions = GraphQuestions(replace(search_places(home.platform), time_limit_s=60.0))
    ((owner, group),) = questions.candidates("APT28")
    ((_, malware),) = questions.candidates("emotet")
    shown = questions.show(owner, group)
    assert shown.document_count == 2 and not shown.is_cut
    told = {(cited.path, link.kind, link.negated, cited.quote) for link in shown.links for cited in link.citations}
    assert ("says.txt", "USES", False, "APT28 used EMOTET against banks.") in told
    assert ("denies.txt", "USES", True, "APT28 did not use EMOTET.") in told
    rows = [row for path in ("says.txt", "denies.txt") for row in in_lake(home, path)]
    assert len(shown.links) == sum(APT28 in row for row in rows) == len(rows) - 1, "all but what EMOTET targets"
    nearby = questions.neighbours(owner, group, hops=2)
    by_id = {one.entity.entity_id: one for one in nearby.near}
    assert {link.negated for link in by_id[EMOTET].links} == {True, False} and nearby.bounds.followed == "documents"
    used = questions.neighbours(owner, group, hops=2, kinds=["USES"])
    assert [(one.entity.entity_id, one.weight) for one in used.near] == [(EMOTET, 2)]
    followed = "the newest 2,000 relations, or 20 of each entity"
    assert str(used.bounds) == f"looked within 2 hops, on each through {followed}, at most"
    assert questions.neighbours(owner, group, kinds=["EXPLOITS"]).near == ()
    for stated in (True, False):
        (step,) = questions.path(owner, malware, group, stated=stated).edges
        assert sorted((link.kind, link.negated) for link in step) == [("USES", False), ("USES", True)]
    assert questions.path(owner, malware, group, kinds=["EXPLOITS"]).edges == ()
    with pytest.raises(ConfigError, match="no relation LIKES; known are USES"):
        questions.neighbours(owner, group, kinds=["LIKES"])


def run_in(home: SmallHome, collection: str) -> None:
    with PartitionRun(home.platform, home.partition(collection).key, run_id="a-run") as run:
        all_steps(run)


def test_a_repair_takes_ghosts_from_where_they_stand_and_nothing_else(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home", SAID)
    graph, places = home.platform.stores.graph, ("acme/reports", "acme/notes", "globex/reports")
    for place in places[1:]:
        home.write("says.txt", SAID["says.txt"], collection=place)
        run_in(home, place)

    def everything() -> list[tuple[str, StoredEdge]]:
        found = [(f"{place[0]}/{place[1]}", one) for place in graph.collections() for one in graph.edges(*place)]
        return sorted(found, key=str)

    whole = everything()
    (mine,) = [one for one in stated(home) if one.kind == "USES" and not one.negated]
    others = {place: next(one for found, one in whole if found == place) for place in places[1:]}
    ghosts = [
        replace(mine, publication=others["acme/notes"].publication),  # the number is another collection's
        replace(mine, collection="notes"),
        replace(mine, tenant="globex"),
        replace(mine, document_id=others["acme/notes"].document_id),  # it is another document's
        replace(mine, collection="nowhere"),
        replace(mine, tenant="nobody"),
    ]
    mentions = [
        MentionEdge(one.tenant, one.collection, one.document_id, one.publication, one.subject, 1, 0.5, "", 1, 0, 5)
        for one in ghosts
    ]
    graph.write(mentions, ghosts)
    with closing(sqlite3.connect(home.settings.home.indexes / "graph.sqlite")) as db, db:
        # A row that no write leaves: a document of which nothing is said.
        db.execute("INSERT INTO documents VALUES (NULL, 7777, 'nobody', 'globex', 'reports')")
    for place, removed in zip(places, (2, 1, 2), strict=True):
        report = repair(home.platform, home.partition(place), run_id=f"repair {place}")
        assert (report.removed, report.republished, report.left) == (removed, 0, [])
    names = [f"graph edges of {place}" for place in ("acme/nowhere", "nobody/reports")]
    for dry_run in (True, False):
        assert drop_unknown_collections(home.platform, dry_run=dry_run) == names
    assert everything() == whole
    assert [graph.orphans(tenant) for tenant in ("acme", "globex", "nobody")] == [[], [], []]
    home.platform.close()


def test_what_is_stated_follows_its_document_through_all_that_happens(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home", SAID)
    graph = home.platform.stores.graph
    assert triples(home) >= {(APT28, "USES", EMOTET, False), (APT28, "USES", EMOTET, True)}, "both are kept"
    for path in SAID:
        mine = [one for one in stated(home) if one.document_id == home.document_id(path)]
        assert as_rows(mine) == in_lake(home, path) and mine

    def verified() -> tuple[bool, tuple[str, ...]]:
        (result,) = run_checks(home.platform, home.partition(), names=[CHECK])
        return result.passed, result.details

    answers_come_from_the_graph(home)
    assert verified() == (True, ())
    assert home.run()["published_documents"]["published"] == 0
    one = next(one for one in stated(home) if one.negated)
    ghost = replace(one, kind="EXPLOITS")
    graph.write([], [replace(one, negated=False, sentence="APT28 did use EMOTET."), ghost])
    line = f"denies.txt: publication {one.publication}, "
    assert verified() == (False, (f"{line}{one.edge_id} was altered", f"{line}{ghost.edge_id} is a stranger"))
    before = as_rows([other for other in stated(home) if other.document_id != one.document_id] + [one])
    report = repair(home.platform, home.partition(), run_id="repair")
    assert report.republished == 1 and report.left == [] and as_rows(stated(home)) == before
    graph.remove("acme", "reports", [other.publication for other in stated(home)])
    assert "is missing" in verified()[1][0]
    assert repair(home.platform, home.partition(), run_id="again").left == [] and as_rows(stated(home)) == before

    trickbot = {"entity_id": TRICKBOT, "entity_type": "malware", "name": "TrickBot"}
    with home.platform.ledger.writing() as connection:
        made = correct(connection, Place("acme"), "merge", EMOTET, {"entity": trickbot}, by="ann")
    home.run()
    assert stated(home, EMOTET) == [] and (APT28, "USES", TRICKBOT, True) in triples(home)
    with home.platform.ledger.writing() as connection:
        take_back(connection, made.correction_id, by="ann")
    home.remove("denies.txt")
    home.run()
    assert as_rows(stated(home)) == in_lake(home, "says.txt") and verified() == (True, ())
    assert stated(home, TRICKBOT) == [] and [*graph.orphans("acme")] == []
    home.platform.close()


def visible(home: SmallHome) -> list[RelationEdge]:
    """What a search of this moment is shown of these entities."""
    scope = scope_of(snapshot(home.platform.ledger, tenant="acme", collection=None), "acme")
    return home.platform.stores.graph.relations(scope, (APT28, EMOTET, TRICKBOT, OTHER), each=99)


def correct_and_run(home: SmallHome, kind: Kind, subject: str, value: dict[str, object]) -> int:
    with home.platform.ledger.writing() as connection:
        made = correct(connection, Place("acme"), kind, subject, value, by="ann")
    home.run()
    return made.correction_id


def test_what_is_stated_comes_through_generations_corrections_restores_and_purges(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home", SAID)
    whole, place = as_rows(visible(home)), ("acme", "reports")
    first = {one.publication for one in visible(home)}
    assert len(whole) == 3 and rebuild(home.platform, home.partition(), "graph", run_id="rebuild") == 2
    rebuilt = {one.publication for one in stated(home)}
    assert as_rows(stated(home)) == whole and not first & rebuilt, "those before are collected"

    decide(home, STATIC + MANUAL + FIXED)
    home.run()
    assert len(stated(home)) == 2 * len(whole) and {one.publication for one in visible(home)} == rebuilt
    assert generation_work.promote(home.platform, *place, Judgement()).passed
    promoted = {one.publication for one in visible(home)}
    assert as_rows(visible(home)) == whole and not promoted & rebuilt
    assert generation_work.roll_back(home.platform, *place).passed
    assert as_rows(visible(home)) == whole and {one.publication for one in visible(home)} == rebuilt
    decide(home, STATIC + MANUAL)
    assert generation_work.retire(home.platform, *place)[0] == 2
    home.run()
    assert {one.publication for one in stated(home)} == rebuilt and as_rows(stated(home)) == whole

    other = {"entity_id": OTHER, "entity_type": "group", "name": "APT29"}
    trickbot = {"entity_id": TRICKBOT, "entity_type": "malware", "name": "TrickBot"}
    split = correct_and_run(home, "split", APT28, {"text": "APT28", "entity": other})
    link = correct_and_run(home, "link", "EMOTET", {"entity": trickbot})
    assert {(one.subject.entity_id, one.kind, one.object.entity_id) for one in stated(home)} == {
        (OTHER, "USES", TRICKBOT), (TRICKBOT, "TARGETS", "sector:financial-services"),
    } and len(visible(home)) == 3 and stated(home, APT28, EMOTET) == []  # fmt: skip
    with home.platform.ledger.writing() as connection:
        for number in (split, link):
            take_back(connection, number, by="ann")
    home.run()
    assert as_rows(stated(home)) == as_rows(visible(home)) == whole

    back_up(home.settings, tmp_path / "kept")
    settings = another(home.settings, tmp_path / "new")
    bring_back(settings, tmp_path / "kept")
    with opened(settings) as new:
        assert as_rows(stated(new)) == as_rows(visible(new)) == whole and differences(new.platform) == []
        delete_documents(new.platform, [named(*place, "denies.txt")], purge=True)
        assert as_rows(stated(new)) == in_lake(new, "says.txt")
        assert found_in(new.settings.home.root, ("did not use",)) == []
        delete_collection(new.platform, *place, purge=True)
        graph = new.platform.stores.graph
        assert (stated(new), [*graph.collections()], [*graph.orphans("acme")]) == ([], [], [])
        assert found_in(new.settings.home.root, ("used emotet",)) == []
    home.platform.close()
