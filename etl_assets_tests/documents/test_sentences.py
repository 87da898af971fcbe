import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.sentences import Break, units


def sentences(text: str) -> list[str]:
    return [text[u.start : u.end] for u in units(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Tools such as e.g. Mimikatz or i.e. Cobalt Strike were seen",
        "The chain is drawn in Fig. 3 and in Sec. 2 of the report",
        "It called 10.0.0.1 and 192.168.1.254 over version 1.2.3 of the tool",
        "Traffic went to evil[.]example[.]com and hxxp://bad[.] example",
        "Dr. Smith and J. R. Tolkien vs. Prof. Jones",
        "The file svchost.exe dropped payload.dll in C:\\Windows\\Temp",
        "He asked why. and then went on in small letters after Capitals",
        "3. Results of the second wave",
    ],
)
def test_a_full_stop_that_ends_no_sentence_is_no_break(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One came. Two went! Did three? Yes.", ["One came.", "Two went!", "Did three?", "Yes."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("It uses CVE-2021-1. (See below.) APT29 did so.", ["It uses CVE-2021-1.", "(See below.)", "APT29 did so."]),
        ("攻撃者は侵入した。次に横展開した！終わり", ["攻撃者は侵入した。", "次に横展開した！", "終わり"]),
        ("cells divide . they grow . they die", ["cells divide .", "they grow .", "they die"]),
        ("all is small here. so it goes on. and on", ["all is small here.", "so it goes on.", "and on"]),
        ("First line\nwraps on. Second one.", ["First line\nwraps on.", "Second one."]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_list_items_rows_and_paragraphs_are_units() -> None:
    text = "Seen:\n- one\n- two\n1. three\n| a | b |\n| c | d |\n\nA new paragraph\nthat wraps"
    found = units(text)
    assert [text[u.start : u.end] for u in found] == [
        "Seen:", "- one", "- two", "1. three", "| a | b |", "| c | d |", "A new paragraph\nthat wraps",
    ]  # fmt: skip
    assert found[1].before is Break.LINE
    assert found[-1].before is Break.PARAGRAPH


def test_a_heading_is_a_unit_and_keeps_what_follows_near() -> None:
    text = "Intro text.\nKey findings\nThe actor came back."
    found = units(text, [(12, 24)])
    assert [text[u.start : u.end] for u in found] == ["Intro text.", "Key findings", "The actor came back."]
    assert [u.before for u in found] == [Break.HEADING, Break.HEADING, Break.SENTENCE]


def test_heading_spans_that_overlap_or_leave_the_page_are_passed_over() -> None:
    text = "A title here. Then text."
    found = units(text, [(0, 7), (2, 9), (20, 99)])
    assert [unit.before for unit in found] == [Break.HEADING, Break.SENTENCE, Break.SENTENCE]


@given(st.text(alphabet=st.sampled_from(list("aB1.!?。 \n\t-|()\"'é")), max_size=300))
def test_units_hold_everything_but_white_space_in_order(text: str) -> None:
    found = units(text)
    position = 0
    for unit in found:
        assert not text[position : unit.start].strip()
        assert text[unit.start : unit.end] == text[unit.start : unit.end].strip() != ""
        position = unit.end
    assert not text[position:].strip()
