"""What every classifier promises: the packaged one, Jina's, and Jina's with its answers kept."""

from collections.abc import Iterator

import pytest

from etl_assets.backends.cached_classifier import CachedClassifier
from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.http_calls import HttpApi
from etl_assets.backends.jina_classifier import JinaClassifier
from etl_assets.backends.result_cache import MemoryCache
from etl_assets.documents.classification.serving import LocalClassifier
from etl_assets.protocols.classifier import Classifier, HostedClassifier, Label, LabelSet
from etl_assets_tests.servers.jina_standin import JinaStandIn

PLANTS = LabelSet("plant", (Label("rose", keywords=("rose", "roses")), Label("tulip", keywords=("tulip",))))
TEXTS = [
    "Roses: how a rose is pruned\n\nRoses want sun. A rose is pruned in March.", "",
    "A tulip: when a tulip blooms\n\nA tulip wants a cold winter. Each tulip blooms in May.", "\u0000 text",
]  # fmt: skip


@pytest.fixture(params=["local", "jina", "kept"])
def classifier(request: pytest.FixtureRequest) -> Iterator[Classifier]:
    if request.param == "local":
        yield LocalClassifier()
        return
    with JinaStandIn() as server:
        api = HttpApi("Jina", f"{server.url}/v1/", credential=FixedCredential("test-key", source="JINA_API_KEY"))
        jina = JinaClassifier(api)
        yield jina if request.param == "jina" else CachedClassifier(jina, MemoryCache(), scope="acme")
        api.close()


def test_every_text_has_a_score_from_0_to_1_for_every_label_in_the_orders_given(classifier: Classifier) -> None:
    found = classifier.scores(TEXTS, PLANTS)
    assert [len(row) for row in found] == [2] * len(TEXTS)
    assert all(0 <= score <= 1 for row in found for score in row)
    assert list(found[1]) == [0.0, 0.0], "an empty text"
    assert found[0][0] > found[0][1] and found[2][1] > found[2][0]
    turned = LabelSet("plant", PLANTS.labels[::-1])
    assert [list(row)[::-1] for row in classifier.scores(TEXTS[::-1], turned)] == [list(row) for row in found[::-1]]


def test_it_is_named_gives_the_same_again_and_nothing_for_nothing(classifier: Classifier) -> None:
    assert classifier.name and classifier.name == classifier.name.strip()
    assert list(classifier.scores([], PLANTS)) == []
    assert list(classifier.scores(TEXTS, PLANTS)) == list(classifier.scores(TEXTS, PLANTS))


def test_a_hosted_one_tells_beforehand_what_it_asks_and_keeps_tenants_apart(classifier: Classifier) -> None:
    if not isinstance(classifier, HostedClassifier):
        pytest.skip("the packaged classifier asks nobody")
    texts = [text for text in TEXTS if text]
    assert [place for one in classifier.requests(texts, PLANTS) for place in one.texts] == [0, 1, 2]
    classifier.scores(texts, PLANTS)
    assert list(classifier.for_scope("another").known(texts, PLANTS)) == [None] * 3
