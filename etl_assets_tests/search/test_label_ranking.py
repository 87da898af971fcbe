"""Labels of an overview: a sentence that many documents repeat counts once, and no document is dropped."""

import polars as pl

from etl_assets.search.label_ranking import RankedLabel, evidence_of, ranked_labels


def rows(*labelled: tuple[str, str, list[str]]) -> pl.DataFrame:
    """(document, label, sentences behind it) as rows of the stage."""
    return pl.DataFrame(
        [
            {"document_id": document, "kind": "technique", "label": label, "evidence": [{"text": one} for one in said]}
            for document, label, said in labelled
        ],
        schema_overrides={"evidence": pl.List(pl.Struct({"text": pl.String}))},
    )


def test_a_banner_of_every_page_counts_as_one_document() -> None:
    said = evidence_of(
        rows(
            *((f"d{number}", "T1027", ["Archived  Content"]) for number in range(12)),
            ("d0", "T1027", ["The loader is obfuscated."]),
            ("d1", "T1190", ["It exploits the portal."]),
            ("d2", "T1190", ["It exploits the server."]),
        )
    )
    assert ranked_labels(said) == {
        "technique": [RankedLabel("T1190", 2, 2.0), RankedLabel("T1027", 12, round(1 + 11 / 12, 6))]
    }


def test_a_label_without_a_sentence_counts_whole_and_the_order_is_the_same_in_any_batches() -> None:
    all_of_it = rows(("a", "x", []), ("b", "x", ["One."]), ("c", "y", ["Two."]))
    parts = pl.concat([evidence_of(all_of_it[row : row + 1]) for row in (2, 0, 1)])
    expected = {"technique": [RankedLabel("x", 2, 2.0), RankedLabel("y", 1, 1.0)]}
    assert ranked_labels(evidence_of(all_of_it)) == ranked_labels(parts) == expected
    assert ranked_labels(evidence_of(all_of_it[:0])) == {}
