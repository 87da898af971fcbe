"""What a search may see, against a model: any history, any moment, and an index that ignores visibility."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, String, Table, delete, insert, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, next_sequence
from etl_assets.ledger.snapshots import CollectionView, snapshot
from etl_assets.protocols.graph import Entity, Neighbour, Scope
from etl_assets.protocols.indexes import IndexHit
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.sources import Confirmed, confirmed_hits, confirmed_walk, hiding

DOCUMENTS = ("a", "b", "c", "d")


def filled(table: Table, row: dict[str, object]) -> dict[str, object]:
    """``row``, with something in every column that must have a value: these tests turn on few of them."""
    empty: dict[str, object] = {}
    for column in table.columns:
        if not column.nullable and column.name not in row:
            empty[column.name] = {} if isinstance(column.type, JSON) else "" if isinstance(column.type, String) else 0
    return empty | row


CHUNKS = 3
_NUMBERS = count(1)


@dataclass
class Collection:
    """One collection in a real ledger, changed by the rules of publication, and an index that forgets nothing."""

    ledger: Ledger
    cid: int
    held: list[tuple[int, str]] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)

    @classmethod
    def new(cls, ledger: Ledger) -> "Collection":
        cid = next(_NUMBERS)
        with ledger.writing() as connection:
            n = next_sequence(connection)
            names = {"tenant": f"t{cid}", "collection": "c"}
            connection.execute(insert(schema.collections), filled(schema.collections, {"cid": cid} | names))
            generation = {"generation_id": cid, "cid": cid, "state": "live", "retired_at": None}
            connection.execute(insert(schema.generations), filled(schema.generations, generation))
            reign = {"cid": cid, "generation_id": cid, "begin_seq": n, "end_seq": None}
            connection.execute(insert(schema.reigns), reign)
        return cls(ledger, cid)

    def stage(self, document: str) -> int:
        """Draw a number and write its rows everywhere: nobody may see them yet."""
        number = next(_NUMBERS)
        with self.ledger.writing() as connection:
            connection.execute(insert(schema.outbox), self._boxed(number, document, "staged"))
        self.held.append((number, document))
        return number

    def commit(self, document: str, number: int | None) -> None:
        """Show this number, or nothing, of a document."""
        p, box = schema.publications, schema.outbox
        with self.ledger.writing() as connection:
            n = next_sequence(connection)
            old = self.shown.pop(document, None)
            if old is not None:
                connection.execute(update(p).where(p.c.publication == old).values(end_seq=n))
                connection.execute(insert(box), self._boxed(old, document, "collect"))
            if number is not None:
                connection.execute(delete(box).where(box.c.publication == number))
                connection.execute(insert(p), self._publication(number, document, n))
                self.shown[document] = number

    def collect(self) -> None:
        """Confirm that superseded rows are gone; the index of these tests keeps them all the same."""
        box = schema.outbox
        with self.ledger.writing() as connection:
            connection.execute(delete(box).where(box.c.cid == self.cid, box.c.state == "collect"))

    def view(self) -> CollectionView | None:
        views = snapshot(self.ledger, tenant=f"t{self.cid}", collection=None)
        return views[0] if views else None

    def rows(self, visible: Visibility | None) -> list[IndexHit]:
        """Every row ever written, best first: newer ones are better, so stale ones are in the way of nothing."""
        numbers = [(number, document) for number, document in self.held if visible is None or visible.admits(number)]
        return [
            IndexHit(number, document, f"{chunk}", 1.0 / (1 + chunk + place * CHUNKS))
            for place, (number, document) in enumerate(reversed(numbers))
            for chunk in range(CHUNKS)
        ]

    def _boxed(self, number: int, document: str, state: str) -> dict[str, object]:
        row = {"publication": number, "document_id": document, "cid": self.cid, "generation_id": self.cid}
        return filled(schema.outbox, row | {"state": state, "stores": []})

    def _publication(self, number: int, document: str, n: int) -> dict[str, object]:
        row = {"publication": number, "document_id": document, "cid": self.cid, "generation_id": self.cid}
        row |= {"version": f"v{number}", "path": document, "outputs": {"chunks": number}}
        return filled(schema.publications, row | {"begin_seq": n, "end_seq": None})


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = Ledger.sqlite(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    yield opened
    opened.close()


ACTIONS = st.sampled_from(["publish", "publish", "publish", "stage", "remove", "collect"])
STEPS = st.lists(st.tuples(ACTIONS, st.sampled_from(DOCUMENTS)), max_size=14)


def take(collection: Collection, steps: Sequence[tuple[str, str]]) -> None:
    for action, document in steps:
        if action == "publish":
            collection.commit(document, collection.stage(document))
        elif action == "stage":
            collection.stage(document)
        elif action == "remove":
            collection.commit(document, None)
        else:
            collection.collect()


@settings(max_examples=100)
@given(before=STEPS, after=STEPS, k=st.integers(1, 14), obeys=st.booleans())
def test_a_reader_sees_exactly_what_stood_at_its_sequence(
    ledger: Ledger, before: list[tuple[str, str]], after: list[tuple[str, str]], k: int, obeys: bool
) -> None:
    collection = Collection.new(ledger)
    take(collection, before)
    view = collection.view()
    expected = dict(collection.shown)
    take(collection, after)
    if view is None:
        assert not expected
        return

    def ask(wanted: int, visible: Visibility) -> list[IndexHit]:
        return collection.rows(visible if obeys else None)[:wanted]

    hits, short = confirmed_hits(Confirmed(ledger, [view]), view, k, ask)
    found = [(hit.document.document_id, hit.document.publication, hit.chunk_id) for hit in hits]
    assert len(set(found)) == len(found) <= k
    assert all(expected.get(document) == number for document, number, _ in found)
    if not short:
        assert len(found) == min(k, CHUNKS * len(expected))
    assert not (obeys and short)


@settings(max_examples=100)
@given(before=STEPS, after=STEPS)
def test_a_walk_uses_no_document_that_the_ledger_does_not_show(
    ledger: Ledger, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    collection = Collection.new(ledger)
    take(collection, before)
    view = collection.view()
    expected = set(collection.shown.items())
    take(collection, after)
    if view is None:
        return

    rounds: list[Scope] = []

    def walk(scope: Scope) -> list[Neighbour]:
        """A graph that heeds what it is told from the second round on."""
        rounds.append(scope)
        seen = scope.visible["c"] if len(rounds) > 1 else None
        pairs = tuple((document, number) for number, document in collection.held if seen is None or seen.admits(number))
        return [Neighbour(Entity("e", "e", "e"), 1, len(pairs), pairs)] if pairs else []

    reached, cut = confirmed_walk(Confirmed(ledger, [view]), view.tenant, walk)
    assert {pair for one in reached for pair in one.documents} == expected
    assert not cut


def test_a_graph_that_does_not_listen_is_cut_to_what_is_shown(ledger: Ledger) -> None:
    collection = Collection.new(ledger)
    take(collection, [("publish", "a"), ("publish", "b"), ("publish", "a")])
    view = collection.view()
    assert view is not None
    stale = tuple((document, number) for number, document in collection.held)
    walk = [
        Neighbour(Entity("e", "e", "e"), 1, len(stale), stale),
        Neighbour(Entity("f", "f", "f"), 1, 1, stale[:1]),
    ]
    reached, cut = confirmed_walk(Confirmed(ledger, [view]), view.tenant, lambda _: walk)
    assert cut
    assert [(one.entity.entity_id, one.weight, len(one.documents)) for one in reached] == [("e", 2, 2)]


def test_a_hit_under_another_documents_number_is_refused(ledger: Ledger) -> None:
    collection = Collection.new(ledger)
    take(collection, [("publish", "a")])
    view = collection.view()
    assert view is not None
    forged = [IndexHit(collection.shown["a"], "b", "0", 1.0)]
    assert confirmed_hits(Confirmed(ledger, [view]), view, 5, lambda *_: forged) == ([], False)


def test_what_one_search_has_read_stays_as_it_was(ledger: Ledger) -> None:
    collection = Collection.new(ledger)
    take(collection, [("publish", "a")])
    view = collection.view()
    assert view is not None
    confirmed = Confirmed(ledger, [view])
    number = collection.shown["a"]
    first = confirmed.documents(view, [number])
    p = schema.publications
    with ledger.writing() as connection:  # new bytes with the same contents: the publication is pointed elsewhere
        connection.execute(update(p).where(p.c.publication == number).values(version="other"))
    assert confirmed.documents(view, [number]) == first


@given(
    hidden=st.lists(st.integers(1, 60), unique=True).map(sorted),
    more=st.sets(st.integers(1, 60)),
    highest=st.integers(1, 60),
)
def test_hiding_more_hides_exactly_that(hidden: list[int], more: set[int], highest: int) -> None:
    visible = hiding(Visibility(1, highest), hidden)
    wider = hiding(visible, more)
    for number in range(1, 62):
        assert wider.admits(number) == (visible.admits(number) and number not in more)
    assert all(low <= high for low, high in wider.hidden)
    assert all(first[1] + 1 < second[0] for first, second in zip(wider.hidden, wider.hidden[1:], strict=False))
