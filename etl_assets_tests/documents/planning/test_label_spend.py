"""Labels scored by Jina: planned, paid for once, within the budget, and the record says who scored them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from etl_assets.bindings import open_platform
from etl_assets.cli.probed_roles import roles
from etl_assets.documents.anew import Anew
from etl_assets.documents.classification.calibration import PlattLine
from etl_assets.documents.classification.label_sets import threats
from etl_assets.documents.classification.serving import Served
from etl_assets.documents.collections import Collections
from etl_assets.documents.knowledge import Outside
from etl_assets.documents.label_corrections import learned
from etl_assets.documents.labels import calibration
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.parameters import Classification
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.planning.label_spend import NOT_ASKED, OVER_BUDGET, CountingTill, kept_answers
from etl_assets.documents.planning.plan import plan_collection
from etl_assets.errors import ConfigError
from etl_assets.hosted_bindings import Connections
from etl_assets.hosted_settings import JinaPlace
from etl_assets.ledger import schema
from etl_assets.ledger.corrections import Correction
from etl_assets.protocols.classifier import Asking, LabelSet
from etl_assets.protocols.probes import Finding
from etl_assets.settings import Settings
from etl_assets_tests.documents.classification.reports import frame
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.standin import Fault
from etl_assets_tests.small_homes import STATIC, SmallHome, shared_pool

PLACE = ("acme", "reports")
NAME = "jina/jina-embeddings-v3/classify-1"
JINA = STATIC + "  classification: {classifier: jina, techniques: false}\n"
PRICED = "  budget: {money: 1, price_per_million_tokens: 0.05}\n"
TEXTS = {
    "bank.txt": "A ransomware gang encrypted the servers of a bank and demanded a ransom from the bank.",
    "roses.txt": "Roses want sun and water. A garden of roses blooms in May.",
    "copy.txt": "Roses want sun and water. A garden of roses blooms in May.",
}


@pytest.fixture
def jina() -> Iterator[JinaStandIn]:
    with JinaStandIn() as server:
        assert isinstance(server, JinaStandIn)
        yield server


def opened(folder: Path, server: JinaStandIn | None, collections: str) -> SmallHome:
    place = None if server is None else JinaPlace("test-key", f"{server.url}/v1")
    settings = Settings(home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1, jina=place)
    settings.home.create()
    home = SmallHome(settings, replace(open_platform(settings), parsers=shared_pool))
    decide(home, collections)
    for path, text in TEXTS.items():
        home.write(path, text)
    return home


def decide(home: SmallHome, text: str) -> None:
    home.platform = replace(home.platform, collections=Collections.parse(text))


def paid(home: SmallHome) -> tuple[int, float]:
    """Tokens and money that labels cost so far."""
    table = schema.spend
    with home.platform.ledger.reading() as connection:
        found = connection.execute(select(table.c.tokens, table.c.money).where(table.c.model == NAME)).all()
    return sum(row[0] for row in found), sum(row[1] for row in found)


def facts(home: SmallHome, path: str) -> dict[str, Any]:
    p = schema.publications
    with home.platform.ledger.reading() as connection:
        record = connection.scalar(select(p.c.record).where(p.c.path == path, p.c.end_seq.is_(None)))
    return dict(record or {})


def force(home: SmallHome) -> dict[str, Any]:
    with PartitionRun(home.platform, home.key, run_id="forced", anew=Anew.read(["classifications"], [])) as run:
        return all_steps(run)


def test_labels_are_planned_paid_for_once_and_learned_from_by_themselves(tmp_path: Path, jina: JinaStandIn) -> None:
    home = opened(tmp_path, jina, JINA + PRICED)
    plan = plan_collection(home.platform, *PLACE)
    planned = plan.stage("classifications")
    assert not jina.requests and planned.calls == 2 and plan.money["USD"] == pytest.approx(planned.money)
    home.run()
    assert len(jina.requests) == 2 and [len(one.body["input"]) for one in jina.requests] == [2, 2]
    assert paid(home) == (planned.tokens, pytest.approx(planned.money))
    assert plan.as_json()["tokens"] == planned.tokens + plan.stage("embeddings").tokens
    found = plan_collection(home.platform, *PLACE)
    assert not found.partitions and not found.standing_in
    decide(home, JINA.replace("techniques: false", "techniques: false, threats: 0.4") + PRICED)
    again = plan_collection(home.platform, *PLACE).stage("classifications")
    assert (again.documents, again.tokens, again.calls) == (3, 0, 0), "another threshold asks for nothing again"
    home.run("second")
    assert len(jina.requests) == 2 and paid(home)[0] == planned.tokens
    served = kept_answers(home.platform, "acme", home.platform.collections.of(*PLACE).classification)
    assert served is not None
    assert [one.why for one in served.answers([TEXTS["bank.txt"], "never seen"], threats())] == ["", NOT_ASKED]
    assert len(jina.requests) == 2, "a calibration reads what is kept"


class Fixed:
    """Scores every label of a long text .8 and of a short one .3; knows all but the shortest."""

    name = NAME

    def for_scope(self, scope: str) -> "Fixed":
        return self

    def known(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...] | None]:
        score = {"a": 0.8, "b": 0.3}
        return [(score[text[0]],) * len(labels.labels) if text[0] in score else None for text in texts]

    def requests(self, texts: Sequence[str], labels: LabelSet) -> list[Asking]:
        return [Asking(range(len(texts)), 1)] if texts else []

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        raise AssertionError("a calibration sends nothing")


def test_each_classifier_learns_from_its_own_scores() -> None:
    documents = [*(f"a{n}" for n in range(6)), *(f"b{n}" for n in range(6)), *(f"c{n}" for n in range(6))]
    pages = pl.concat([frame(one, document=one) for one in documents])
    said = [
        Correction(
            n, *PLACE, one, one, "", "label", "threat:ransomware", {"accepted": n % 2 == 0}, "ann", 0.0, "", None
        )
        for n, one in enumerate(documents)
    ]
    found = learned(said, pages, Classification(classifier="jina"), Served(Fixed(), CountingTill()))
    assert [(one.subject, one.judgements) for one in found] == [(f"threat:ransomware@{NAME}", 12)]
    kept = tuple(replace(said[0], kind="calibration", subject=one.subject, value=asdict(one)) for one in found)
    lines = calibration(Outside(Catalogue((), ""), kept))
    assert lines == {("threat", "ransomware", NAME): PlattLine(1.0, found[0].level)}
    assert learned(said, pages, Classification(), None)[0].subject == "threat:ransomware"


def test_an_account_that_is_used_up_is_named_by_the_plan_and_taken_up_again_when_somebody_asks(
    tmp_path: Path, jina: JinaStandIn
) -> None:
    home = opened(tmp_path, jina, JINA)
    jina.misbehave(*[Fault("error", status=402, body={"detail": "balance"})] * 9)
    home.run()
    assert len(jina.requests) == 1, "who refused is not asked again in this run"
    record = facts(home, "bank.txt")
    assert record["standing_in"] == "refused" and record["labels"]["threat"].keys() == {"ransomware"}
    assert set(record["classifiers"].values()) == {f"local-1 (for {NAME}: refused)"}
    plan = plan_collection(home.platform, *PLACE)
    assert plan.standing_in == {"refused": 3} and not plan.partitions
    jina.misbehave()
    home.run("another")
    assert len(jina.requests) == 1, "nothing changed, so nothing is asked"
    assert force(home)["classifications"]["computed"] == 3
    assert set(facts(home, "bank.txt")["classifiers"].values()) == {NAME}
    assert not plan_collection(home.platform, *PLACE).standing_in


def test_beyond_the_budget_the_packaged_classifier_serves_and_the_run_goes_on(
    tmp_path: Path, jina: JinaStandIn
) -> None:
    home = opened(tmp_path, jina, JINA + "  budget: {tokens: 150}\n")
    plan = plan_collection(home.platform, *PLACE)
    assert not plan.budget and not plan.stage("classifications").tokens
    assert "150 of 150 are left" in next(note for note in plan.notes if note.startswith("labels: "))
    home.run()
    assert not jina.requests and paid(home) == (0, 0) and set(home.published()) == set(TEXTS)
    assert plan_collection(home.platform, *PLACE).standing_in == {OVER_BUDGET: 3}
    decide(home, JINA + "  budget: {money: 1, currency: EUR}\n")
    home.write("new.txt", "Tulips.")
    with pytest.raises(ConfigError, match="nobody gave a price"):
        home.run("second")


def test_a_check_of_backends_tries_the_classifier_that_a_collection_chose(tmp_path: Path, jina: JinaStandIn) -> None:
    settings = Settings(home_folder=str(tmp_path), jina=JinaPlace("test-key", f"{jina.url}/v1"))
    settings.home.create().collections_file.write_text(JINA)
    (role,) = (one for one in roles(Connections(settings), paid=True) if one.name == "classifier")
    found = Finding()
    assert role.backend == "Jina AI jina-embeddings-v3" and role.try_it is not None
    role.try_it(found)
    assert found.rights == {"use": True}
    assert {(one.path, one.status) for one in jina.requests} == {("/v1/classify", 200)}


def test_a_classifier_without_a_key_says_what_to_set(tmp_path: Path) -> None:
    home = opened(tmp_path, None, JINA)
    with pytest.raises(ConfigError, match="set JINA_API_KEY"):
        home.run()
    with pytest.raises(ConfigError, match="classifier local takes no model"):
        Collections.parse("defaults:\n  classification: {model: jina-embeddings-v4}\n")
