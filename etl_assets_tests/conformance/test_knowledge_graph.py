"""What every knowledge graph must do, whatever is behind it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.protocols.graph import (
    RELATION_KINDS,
    Entity,
    KnowledgeGraph,
    MentionEdge,
    Neighbour,
    RelationEdge,
    Scope,
    StoredEdge,
    edge_digest,
    relation_digest,
    relation_order,
)
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import visibilities

BACKENDS: dict[str, Callable[[Path], KnowledgeGraph]] = {
    "sqlite": lambda folder: SqliteGraph(folder / "g" / "graph.db")
}
PLACE = ("acme", "reports")
EVERYTHING = Scope("acme", {"reports": Visibility(1, 10**9), "notes": Visibility(1, 10**9)})


def edge(publication: int, entity: str, *, tenant: str = "acme", collection: str = "reports") -> MentionEdge:
    kind, _, name = entity.partition(":")
    return MentionEdge(
        tenant, collection, f"document-{publication}", publication, Entity(entity, kind, name.title()),
        count=2, confidence=0.1 + 0.2, chunk_id="chunk-0", page=1, start=0, end=9,
    )  # fmt: skip


def relation(
    publication: int, subject: str, kind: str, target: str, *, at: int = 0, collection: str = "reports",
    tenant: str = "acme", negated: bool = False,
) -> RelationEdge:  # fmt: skip
    ends = [Entity(one, one.partition(":")[0], one.partition(":")[2].title()) for one in (subject, target)]
    return RelationEdge(
        tenant, collection, f"document-{publication}", publication, kind, *ends, page=1, start=at, end=at + 9,
        sentence=f"\u201c{subject}\u201d {kind} {target}", negated=negated, certainty="likely", confidence=0.1 + 0.2,
    )  # fmt: skip


def stored(edges: Sequence[MentionEdge | RelationEdge]) -> list[StoredEdge]:
    return sorted((stored_as(e) for e in edges), key=str)


def stored_as(e: MentionEdge | RelationEdge) -> StoredEdge:
    if isinstance(e, RelationEdge):
        return StoredEdge(e.publication, e.document_id, e.edge_id, relation_digest(e))
    return StoredEdge(e.publication, e.document_id, e.entity.entity_id, edge_digest(e))


def held(graph: KnowledgeGraph, collection: str = "reports", tenant: str = "acme") -> list[StoredEdge]:
    return sorted(graph.edges(tenant, collection), key=str)


def ids(found: Sequence[Neighbour]) -> list[tuple[str, int, int]]:
    return [(neighbour.entity.entity_id, neighbour.hops, neighbour.weight) for neighbour in found]


@pytest.fixture(scope="module", params=list(BACKENDS.values()), ids=list(BACKENDS))
def build(request: pytest.FixtureRequest) -> Callable[[Path], KnowledgeGraph]:
    """Makes an empty graph; a module that runs this suite over another backend gives a fixture of its own."""
    build: Callable[[Path], KnowledgeGraph] = request.param
    return build


@pytest.fixture
def graph(build: Callable[[Path], KnowledgeGraph], tmp_path: Path) -> KnowledgeGraph:
    return build(tmp_path)


# Three documents in a row: g1 -(1)- m1 -(2)- g2 -(3)- g3, so that g3 is three hops from g1.
CHAIN = [
    edge(1, "group:g1"), edge(1, "malware:m1"), edge(2, "malware:m1"), edge(2, "group:g2"),
    edge(3, "group:g2"), edge(3, "group:g3"),
]  # fmt: skip


def test_a_graph_never_written_is_empty_in_every_way(graph: KnowledgeGraph) -> None:
    graph.write([])
    graph.remove(*PLACE, [1])
    assert graph.counts(*PLACE, [1]) == {}
    assert [*graph.edges("acme", "reports")] == [] and [*graph.collections()] == []
    assert [*graph.orphans("acme")] == []
    assert graph.entities_of(EVERYTHING, [1], limit=5) == []
    assert graph.neighbours(EVERYTHING, ["group:g1"], hops=2, limit=5) == []
    assert graph.find(EVERYTHING, "g1", limit=5) == []
    assert graph.mentioning(EVERYTHING, ["group:g1"]) == []
    assert graph.relations(EVERYTHING, ["group:g1"], each=5) == []


def test_edges_read_back_are_the_edges_written(graph: KnowledgeGraph) -> None:
    odd = [
        replace(edge(9, "group:\u65e5\u672c 'x' \"y\" \\ %"), chunk_id="", confidence=1e-300, start=2**40, end=2**41),
        replace(edge(9, "group:nul\x00inside"), confidence=1.0),
        replace(edge(9, "group:\U0001f600\n"), document_id="it's"),
        edge(2**52, "group:far"),
    ]
    graph.write(CHAIN)
    graph.write(odd)
    assert held(graph) == stored([*CHAIN, *odd])
    assert graph.counts(*PLACE, [1, 2, 9, 777]) == {1: 2, 2: 2, 9: 3}
    assert graph.counts(*PLACE, []) == {}


@pytest.mark.parametrize("field", ["count", "confidence", "chunk_id", "page", "start", "end"])
def test_the_digest_covers_every_field(field: str) -> None:
    one = edge(1, "group:g1")
    other = "other" if field == "chunk_id" else 77
    assert edge_digest(replace(one, **{field: other})) != edge_digest(one)  # type: ignore[arg-type]
    assert edge_digest(replace(one, entity=replace(one.entity, name="other"))) != edge_digest(one)


def test_a_sweep_leaves_every_entity_that_an_edge_refers_to(graph: KnowledgeGraph) -> None:
    graph.write(CHAIN)
    assert graph.sweep("acme") == 0 and [*graph.orphans("acme")] == []
    assert held(graph) == stored(CHAIN) and graph.sweep("nobody") == 0


def test_a_repeated_write_replaces_itself(graph: KnowledgeGraph) -> None:
    for _ in range(3):
        graph.write(CHAIN)
    changed = replace(CHAIN[0], count=9, entity=replace(CHAIN[0].entity, name="Renamed"))
    graph.write([changed])
    assert held(graph) == stored([changed, *CHAIN[1:]])
    assert graph.find(EVERYTHING, "g1", limit=5) == []
    assert [found.name for found in graph.find(EVERYTHING, "renamed", limit=5)] == ["Renamed"]


def test_a_new_name_of_an_entity_changes_no_other_edge(graph: KnowledgeGraph) -> None:
    graph.write(CHAIN)
    renamed = replace(edge(50, "group:g1"), entity=Entity("group:g1", "campaign", "New Name"))
    graph.write([renamed, edge(50, "malware:m9")])
    assert held(graph) == stored([*CHAIN, renamed, edge(50, "malware:m9")])
    before = Scope("acme", {"reports": Visibility(1, 49)})
    assert graph.neighbours(before, ["malware:m1"], hops=1, limit=9)[0].entity.name == "G1"
    assert graph.neighbours(EVERYTHING, ["malware:m9"], hops=1, limit=9)[0].entity == renamed.entity
    assert graph.find(before, "new name", limit=5) == []
    assert graph.find(EVERYTHING, "GROUP:G1", limit=5) == [renamed.entity]


def test_a_removal_takes_the_entities_that_nothing_else_mentions(graph: KnowledgeGraph) -> None:
    graph.write(CHAIN)
    for _ in range(2):
        graph.remove(*PLACE, [1, 999])
    assert held(graph) == stored(CHAIN[2:])
    assert graph.find(EVERYTHING, "g1", limit=5) == []
    assert [entity.entity_id for entity in graph.find(EVERYTHING, "m1", limit=5)] == ["malware:m1"]
    assert [*graph.orphans("acme")] == []
    graph.remove(*PLACE, [2, 3])
    assert held(graph) == []
    assert graph.neighbours(EVERYTHING, ["malware:m1"], hops=3, limit=5) == []


def test_an_entity_stays_while_an_edge_that_nobody_sees_refers_to_it(graph: KnowledgeGraph) -> None:
    graph.write([edge(1, "group:g1"), edge(2, "group:g1")])
    graph.remove(*PLACE, [1])
    assert held(graph) == stored([edge(2, "group:g1")])
    assert graph.find(Scope("acme", {"reports": Visibility(1, 1)}), "g1", limit=5) == []


def test_a_walk_goes_as_far_as_its_hops_nearest_first(graph: KnowledgeGraph) -> None:
    graph.write(CHAIN)
    walk = graph.neighbours(EVERYTHING, ["group:g1"], hops=3, limit=9)
    assert ids(walk) == [("malware:m1", 1, 1), ("group:g2", 2, 1), ("group:g3", 3, 1)]
    assert [neighbour.documents for neighbour in walk] == [
        (("document-1", 1),),
        (("document-2", 2),),
        (("document-3", 3),),
    ]
    assert ids(graph.neighbours(EVERYTHING, ["group:g1"], hops=2, limit=9)) == ids(walk)[:2]
    assert graph.neighbours(EVERYTHING, ["group:g1"], hops=0, limit=9) == []
    assert graph.neighbours(EVERYTHING, ["group:g1"], hops=3, limit=0) == []
    assert graph.neighbours(EVERYTHING, [], hops=3, limit=9) == []
    assert ids(graph.neighbours(EVERYTHING, ["group:g1", "group:g2", "absent"], hops=1, limit=9)) == [
        ("malware:m1", 1, 2), ("group:g3", 1, 1),
    ]  # fmt: skip


def test_no_hop_passes_through_what_may_not_be_seen(graph: KnowledgeGraph) -> None:
    graph.write(CHAIN)
    hidden = Scope("acme", {"reports": Visibility(1, 3, ((2, 2),))})
    assert ids(graph.neighbours(hidden, ["group:g1"], hops=3, limit=9)) == [("malware:m1", 1, 1)]
    assert graph.mentioning(hidden, ["malware:m1", "group:g2"]) == [("reports", 1), ("reports", 3)]
    assert graph.entities_of(hidden, [2], limit=9) == []
    assert graph.neighbours(Scope("acme", {}), ["group:g1"], hops=3, limit=9) == []


def test_tenants_never_see_each_other(graph: KnowledgeGraph) -> None:
    ours = [edge(1, "group:shared"), edge(1, "group:ours")]
    theirs = [edge(p, e, tenant="globex") for p, e in ((2, "group:shared"), (2, "group:theirs"), (3, "group:shared"))]
    graph.write([*ours, *theirs])
    assert ids(graph.neighbours(EVERYTHING, ["group:shared"], hops=3, limit=9)) == [("group:ours", 1, 1)]
    assert graph.find(EVERYTHING, "theirs", limit=9) == []
    assert graph.mentioning(EVERYTHING, ["group:shared", "group:theirs"]) == [("reports", 1)]
    assert ids(graph.entities_of(EVERYTHING, [1, 2, 3], limit=9)) == [("group:ours", 1, 1), ("group:shared", 1, 1)]
    assert held(graph) == stored(ours)
    assert held(graph, tenant="globex") == stored(theirs)
    graph.remove("globex", "reports", [2, 3])
    assert held(graph) == stored(ours)
    assert [*graph.orphans("globex")] == []


def test_each_collection_is_seen_by_its_own_visibility(graph: KnowledgeGraph) -> None:
    graph.write([edge(1, "group:g1"), edge(1, "group:a"), edge(2, "group:g1", collection="notes")])
    graph.write([edge(2, "group:b", collection="notes"), edge(3, "group:g1", collection="secret")])
    scope = Scope("acme", {"reports": Visibility(1, 9), "notes": Visibility(1, 1)})
    assert ids(graph.neighbours(scope, ["group:g1"], hops=2, limit=9)) == [("group:a", 1, 1)]
    assert graph.mentioning(EVERYTHING, ["group:g1"]) == [("notes", 2), ("reports", 1)]
    assert graph.mentioning(EVERYTHING, ["group:g1", "group:a"], limit=1) == [("notes", 2), ("reports", 1)]
    assert graph.mentioning(EVERYTHING, ["group:g1"], limit=1) == [("notes", 2)]
    assert len(held(graph, "notes")) == 2


def test_names_and_ids_are_found_whatever_their_case(graph: KnowledgeGraph) -> None:
    named = replace(edge(1, "group:G0007"), entity=Entity("group:G0007", "group", "Stra\u00dfe B\u00c4R"))
    graph.write([named, edge(1, "group:other")])
    for text in ["group:g0007", "GROUP:G0007", "STRASSE b\u00e4r", "stra\u00dfe b\u00e4r"]:
        assert graph.find(EVERYTHING, text, limit=5) == [named.entity], text
    for text in ["stra", "%", "", "group:G000_", "' OR 1=1 --"]:
        assert graph.find(EVERYTHING, text, limit=5) == [], text
    graph.write([replace(named, publication=2, entity=Entity("group:A", "group", "Stra\u00dfe B\u00c4R"))])
    assert [found.entity_id for found in graph.find(EVERYTHING, "strasse b\u00e4r", limit=5)] == [
        "group:A",
        "group:G0007",
    ]
    assert len(graph.find(EVERYTHING, "strasse b\u00e4r", limit=1)) == 1


def test_entities_of_documents_come_by_number_of_documents_then_id(graph: KnowledgeGraph) -> None:
    graph.write([edge(p, e) for p, e in ((1, "x:b"), (1, "x:a"), (2, "x:b"), (3, "x:c"), (1, "x:c"), (4, "x:d"))])
    found = graph.entities_of(EVERYTHING, [1, 2, 3], limit=9)
    assert ids(found) == [("x:b", 1, 2), ("x:c", 1, 2), ("x:a", 1, 1)]
    assert found[0].documents == (("document-1", 1), ("document-2", 2))
    assert graph.entities_of(EVERYTHING, [3, 2, 1, 1], limit=1) == found[:1]


# What g1 does, told by three documents; the third says the contrary of the first.
STATED = [
    relation(1, "group:g1", "USES", "malware:m1"), relation(1, "group:g1", "TARGETS", "sector:banks", at=20),
    relation(2, "malware:m1", "EXPLOITS", "cve:1"), relation(2, "group:g2", "ATTRIBUTED_TO", "location:ir"),
    relation(3, "group:g1", "USES", "malware:m1", negated=True), relation(3, "group:g2", "RELATES_TO", "group:g1"),
]  # fmt: skip
MENTIONED = [
    edge(p, e)
    for p, e in sorted({(r.publication, e.entity_id) for r in STATED for e in (r.subject, r.object)})
]  # fmt: skip


def told(found: Sequence[RelationEdge]) -> list[RelationEdge]:
    return sorted(found, key=relation_order)


def test_relations_read_back_are_the_relations_written(graph: KnowledgeGraph) -> None:
    assert {one.kind for one in STATED} == set(RELATION_KINDS)
    odd = replace(
        relation(9, "group:nul\x00inside", "USES", "malware:\u65e5\u672c 'x' \"y\" \\ %"),
        sentence="\U0001f600\n" * 900, confidence=1.0, start=2**40, end=2**41,
    )  # fmt: skip
    graph.write(MENTIONED, STATED)
    graph.write([], [odd])
    assert held(graph) == stored([*MENTIONED, *STATED, odd])
    assert graph.counts(*PLACE, [1, 2, 3, 9]) == {1: 5, 2: 6, 3: 5, 9: 1}
    assert len([*graph.edges("acme", "reports", publications=[1, 9])]) == 6
    assert graph.relations(EVERYTHING, ["group:nul\x00inside"], each=5) == [odd]
    assert [*graph.orphans("acme")] == [] and graph.sweep("acme") == 0


@pytest.mark.parametrize("field", ["kind", "page", "start", "end", "sentence", "negated", "certainty", "confidence"])
def test_the_digest_of_a_relation_covers_every_field(field: str) -> None:
    one = relation(1, "group:g1", "USES", "malware:m1")
    other = "other" if field in ("kind", "sentence", "certainty") else 77
    assert relation_digest(replace(one, **{field: other})) != relation_digest(one)  # type: ignore[arg-type]
    for end in ("subject", "object"):
        renamed = replace(getattr(one, end), name="other")
        assert relation_digest(replace(one, **{end: renamed})) != relation_digest(one)  # type: ignore[arg-type]


def test_a_repeated_write_replaces_its_relations(graph: KnowledgeGraph) -> None:
    for _ in range(3):
        graph.write(MENTIONED, STATED)
    renamed = replace(STATED[0], subject=Entity("group:g1", "group", "Renamed"), negated=True)
    graph.write([], [renamed])
    assert held(graph) == stored([*MENTIONED, renamed, *STATED[1:]])
    assert graph.relations(EVERYTHING, ["malware:m1"], kinds=["USES"], each=9) == told([renamed, STATED[4]])


def test_what_contradicts_is_told_from_both_sides_newest_first(graph: KnowledgeGraph) -> None:
    graph.write(MENTIONED, STATED)
    of_g1 = [STATED[0], STATED[1], STATED[4], STATED[5]]
    assert graph.relations(EVERYTHING, ["group:g1"], each=9) == told(of_g1)
    assert [one.negated for one in graph.relations(EVERYTHING, ["malware:m1"], kinds=["USES"], each=9)] == [True, False]
    assert graph.relations(EVERYTHING, ["group:g1", "absent"], among=["malware:m1"], each=9) == told(
        [STATED[0], STATED[4]]
    )
    assert graph.relations(EVERYTHING, ["group:g1"], among=[], each=9) == []
    assert graph.relations(EVERYTHING, ["group:g1"], kinds=["RELATES_TO"], among=["group:g2"], each=9) == [STATED[5]]
    # Of each entity the newest, once as subject and once as object.
    assert graph.relations(EVERYTHING, ["group:g1"], each=1) == told([STATED[4], STATED[5]])
    assert graph.relations(EVERYTHING, ["group:g1"], each=0) == []


def test_relations_are_seen_by_tenant_collection_and_number(graph: KnowledgeGraph) -> None:
    theirs = relation(1, "group:g1", "USES", "malware:theirs", tenant="globex")
    elsewhere = relation(50, "group:g1", "USES", "malware:m2", collection="notes")
    graph.write(MENTIONED, [*STATED, theirs, elsewhere])
    scope = Scope("acme", {"reports": Visibility(1, 3, ((2, 2), (3, 3)))})
    assert graph.relations(scope, ["group:g1", "malware:m1"], each=9) == told(STATED[:2])
    both = Scope("acme", {"notes": Visibility(1, 50), "reports": Visibility(1, 1)})
    assert graph.relations(both, ["group:g1"], each=9) == told([elsewhere, *STATED[:2]])
    assert graph.relations(Scope("globex", EVERYTHING.visible), ["group:g1"], each=9) == [theirs]
    assert held(graph, "notes") == stored([elsewhere]) and held(graph, tenant="globex") == stored([theirs])


def test_a_removal_takes_relations_and_the_entities_that_only_they_held(graph: KnowledgeGraph) -> None:
    graph.write(MENTIONED, STATED)
    graph.write([], [relation(7, "group:g7", "USES", "tool:t7")])
    graph.remove(*PLACE, [1, 2])
    assert held(graph) == stored([*(one for one in (*MENTIONED, *STATED) if one.publication == 3),
                                  relation(7, "group:g7", "USES", "tool:t7")])  # fmt: skip
    assert [*graph.orphans("acme")] == [] and graph.counts(*PLACE, [1, 2]) == {}
    graph.remove(*PLACE, [3, 7])
    assert held(graph) == [] and [*graph.orphans("acme")] == []
    assert graph.relations(EVERYTHING, ["group:g1", "group:g7"], each=9) == []


def test_a_removal_takes_what_it_names_of_one_collection_and_leaves_the_rest(graph: KnowledgeGraph) -> None:
    """Ghosts stand under the same numbers, and under the number of another document."""
    mentions = [edge(1, "group:g1"), edge(1, "malware:m1"), edge(2, "group:g1")]
    said = [relation(1, "group:g1", "USES", "malware:m1"), relation(2, "group:g1", "TARGETS", "sector:banks")]
    elsewhere = {place: [edge(1, f"group:of-{place[0]}", tenant=place[0], collection=place[1]),
                         relation(1, "group:g1", "USES", f"tool:of-{place[1]}", tenant=place[0], collection=place[1])]
                 for place in (("acme", "notes"), ("globex", "reports"))}  # fmt: skip
    intruders = [replace(edge(1, "tool:far"), document_id="another"),
                 replace(relation(1, "tool:far", "USES", "tool:farther"), document_id="another")]  # fmt: skip
    everything = [*mentions, *said, *intruders, *(one for rows in elsewhere.values() for one in rows)]
    edges = [one for one in everything if isinstance(one, MentionEdge)]
    graph.write(edges, [one for one in everything if isinstance(one, RelationEdge)])
    assert [*graph.collections()] == [("acme", "notes"), ("acme", "reports"), ("globex", "reports")]
    assert graph.counts(*PLACE, [1, 2]) == {1: 5, 2: 2} and graph.counts("acme", "notes", [1, 2]) == {1: 2}
    for documents in (["another"], ["another", "absent"], []):
        graph.remove(*PLACE, [1], documents=documents)
        assert held(graph) == stored([*mentions, *said]) and [*graph.orphans("acme")] == []
    graph.remove("acme", "absent", [1])
    graph.remove("acme", "notes", [1, 2])
    assert held(graph, "notes") == [] and held(graph) == stored([*mentions, *said])
    assert held(graph, tenant="globex") == stored(elsewhere["globex", "reports"])
    graph.remove(*PLACE, [1])
    assert held(graph) == stored([mentions[2], said[1]]) and [*graph.orphans("acme")] == []
    assert held(graph, tenant="globex") == stored(elsewhere["globex", "reports"])
    assert [*graph.collections()] == [("acme", "reports"), ("globex", "reports")]


EDGES = st.sets(st.tuples(st.integers(1, 15), st.integers(0, 11), st.sampled_from(["reports", "notes"])), max_size=45)


class Model:
    """The same graph as sets, walked plainly."""

    def __init__(self, edges: Sequence[MentionEdge], scope: Scope) -> None:
        self.entities: dict[tuple[str, int], set[str]] = defaultdict(set)
        for e in edges:
            visible = scope.visible.get(e.collection)
            if e.tenant == scope.tenant and visible is not None and visible.admits(e.publication):
                self.entities[e.document_id, e.publication].add(e.entity.entity_id)

    def walk(self, starts: set[str], hops: int) -> list[tuple[str, int, int]]:
        seen, frontier, found = set(starts), set(starts), []
        for hop in range(1, hops + 1):
            weights: dict[str, int] = defaultdict(int)
            for mentioned in self.entities.values():
                if mentioned & frontier:
                    for entity in mentioned - seen:
                        weights[entity] += 1
            found += [(e, hop, w) for e, w in sorted(weights.items(), key=lambda item: (-item[1], item[0]))]
            frontier = set(weights)
            seen |= frontier
        return found


def collection_edges(triples: set[tuple[int, int, str]]) -> list[MentionEdge]:
    # A publication belongs to one document of one collection: notes get numbers of their own.
    return [
        edge(publication if collection == "reports" else publication + 15, f"x:{entity}", collection=collection)
        for publication, entity, collection in sorted(triples)
    ]


@given(
    triples=EDGES,
    reports=visibilities(),
    notes=visibilities(),
    stated=st.sets(st.tuples(st.integers(1, 9), st.integers(0, 5), st.integers(0, 5)), max_size=25),
    starts=st.sets(st.integers(0, 12), max_size=3),
    hops=st.integers(0, 4),
    limit=st.integers(0, 12),
    gone=st.sets(st.integers(1, 30), max_size=8),
)
@settings(max_examples=60)
def test_walks_equal_a_plain_search_through_sets(
    build: Callable[[Path], KnowledgeGraph],
    tmp_path_factory: pytest.TempPathFactory,
    triples: set[tuple[int, int, str]],
    reports: Visibility,
    notes: Visibility,
    stated: set[tuple[int, int, int]],
    starts: set[int],
    hops: int,
    limit: int,
    gone: set[int],
) -> None:
    graph = build(tmp_path_factory.mktemp("walk"))
    edges = collection_edges(triples)
    relations = [
        relation(p, f"x:{s}", RELATION_KINDS[(p + s + o) % 5], f"x:{o}", at=s) for p, s, o in sorted(stated) if s != o
    ]
    graph.write(edges[: len(edges) // 2], relations[1:])
    graph.write(edges[len(edges) // 2 :], relations[:3])
    for collection in ("reports", "notes"):
        graph.remove("acme", collection, sorted(gone))
    left = [e for e in edges if e.publication not in gone]
    kept = [one for one in relations if one.publication not in gone]
    scope = Scope("acme", {"reports": reports, "notes": notes})
    model = Model(left, scope)
    wanted = {f"x:{number}" for number in starts}
    assert ids(graph.neighbours(scope, sorted(wanted), hops=hops, limit=limit)) == model.walk(wanted, hops)[:limit]
    assert graph.mentioning(scope, sorted(wanted)) == sorted(
        {(e.collection, e.publication) for e in left if e.entity.entity_id in wanted and e.publication in
         {publication for _, publication in model.entities}}
    )  # fmt: skip
    assert sorted([*held(graph), *held(graph, "notes")], key=str) == stored([*left, *kept])
    seen = [one for one in kept if reports.admits(one.publication)]
    mine = [one for one in seen if {one.subject.entity_id, one.object.entity_id} & wanted]
    assert graph.relations(scope, sorted(wanted), each=99) == told(mine)
    assert [*graph.orphans("acme")] == []
    if isinstance(graph, SqliteGraph):
        graph.close()
