"""What every keyword index must do, whatever is behind it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.protocols.indexes import Filters, IndexHit, IndexSpace, KeywordIndex
from etl_assets.protocols.row_digests import row_digest
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import ALL, NO_FILTERS, SPACE, Row, keyword_table
from etl_assets_tests.conformance.row_index_suite import VARIED, RowIndexSuite, half_indexed

BACKENDS: dict[str, Callable[[Path], KeywordIndex]] = {"lancedb": lambda folder: LanceKeywords(folder / "keywords")}

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TEXTS = [
    "The attackers were running a loader",
    "to be or not to be",
    "Le caf\u00e9 na\u00efve of \u00c5ngstr\u00f6m",
    f"sha256 {SHA256}",
    "CVE-2021-44228 was exploited from evil[.]example[.]com",
    'C:\\Windows\\System32\\cmd.exe /c "whoami"',
    "\u673a\u5668\u5b66\u4e60 \u5a01\u80c1\u60c5\u62a5\u5206\u6790",
    "\u0440\u0430\u0437\u0432\u0435\u0434\u043a\u0430 \u0443\u0433\u0440\u043e\u0437",
]
FINDS = [
    ("run", 1), ("RUNNING", 1), ("attacker", 1), ("to be or not to be", 2), ("cafe", 3), ("CAFE\u0301", 3),
    ("angstrom", 3), (SHA256, 4), (SHA256.upper(), 4), ("CVE-2021-44228", 5), ("evil.example.com", 5),
    ("c:\\windows\\system32", 6), ("(whoami)", 6), ("\u5a01\u80c1", 7), ("\u0443\u0433\u0440\u043e\u0437", 8),
]  # fmt: skip
HARMLESS = [
    "", "   ", "\n\t", "?!\"'()[]{}", '"', "AND", "NOT", "OR OR", "text:", "a:b", "[x TO y]", "{", "(", "\\", "*", "~",
    "^", "loader^2", "-loader", "+loader", "load*", '"running loader', "\x00", "\ud800", "\U0001f600", "\u200b",
    "x" * 100_000, "loader " * 10_000, " ".join(f"word{n}" for n in range(10_000)), "\u673a" * 5_000,
]  # fmt: skip


@pytest.fixture(scope="module", params=list(BACKENDS.values()), ids=list(BACKENDS))
def varied_index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KeywordIndex:
    """An index that is only read."""
    index: KeywordIndex = request.param(tmp_path_factory.mktemp("varied"))
    return half_indexed(index, keyword_table)


class TestKeywordIndex(RowIndexSuite[KeywordIndex]):
    @pytest.fixture(params=list(BACKENDS.values()), ids=list(BACKENDS))
    def index(self, request: pytest.FixtureRequest, tmp_path: Path) -> KeywordIndex:
        index: KeywordIndex = request.param(tmp_path)
        return index

    def table(self, rows: Iterable[Row]) -> pa.Table:
        return keyword_table(rows)

    def found(
        self, index: KeywordIndex, space: IndexSpace, k: int, visible: Visibility, only: Filters
    ) -> list[IndexHit]:
        return index.query(space, "zebra words", k=k, visible=visible, filters=only)

    def digest(self, row: Row) -> str:
        return row_digest(row.text, row.attributes)

    @pytest.mark.parametrize("indexed", [False, True], ids=["just written", "indexed"])
    def test_words_are_found_in_any_form_and_script(self, index: KeywordIndex, indexed: bool) -> None:
        index.write(SPACE, keyword_table(Row(n, "c", text=text) for n, text in enumerate(TEXTS, start=1)))
        if indexed:
            index.optimise(SPACE, now=True)
        for query, publication in FINDS:
            hits = index.query(SPACE, query, k=5, visible=ALL, filters=NO_FILTERS)
            assert hits and hits[0].publication == publication, query
        assert index.query(SPACE, "absentee", k=5, visible=ALL, filters=NO_FILTERS) == []

    def test_a_query_is_words_whatever_stands_in_it(self, index: KeywordIndex) -> None:
        index.write(SPACE, keyword_table(Row(n, "c", text=text) for n, text in enumerate(TEXTS, start=1)))
        index.optimise(SPACE, now=True)
        for query in HARMLESS:
            hits = index.query(SPACE, query, k=5, visible=ALL, filters=NO_FILTERS)
            if "loader" in query:
                assert [hit.publication for hit in hits][:1] == [1], query

    @given(query=st.text(max_size=60))
    @settings(max_examples=60)
    def test_no_text_is_an_error(self, varied_index: KeywordIndex, query: str) -> None:
        hits = varied_index.query(VARIED, query, k=3, visible=ALL, filters=NO_FILTERS)
        assert len(hits) <= 3

    def test_rarer_and_more_matching_words_rank_higher(self, index: KeywordIndex) -> None:
        common = [Row(n, "c", text=f"network report {n}") for n in range(10, 60)]
        rows = [Row(1, "c", text="network wiper report"), Row(2, "c", text="wiper wiper network malware"), *common]
        index.write(SPACE, keyword_table(rows))
        for _ in range(2):
            hits = index.query(SPACE, "the wiper malware of a network", k=60, visible=ALL, filters=NO_FILTERS)
            assert [hit.publication for hit in hits[:2]] == [2, 1]
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            assert len(hits) == 52
            index.optimise(SPACE, now=True)

    def test_rows_written_after_the_last_housekeeping_are_found(self, index: KeywordIndex) -> None:
        index.write(SPACE, keyword_table(Row(n, "c", text="old loader") for n in range(1, 50)))
        index.optimise(SPACE, now=True)
        index.write(SPACE, keyword_table([Row(100, "c", text="new wiper loader")]))
        hits = index.query(SPACE, "wiper", k=5, visible=ALL, filters=NO_FILTERS)
        assert [hit.publication for hit in hits] == [100]
        only = Filters(publications=(100,))
        assert [hit.publication for hit in index.query(SPACE, "loader", k=5, visible=ALL, filters=only)] == [100]

    def test_empty_and_odd_texts_are_kept(self, index: KeywordIndex) -> None:
        rows = [Row(n, "c", text=text) for n, text in enumerate(["", " ", "\x00", "\u200b", "w" * 70_000], start=1)]
        index.write(SPACE, keyword_table(rows))
        index.optimise(SPACE, now=True)
        assert set(index.rows(SPACE)) == self.stored(rows)
