"""A Pinecone index belongs to one installation, and its key may be changed while it is in use."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from etl_assets.backends.circuit import Backoff, Calls, CircuitBreaker
from etl_assets.backends.credentials import StoredCredential
from etl_assets.backends.pinecone_mark import NAMESPACE
from etl_assets.backends.pinecone_namespace import Namespace, Record
from etl_assets.backends.pinecone_server import PineconeAccess
from etl_assets.backends.pinecone_vectors import PineconeVectors
from etl_assets.backends.probe_stores import probe_pinecone
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.probes import Finding
from etl_assets_tests.backends.kept_by_hand import SecretsByHand
from etl_assets_tests.conformance.index_rows import SPACE, Row, vector_table
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

KEY = "pcsk_canary_first"
ROWS = vector_table([Row(1, "c", seed=1), Row(2, "c", seed=2)])
Opened = Callable[..., PineconeVectors]


@pytest.fixture
def standin() -> Iterator[PineconeStandIn]:
    with PineconeStandIn(keys={KEY}, lag=2) as standin:
        yield standin


@pytest.fixture
def opened(standin: PineconeStandIn) -> Iterator[Opened]:
    indexes: list[PineconeVectors] = []

    def make(installation: str, key: object = KEY) -> PineconeVectors:
        calls = Calls(CircuitBreaker("Pinecone"), Backoff(2, base_s=0.01, cap_s=0.05))
        access = PineconeAccess(key, host=standin.url)  # type: ignore[arg-type]
        indexes.append(PineconeVectors(access, calls, lambda: installation))
        return indexes[-1]

    yield make
    for index in indexes:
        index.close()


def test_another_installation_is_refused_before_it_changes_anything(opened: Opened) -> None:
    first, second = opened("first"), opened("second")
    first.write(SPACE, ROWS)
    for act in (
        lambda: second.write(SPACE, ROWS), lambda: second.remove(SPACE, [1, 2]), lambda: second.drop(SPACE),
        lambda: second.prepare(8),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=r"etl-assets-8 belongs to another installation.*INDEX_PREFIX"):
            act()
    assert first.counts(SPACE, [1, 2]) == {1: 1, 2: 1}
    assert first.spaces() == [SPACE], "the mark is no index space"


def test_a_restored_installation_goes_on(opened: Opened) -> None:
    opened("first").write(SPACE, ROWS)
    restored = opened("first")
    restored.remove(SPACE, [1])
    assert restored.counts(SPACE, [1, 2]) == {2: 1}


def test_the_index_is_asked_once_in_a_process(opened: Opened, standin: PineconeStandIn) -> None:
    index = opened("first")
    index.write(SPACE, ROWS)
    standin.indexes["etl-assets-8"].requests.clear()
    index.write(SPACE, ROWS)
    index.remove(SPACE, [1])
    assert not [one for one in standin.indexes["etl-assets-8"].requests if NAMESPACE in str(one)]


def test_of_two_that_mark_at_the_same_moment_the_later_one_withdraws(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Namespace.write

    def beside_another(self: Namespace, records: Sequence[Record]) -> None:
        write(self, [Record("other", records[0].values, records[0].metadata)])
        write(self, records)

    index = opened("first")
    with monkeypatch.context() as patched, pytest.raises(TransientError, match="same moment"):
        patched.setattr(Namespace, "write", beside_another)
        index.write(SPACE, ROWS)
    assert index.counts(SPACE, [1, 2]) == {}
    opened("other").write(SPACE, ROWS)


@pytest.mark.parametrize(
    ("asking", "said"), [("first", "belongs to this installation"), (None, "cannot be told without the ledger")]
)
def test_a_check_says_whose_it_is(opened: Opened, standin: PineconeStandIn, asking: str | None, said: str) -> None:
    opened("first").prepare(8)
    found = Finding()
    probe_pinecone(found, PineconeAccess(KEY, host=standin.url), asking, paid=True)
    assert any(said in note for note in found.notes) and not found.problems
    foreign = Finding()
    probe_pinecone(foreign, PineconeAccess(KEY, host=standin.url), "", paid=True)
    assert "belongs to another installation" in foreign.problems[0]


def test_a_changed_key_is_read_anew_and_a_wrong_one_refused_at_once(opened: Opened, standin: PineconeStandIn) -> None:
    secrets = SecretsByHand(KEY)
    index = opened("first", StoredCredential(secrets, "pinecone#key"))
    index.write(SPACE, ROWS)
    standin.keys = {"pcsk_canary_second"}
    for plane in standin.indexes.values():
        plane.keys = standin.keys
    with pytest.raises(PermanentError, match=r"401.*check pinecone#key") as refused:
        index.counts(SPACE, [1])
    assert "canary" not in str(refused.value) and secrets.reads == 1
    secrets.text = "pcsk_canary_second"
    assert index.counts(SPACE, [1, 2]) == {1: 1, 2: 1}
    index.write(SPACE, ROWS)
    assert index.spaces() == [SPACE] and secrets.reads == 2
