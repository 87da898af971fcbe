"""Corrections in the ledger: what is in force for whom, what is kept as history, and what a deletion takes along."""

from pathlib import Path

import pytest

from etl_assets.ledger.corrections import Place, correct, corrections, in_force, take_back
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.deletions import rows_left, strike_out

REPORT = Place("acme", "reports", "d" * 32, "a.txt", "v1")
ACCEPTED, REFUSED = {"accepted": True}, {"accepted": False}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


def test_a_correction_ends_the_one_of_the_same_thing_and_both_are_history(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        first = correct(connection, REPORT, "label", "threat:ransomware", ACCEPTED, by="ann")
        other = correct(connection, REPORT, "label", "sector:energy", ACCEPTED, by="ann")
        second = correct(connection, REPORT, "label", "threat:ransomware", REFUSED, by="bob")
    with ledger.reading() as connection:
        assert corrections(connection) == [other, second]
        history = corrections(connection, ended=True)
    assert [one.correction_id for one in history] == [first.correction_id, other.correction_id, second.correction_id]
    assert (history[0].made_by, history[0].ended_by) == ("ann", "bob") and history[0].ended_at is not None


def test_what_is_taken_back_is_not_in_force_and_is_taken_back_once(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        made = correct(connection, REPORT, "label", "threat:ransomware", ACCEPTED, by="ann")
        assert take_back(connection, made.correction_id, by="bob") == made
        assert take_back(connection, made.correction_id, by="bob") is None
        assert in_force(connection, "acme", "reports") == []


def test_a_collection_has_its_own_corrections_and_its_tenants_and_nobody_elses(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        own = correct(connection, REPORT, "label", "threat:ransomware", ACCEPTED, by="ann")
        shared = correct(connection, Place("acme"), "merge", "malware:a", {"entity": {}}, by="ann")
        correct(connection, Place("acme", "other", "e" * 32), "label", "threat:ransomware", ACCEPTED, by="ann")
        correct(connection, Place("globex"), "merge", "malware:a", {"entity": {}}, by="ann")
        assert in_force(connection, "acme", "reports") == [own, shared]


def test_an_entity_may_be_split_at_several_texts(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        for text in ("one", "two", "one"):
            correct(connection, Place("acme"), "split", "malware:a", {"text": text, "entity": {}}, by="ann")
        assert [one.value["text"] for one in corrections(connection)] == ["two", "one"]


def test_the_deletion_of_a_document_takes_its_corrections_with_it(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        correct(connection, REPORT, "label", "threat:ransomware", ACCEPTED, by="ann")
        kept = correct(connection, Place("acme"), "merge", "malware:a", {"entity": {}}, by="ann")
        assert rows_left(connection, [REPORT.document_id]) == 1
        assert strike_out(connection, [REPORT.document_id], {})["corrections"] == 1
        assert corrections(connection, ended=True) == [kept]
