import polars as pl
import pytest

from etl_assets.documents.mentions.corrections import Correction, Meant, Merge, Relink, Split, corrected
from etl_assets.documents.model import mentions_columns
from etl_assets.errors import ConfigError

SCHEMA = pl.Schema([("document_id", pl.String()), *mentions_columns().items()])
APT28, ACME = Meant("group:G0007", "group", "APT28"), Meant("group:acme bear", "group", "acme bear")


def mention(document: str, start: int, text: str, entity_id: str) -> tuple[object, ...]:
    kind, _, name = entity_id.partition(":")
    return document, 1, start, start + len(text), text, entity_id, kind, name, None, 0.8, "context", "catalogue"


ROWS = pl.DataFrame(
    [
        mention("a", 0, "Carbon", "malware:S0335"), mention("a", 20, "carbon", "malware:S0335"),
        mention("b", 0, "Acme Bear", "group:acme bear"), mention("b", 30, "Fancy  Bear", "group:G0007"),
        mention("b", 60, "Sofacy", "group:G0007"),
    ],
    schema=SCHEMA, orient="row",
)  # fmt: skip


def entities(*corrections: Correction) -> list[str]:
    return corrected(ROWS, corrections)["entity_id"].to_list()


def test_without_corrections_the_rows_are_the_same() -> None:
    assert corrected(ROWS, []).equals(ROWS)
    assert corrected(ROWS.clear(), [Merge(("x:y",), APT28)]).is_empty()


def test_a_name_is_linked_anew_wherever_it_is_written_alike() -> None:
    other = Meant("organisation:carbon", "organisation", "carbon")
    rows = corrected(ROWS, [Relink(other, written="\u201cCARBON\u201d")])
    assert rows["entity_id"].to_list()[:2] == ["organisation:carbon"] * 2
    assert rows["method"].to_list()[:3] == ["corrected", "corrected", "catalogue"] and rows["confidence"][0] == 1.0
    assert rows.schema == SCHEMA and rows["text"].equals(ROWS["text"])


def test_one_place_is_linked_anew_and_a_false_one_goes() -> None:
    assert entities(Relink(ACME, document_id="b", span=(1, 60, 66)))[-1] == "group:acme bear"
    assert entities(Relink(None, written="Carbon", document_id="a")) == ["group:acme bear", *["group:G0007"] * 2]
    assert entities(Relink(None, entity_id="group:G0007")) == ["malware:S0335", "malware:S0335", "group:acme bear"]


def test_entities_are_merged_and_split_by_name() -> None:
    assert entities(Merge(("group:acme bear",), APT28))[2:] == ["group:G0007"] * 3
    assert entities(Split("group:G0007", ("fancy bear",), ACME))[3:] == ["group:acme bear", "group:G0007"]


def test_a_later_correction_has_the_last_word_and_a_second_pass_changes_nothing() -> None:
    made = [Merge(("group:acme bear",), APT28), Split("group:G0007", ("Acme Bear",), ACME)]
    once = corrected(ROWS, made)
    assert once["entity_id"][2] == "group:acme bear" and corrected(once, made).equals(once)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Relink(APT28), "say which mentions"),
        (Relink(APT28, span=(1, 0, 2)), "needs the document"),
        (Merge(("a:b",), Meant("malware:G0007", "group", "x")), "must begin with its type"),
    ],
)
def test_a_correction_that_cannot_be_meant_is_refused(wrong: Correction, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        corrected(ROWS, [wrong])
