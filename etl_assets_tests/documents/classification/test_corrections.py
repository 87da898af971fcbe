import json
import random
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.classification.calibration import Calibration, PlattLine, recalibrated
from etl_assets.documents.classification.corrections import BY_PEOPLE, Correction, corrected, judged
from etl_assets.documents.classification.find import classify_documents, default_classifying
from etl_assets_tests.documents.classification.reports import BANKS, frame, task


def computed() -> pl.DataFrame:
    return classify_documents([task()], frame(BANKS), classifying=default_classifying()).rows


def test_a_denied_label_is_no_longer_accepted_and_keeps_its_evidence() -> None:
    rows = computed()
    after = corrected(rows, [Correction("d1", "threat", "ransomware", False)])
    row = after.filter(pl.col("label") == "ransomware").row(0, named=True)
    assert (row["score"], row["accepted"], row["classifier"]) == (0.0, False, BY_PEOPLE)
    assert row["evidence"] == rows.filter(pl.col("label") == "ransomware")["evidence"].to_list()[0]
    others = pl.col("label") != "ransomware"
    assert after.filter(others).equals(rows.filter(others))


def test_a_label_that_was_not_found_is_added_and_the_last_word_holds() -> None:
    words = [Correction("d1", "sector", "energy", False), Correction("d1", "sector", "energy", True)]
    after = corrected(computed(), words)
    row = after.filter(pl.col("label") == "energy").row(0, named=True)
    assert (row["score"], row["accepted"], row["rank"]) == (1.0, True, 1)
    assert after.schema == computed().schema


def test_corrections_applied_twice_are_corrections_applied_once() -> None:
    words = [Correction("d1", "sector", "energy", True), Correction("d1", "sector", "financial", False)]
    once = corrected(computed(), words)
    assert corrected(once, words).equals(once)
    assert corrected(once, []).equals(once)


def test_judgements_are_the_computed_scores_and_what_people_said() -> None:
    rows = computed()
    words = [Correction("d1", "sector", "financial", True), Correction("d1", "sector", "water-utilities", True)]
    found = judged(rows, words, Calibration())
    financial = rows.filter(pl.col("label") == "financial")["score"][0]
    assert [(label, holds) for label, _, holds in found] == [("financial", True), ("water-utilities", True)]
    assert [score for _, score, _ in found] == pytest.approx([financial, 0.0], abs=1e-5)


def test_a_calibration_moves_what_is_accepted_and_is_taken_back_for_the_next() -> None:
    calibration = Calibration({"financial": PlattLine(1.0, -20.0)})
    strict = replace(default_classifying(), calibrations={"sector": calibration})
    rows = classify_documents([task()], frame(BANKS), classifying=strict).rows
    assert "financial" not in rows.filter(pl.col("accepted"))["label"].to_list()
    assert strict.parameters() != default_classifying().parameters()
    line = PlattLine(2.0, -1.0)
    assert line.undone(line.of(0.3)) == pytest.approx(0.3)
    json.dumps(strict.parameters(), default=dict)


def test_people_who_say_no_to_high_scores_move_the_cut_up_and_others_move_it_down() -> None:
    strict = [("energy", 0.8, False)] * 15 + [("energy", 0.95, True)] * 10
    lenient = [("energy", 0.4, True)] * 15 + [("energy", 0.1, False)] * 10
    assert recalibrated(strict, threshold=0.6)["energy"].of(0.75) < 0.6
    assert recalibrated(lenient, threshold=0.6)["energy"].of(0.45) > 0.6


def test_few_judgements_or_one_sided_ones_teach_nothing() -> None:
    assert recalibrated([("energy", 0.8, False)] * 5 + [("energy", 0.9, True)] * 4, threshold=0.6) == {}
    assert recalibrated([("energy", 0.8, False)] * 50, threshold=0.6) == {}


def test_the_order_of_judgements_is_of_no_account() -> None:
    rows = [("energy", n / 30, n > 12) for n in range(30)] + [("water", n / 20, n > 4) for n in range(20)]
    shuffled = rows[:]
    random.Random(1).shuffle(shuffled)
    assert recalibrated(rows, threshold=0.6) == recalibrated(shuffled, threshold=0.6)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 3), st.floats(-5, 5))
def test_calibration_keeps_the_order_of_scores_and_their_bounds(a: float, b: float, slope: float, level: float) -> None:
    line = PlattLine(slope, level)
    low, high = sorted((a, b))
    assert 0.0 <= line.of(low) <= line.of(high) <= 1.0
    assert Calibration({"x": line}).of("x", a, 0.6) == line.of(a)
    assert Calibration().of("x", a, 0.6) == a
