"""Walking what sentences state: nearest first, by documents, bounded, and never back."""

from collections.abc import Sequence

import pytest

from etl_assets.protocols.graph import RelationEdge, relation_order
from etl_assets.search import stated_walk
from etl_assets.search.stated_walk import StatedWalk, nearness
from etl_assets_tests.conformance.test_knowledge_graph import relation

G1, M1, M2, C1, L1 = "group:g1", "malware:m1", "malware:m2", "cve:c1", "location:l1"
SAID = [
    relation(1, G1, "USES", M1), relation(2, G1, "USES", M1, negated=True), relation(3, M2, "ATTRIBUTED_TO", G1),
    relation(3, M1, "EXPLOITS", C1), relation(4, M2, "EXPLOITS", C1), relation(5, C1, "RELATES_TO", L1),
]  # fmt: skip


def ask(ids: Sequence[str], each: int) -> list[RelationEdge]:
    found = set()
    for entity in ids:
        for role in ("subject", "object"):
            mine = [one for one in SAID if getattr(one, role).entity_id == entity]
            found.update(sorted(mine, key=relation_order)[:each])
    return sorted(found, key=relation_order)


def levels(walk: StatedWalk, hops: int, *blocked: str) -> list[list[str]]:
    found = walk.levels(hops, lambda entity: entity.entity_id not in blocked)
    return [[met.entity.entity_id for met in sorted(level.values(), key=nearness)] for level in found]


def test_a_walk_goes_over_relations_either_way_and_never_back() -> None:
    walk = StatedWalk(ask, SAID[0].subject, frontier=9)
    assert levels(walk, 4) == [[M1, M2], [C1], [L1], []]
    assert not walk.is_cut
    assert levels(walk, 2) == [[M1, M2], [C1]]
    assert levels(walk, 4, M1, M2) == [[M1, M2]], "what may not lead on is reached, and not walked through"


def test_what_contradicts_stays_together_newest_first() -> None:
    (first, second) = StatedWalk(ask, SAID[0].subject, frontier=9).levels(2, lambda _: True)
    assert [one.negated for one in first[M1].relations] == [True, False] and first[M1].weight == 2
    assert [one.publication for one in second[C1].relations] == [4, 3]


def test_bounds_are_kept_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = StatedWalk(ask, SAID[0].subject, frontier=1)
    assert levels(narrow, 1) == [[M1, M2]] and not narrow.is_cut
    assert levels(narrow, 2) == [[M1, M2], [C1]] and narrow.is_cut
    for name in ("RELATIONS_PER_HOP", "RELATIONS_PER_ENTITY"):
        monkeypatch.setattr(stated_walk, name, 1)
    walk = StatedWalk(ask, SAID[0].subject, frontier=9)
    assert levels(walk, 1) == [[M1, M2]] and walk.is_cut
