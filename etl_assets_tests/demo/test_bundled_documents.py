"""The bundled documents are what their attribution says, and may be given away."""

import hashlib
import re
from pathlib import Path

from etl_assets import demo
from etl_assets.documents.model import NAME

ATTRIBUTION = Path(demo.__file__).with_name("ATTRIBUTION.md")
ROW = re.compile(
    r"\| `(?P<file>[^`]+)` \| (?P<title>[^|]+) \| (?P<source>[^|]+) \| (?P<licence>[^|]+) \| `(?P<sha>\w+)` \|"
)


def attributed() -> dict[str, dict[str, str]]:
    rows = [ROW.fullmatch(line) for line in ATTRIBUTION.read_text().splitlines() if line.startswith("| `")]
    return {row["file"]: row.groupdict() for row in rows if row is not None}


def test_every_document_is_attributed_and_unchanged() -> None:
    digests = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in demo.documents().items()}
    assert digests == {key: row["sha"] for key, row in attributed().items()}


def test_every_licence_allows_to_pass_the_document_on() -> None:
    allowed = {"US Government work", "CC BY-SA 4.0", "CC BY-SA 3.0", "Apache-2.0"}
    assert {row["licence"] for row in attributed().values()} <= allowed
    assert all(row["title"].strip() and row["source"].strip() for row in attributed().values())


def test_all_common_formats_are_there_and_small_enough_to_clone() -> None:
    paths = demo.documents().values()
    assert len(paths) >= 20
    assert {path.suffix for path in paths} == {".pdf", ".docx", ".html", ".md", ".txt", ".json", ".csv"}
    assert sum(path.stat().st_size for path in paths) < 4_000_000


def test_every_key_names_a_document() -> None:
    for key in demo.documents():
        tenant, collection, name = key.split("/")
        assert tenant == demo.TENANT
        assert NAME.fullmatch(collection)
        assert name
