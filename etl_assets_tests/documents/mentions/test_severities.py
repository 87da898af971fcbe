import pytest

from etl_assets.documents.mentions.severities import severities


def found(text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.entity_id) for one in severities(text)]


@pytest.mark.parametrize(
    ("text", "span", "entity_id"),
    [
        ("a CVSS score of 9.8", "9.8", "severity:critical"),
        ("A CVSS v3 base score of 8.8 has been calculated", "8.8", "severity:high"),
        ("(CVSS 3.1: 5.3)", "5.3", "severity:medium"),
        ("CVSS: 10.0", "10.0", "severity:critical"),
        ("CVSS base score 0.0", "0.0", "severity:none"),
        ("a high-severity flaw", "high", "severity:high"),
        ("Severity: Moderate", "Moderate", "severity:medium"),
        ("AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", None),
    ],
)
def test_a_stated_severity_is_found_on_one_scale(text: str, span: str, entity_id: str | None) -> None:
    assert (span, entity_id or f"cvss:{span}") in found(text)


@pytest.mark.parametrize("text", ["a critical flaw", "scored 9.8 points", "CVSS 3.1", "version 9.8", "a low price"])
def test_what_states_no_severity_gives_none(text: str) -> None:
    assert found(text) == []
