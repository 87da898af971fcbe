"""The keyword index in LanceDB: BM25 (k1 = 1.2, b = 0.75, fixed by LanceDB) over stemmed, folded words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from etl_assets.backends.lancedb_tables import UNINDEXED_ROWS, LanceTables
from etl_assets.protocols.indexes import Filters, IndexHit, IndexSpace, keyword_rows
from etl_assets.protocols.visibility import Visibility

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.index import FTS, BTree
    from lancedb.table import Table

WORD_LENGTH = 256
"""Longer words are not indexed. LanceDB's default of 40 would lose every SHA-256."""

QUERY_WORDS = 512
"""Distinct words of a query that count, from its start. 10,000 words cost 1.5 s over 57,000 rows."""

QUERY_CHARACTERS = 20_000
"""Characters of a query that count, from its start."""

LEAST_UNINDEXED_ROWS = 256
"""So few unindexed rows are never worth an indexing run."""

_STOP_WORDS = """
a about above after again against all am an and any are as at be because been before being below between both but
by can could did do does doing down during each few for from further had has have having he her here hers herself
him himself his how i if in into is it its itself just me more most my myself no nor not of off on once only or
other ought our ours ourselves out over own same she should so some such than that the their theirs them themselves
then there these they this those through to too under until up very was we were what when where which while who
whom why will with would you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words left out of a query that has others. They stay in the index, so that a query of nothing else finds rows.

Snowball's English list. nDCG@10 with and without it: MED .711 and .704, NPL .439 and .436.
"""

_EDGES = re.compile(r"^\W+|\W+$")


class LanceKeywords(LanceTables):
    """KeywordIndex in a folder or another ``TablePlace``, one LanceDB table per space."""

    kind = "keyword"

    def query(self, space: IndexSpace, text: str, *, k: int, visible: Visibility, filters: Filters) -> list[IndexHit]:
        """See ``KeywordIndex.query``. Rows match that hold any word of the query, stop words aside."""
        words = query_words(text)
        if not words:
            return []

        def matching(table: Table, where: str, limit: int) -> list[IndexHit]:
            from lancedb.query import FullTextOperator, MatchQuery

            # A match query is words, never syntax.
            match = MatchQuery(
                " ".join(words), "text", boost=1.0, fuzziness=0, max_expansions=50, operator=FullTextOperator.OR,
                prefix_length=0, document_granularity=None,
            )  # fmt: skip
            found = (
                table.search(match, query_type="fts")
                .where(where, prefilter=True)
                .select(["publication", "document_id", "chunk_id", "_score"])
                .limit(limit)
                .to_arrow()
            )
            columns = (found[name].to_pylist() for name in ("publication", "document_id", "chunk_id", "_score"))
            return [IndexHit(*row) for row in zip(*columns, strict=True)]

        return self._hits(space, k, visible, filters, matching)

    def _schema(self, rows: pa.Table) -> pa.Schema:
        return keyword_rows()

    def _missing_indexes(self, table: Table, present: set[str]) -> Mapping[str, BTree | FTS]:
        from lancedb.index import BTree

        wanted: dict[str, BTree | FTS] = {"text": tokenising(), "publication": BTree()}
        return {column: config for column, config in wanted.items() if column not in present}

    def _unindexed_limit(self, indexed: int) -> int:
        # A query stems every unindexed row, about 45 ms a megabyte, while indexing rewrites the whole index: so as
        # soon as they make up a tenth of it.
        return min(UNINDEXED_ROWS, max(LEAST_UNINDEXED_ROWS, indexed // 10))


def tokenising() -> FTS:
    """How texts become words: the options that decide what is found, here and nowhere else.

    ``icu/split`` finds words in scripts without spaces, and equals ``simple`` on English (nDCG@10 of MED .691 and
    .691, NPL .432 and .432); without stemming NPL falls to .356. Positions would only serve phrase queries.
    """
    from lancedb.index import FTS

    return FTS(
        base_tokenizer="icu/split",
        language="English",
        stem=True,
        lower_case=True,
        ascii_folding=True,
        remove_stop_words=False,
        max_token_length=WORD_LENGTH,
        with_position=False,
    )


def query_words(text: str) -> list[str]:
    """The words a query is matched by: each once, without stop words unless it has no others.

    Lone surrogates become ``?``, and punctuation around a word goes. Empty when there is nothing to look for.
    """
    whole = text[:QUERY_CHARACTERS].encode("utf-8", "replace").decode()
    stripped = (_EDGES.sub("", word) for word in whole.split())
    words = {word.casefold(): word for word in stripped if word}
    telling = [word for folded, word in words.items() if folded not in STOP_WORDS]
    return (telling or list(words.values()))[:QUERY_WORDS]
