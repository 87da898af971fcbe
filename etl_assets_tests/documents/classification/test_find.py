from dataclasses import replace

import polars as pl

from etl_assets.documents.classification.find import (
    Classifying,
    classifications_columns,
    classify_documents,
    default_classifying,
)
from etl_assets_tests.documents.classification.reports import BANKS, ELSEWHERE, frame, task


def rows_of(*texts: str) -> pl.DataFrame:
    return classify_documents([task()], frame(*texts), classifying=default_classifying()).rows


def test_rows_have_the_stages_columns_and_labels_with_their_sentences() -> None:
    found = rows_of(BANKS)
    assert found.schema == pl.Schema({"document_id": pl.String(), **classifications_columns()})
    yes = found.filter(pl.col("accepted") & (pl.col("kind") != "technique"))
    assert set(yes["label"]) == {"ransomware", "financial"}
    assert all(len(one) > 0 for one in yes["evidence"])


def test_evidence_is_exactly_the_text_of_its_span() -> None:
    pages = (ELSEWHERE, BANKS, "Attackers hit three banks: it creates a scheduled task to persist.")
    for evidence in rows_of(*pages)["evidence"]:
        for one in evidence:
            assert pages[one["page"] - 1][one["start"] : one["end"]] == one["text"]


def test_a_sentence_that_states_a_technique_has_three_rows_and_one_that_is_accepted() -> None:
    found = rows_of("The weather was fine today in Rome.\n\nThe malware creates a scheduled task for persistence.")
    techniques = found.filter(pl.col("kind") == "technique")
    assert techniques["rank"].to_list() == [1, 2, 3]
    assert techniques["accepted"].to_list() == [True, False, False]
    assert techniques["label"][0] == "T1053.005"
    assert techniques["score"].is_sorted(descending=True)


def test_documents_do_not_share_rows_and_order_of_pages_in_the_frame_is_of_no_account() -> None:
    both = pl.concat([frame(BANKS, "It logs keystrokes.", document="d1"), frame(ELSEWHERE, document="d2")])
    tasks = [task("d1"), task("d2"), task("d3")]
    one = classify_documents(tasks, both, classifying=default_classifying())
    other = classify_documents(tasks, both.reverse(), classifying=default_classifying())
    assert one.rows.equals(other.rows)
    assert set(one.rows.filter(pl.col("accepted"))["document_id"]) == {"d1"}
    assert set(one.seconds) == {"d1", "d2", "d3"}


def test_an_empty_document_has_no_rows() -> None:
    assert rows_of("", " \n ").is_empty()


def test_techniques_can_be_turned_off() -> None:
    classifying = replace(default_classifying(), technique_threshold=None)
    found = classify_documents([task()], frame("It logs keystrokes."), classifying=classifying).rows
    assert "technique" not in found["kind"].to_list()
    assert classify_documents([task()], frame(BANKS), classifying=Classifying((), None)).rows.is_empty()


def test_a_long_document_is_read_whole() -> None:
    text = ELSEWHERE * 400 + "\n\n" + BANKS * 400
    found = classify_documents(
        [task()], frame(text), classifying=replace(default_classifying(), technique_threshold=None)
    ).rows
    assert "financial" in found.filter(pl.col("accepted"))["label"].to_list()
