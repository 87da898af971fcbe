"""Jina's classifier against a stand-in that validates every request by the vendor's guide."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from etl_assets.backends.cached_classifier import CachedClassifier
from etl_assets.backends.circuit import CircuitBreaker
from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.http_calls import HttpApi, Patience
from etl_assets.backends.jina_classifier import TEXTS_MAX, TOKENS_MAX, JinaClassifier
from etl_assets.backends.result_cache import MemoryCache
from etl_assets.documents.classification.find import classify_documents, default_classifying
from etl_assets.documents.classification.label_sets import threats
from etl_assets.documents.classification.serving import Served
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.classifier import Label, LabelSet
from etl_assets.protocols.hosted_models import JINA_CLASSIFIERS
from etl_assets_tests.documents.classification.reports import BANKS, frame, task
from etl_assets_tests.servers.jina_standin import JinaStandIn, contract
from etl_assets_tests.servers.standin import Fault

AT_ONCE = Patience(attempts=5, total_s=20.0, base_s=0.0, cap_s=0.0)
BRIEFLY = Patience(attempts=2, total_s=0.2, base_s=0.1, cap_s=0.1)
FRUIT = LabelSet("fruit", (Label("apples", "red apples on trees"), Label("pears", "green pears in bags")))


@pytest.fixture
def server() -> Iterator[JinaStandIn]:
    with JinaStandIn() as jina:
        assert isinstance(jina, JinaStandIn)
        yield jina


@pytest.fixture
def api(server: JinaStandIn) -> Iterator[HttpApi]:
    key = FixedCredential("test-key", source="JINA_API_KEY")
    opened = HttpApi("Jina", f"{server.url}/v1/", credential=key, patience=AT_ONCE, breaker=CircuitBreaker("Jina"))
    yield opened
    opened.close()


def test_each_text_has_a_score_for_each_label_in_their_order(api: HttpApi) -> None:
    for model in JINA_CLASSIFIERS:
        classifier = JinaClassifier(api, model)
        found = classifier.scores(["red apples on trees", "", "green pears in bags"], FRUIT)
        assert found[0][0] > 0.5 > found[0][1]
        assert found[1] == (0.0, 0.0)
        assert found[2][1] > 0.5 > found[2][0]
        assert classifier.name == f"jina/{model}/classify-1"
    assert set(JINA_CLASSIFIERS) == set(contract()["classify"]["model"]["text"])


def test_many_texts_go_in_parts_and_none_in_no_request(server: JinaStandIn, api: HttpApi) -> None:
    texts = ["red apples on trees" if n % 2 else "green pears in bags" for n in range(TEXTS_MAX + 3)]
    found = JinaClassifier(api).scores(texts, FRUIT)
    assert [scores[0] > 0.5 for scores in found] == [bool(n % 2) for n in range(TEXTS_MAX + 3)]
    assert len(server.requests) == 2
    assert JinaClassifier(api).scores(["", " "], FRUIT) == [(0.0, 0.0)] * 2
    assert len(server.requests) == 2


def test_an_answer_that_lacks_a_text_is_asked_for_again(server: JinaStandIn, api: HttpApi) -> None:
    server.misbehave(Fault("missing"))
    assert JinaClassifier(api).scores(["red apples on trees"], FRUIT)[0][0] > 0.5
    server.misbehave(*[Fault("missing")] * 5)
    with pytest.raises(TransientError, match="0 usable classifications for 1 texts"):
        JinaClassifier(api).scores(["red apples on trees"], FRUIT)


def test_what_cannot_be_asked_is_said_before_anything_is_sent(server: JinaStandIn, api: HttpApi) -> None:
    with pytest.raises(ConfigError, match="two labels"):
        JinaClassifier(api).scores(["text"], LabelSet("one", (Label("only"),)))
    with pytest.raises(ConfigError, match="jina-clip-v2.*use one of"):
        JinaClassifier(api, "jina-clip-v2")
    assert server.requests == []


@pytest.mark.parametrize("status", [402, 429, 503])
def test_an_account_that_is_used_up_leaves_the_local_classifier_serving(
    server: JinaStandIn, api: HttpApi, status: int
) -> None:
    server.misbehave(*[Fault("error", status=status, body={"detail": "balance"})] * 99)
    why = "refused" if status == 402 else "unavailable"
    with pytest.raises(PermanentError if status == 402 else TransientError):
        JinaClassifier(api, patience=BRIEFLY).scores(["text"], threats())
    served = Served(JinaClassifier(api, patience=BRIEFLY))
    rows = classify_documents([task()], frame(BANKS), classifying=default_classifying(), served=served).rows
    rows = rows.filter(rows["kind"] != "technique")
    assert set(rows["classifier"]) == {f"local-1 (for jina/jina-embeddings-v3/classify-1: {why})"}
    assert "ransomware" in rows.filter(rows["accepted"])["label"].to_list()


def test_while_it_answers_its_scores_stand_and_the_sentences_are_the_local_ones(api: HttpApi) -> None:
    served = Served(JinaClassifier(api))
    rows = classify_documents([task()], frame(BANKS), classifying=default_classifying(), served=served).rows
    rows = rows.filter(rows["kind"] == "threat")
    assert set(rows["classifier"]) == {"jina/jina-embeddings-v3/classify-1"}


def test_requests_are_known_beforehand_and_hold_no_more_than_the_least_account_may_send(
    server: JinaStandIn, api: HttpApi
) -> None:
    classifier, texts = JinaClassifier(api), ["red apples on trees. " * 300] * 20
    asked = classifier.requests(texts, FRUIT)
    assert [one.texts for one in asked] == [range(8), range(8, 16), range(16, 20)]
    assert all(one.tokens < TOKENS_MAX + 100 for one in asked)
    classifier.scores(texts, FRUIT)
    assert [len(one.body["input"]) for one in server.requests] == [8, 8, 4]


def test_an_answer_is_kept_for_its_tenant_and_label_set_whatever_the_threshold(
    server: JinaStandIn, api: HttpApi
) -> None:
    mine = CachedClassifier(JinaClassifier(api), MemoryCache(), scope="acme")
    assert mine.known(["red apples"], FRUIT) == [None]
    found = mine.scores(["red apples", "green pears"], FRUIT)
    assert mine.known(["green pears", "red apples"], replace(FRUIT, threshold=0.9)) == [found[1], found[0]]
    assert mine.scores(["green pears"], FRUIT) == [found[1]] and len(server.requests) == 1
    assert mine.for_scope("rival").known(["red apples"], FRUIT) == [None]
    assert mine.known(["red apples"], LabelSet("fruit", FRUIT.labels[::-1])) == [None]


def test_a_text_that_the_vendor_cannot_read_costs_itself_alone(server: JinaStandIn, api: HttpApi) -> None:
    server.misbehave(Fault("error", status=400, body={"detail": "[RID: 1] Failed to encode text"}))
    found = Served(JinaClassifier(api)).answers(["red apples on trees", "green pears in bags"], FRUIT)
    assert [one.why for one in found] == ["", ""] and len(server.requests) == 3
    server.misbehave(Fault("error", status=400, body={"detail": "[RID: 1] Failed to encode text"}))
    assert [one.why for one in Served(JinaClassifier(api)).answers(["red apples"], FRUIT)] == ["text refused"]
