"""How good a search is, against queries with known answers: nDCG@10, recall@10, recall@100 and MRR by ir-measures.

A judged document's id is its path in the collection without the extension. Files are read and written in the
formats of BEIR and TREC; nothing is ever downloaded.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from etl_assets.errors import ConfigError

METRICS = ("nDCG@10", "R@10", "R@100", "RR")
"""As ir-measures names them: RR is the reciprocal rank of the first relevant document; its mean is the MRR."""

TITLES = {"nDCG@10": "nDCG@10", "R@10": "recall@10", "R@100": "recall@100", "RR": "MRR"}
"""What each metric is called in reports."""

_EXTENSION = re.compile(r"(?<=[^/])\.[^./]*$")

Ranking = Sequence[tuple[str, float]]
Search = Callable[[str], Mapping[str, Ranking]]
"""Text of a query -> for each source, such as vector, keyword and hybrid, (document key, score), best first.

Document keys are unique in a ranking: hits on chunks are reduced to documents by ``fusion.best_by_document``."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome for one collection.

    ``metrics`` are means over the evaluated queries, by source and then by title as in ``TITLES``; ``per_query`` are
    the values of one query, by source, query id and title. ``runs`` are the rankings themselves. What was left out
    is never silent: ``unjudged_queries`` have no judgement and were not run; ``unknown_queries`` have judgements but
    no text; ``missing_documents`` are judged relevant and are not in the collection (they count as never found;
    empty when the collection's documents were not given); ``empty_queries`` found nothing, by source.
    """

    query_count: int
    judgement_count: int
    metrics: Mapping[str, Mapping[str, float]]
    per_query: Mapping[str, Mapping[str, Mapping[str, float]]] = field(repr=False)
    runs: Mapping[str, Mapping[str, Ranking]] = field(repr=False)
    unjudged_queries: tuple[str, ...] = ()
    unknown_queries: tuple[str, ...] = ()
    missing_documents: tuple[str, ...] = ()
    empty_queries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def judged_id(path: str) -> str:
    """What a document is called in judgements: its path without the extension of the last part."""
    return _EXTENSION.sub("", path)


def read_queries(file: Path) -> dict[str, str]:
    """Text of each query by id, in the file's order: one JSON object a line with ``_id`` (or ``id``) and ``text``.

    Raises:
        ConfigError: the file cannot be read, or a line is no such object; the message gives the line.
    """
    queries: dict[str, str] = {}
    for number, line in _lines(file):
        query, text = _query(file, number, line)
        if query in queries:
            _reject(file, number, f"query {query!r} stands in the file twice")
        queries[query] = text
    if not queries:
        raise ConfigError(f"{file}: holds no query")
    return queries


def read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """Grade of each judged document by query: BEIR (query, document, grade) or TREC (query, 0, document, grade).

    Three or four columns between tabs, or between white space where a line has no tab; a header is allowed. Grades
    are whole numbers; below 0 means junk and counts as 0, as in trec_eval.

    Raises:
        ConfigError: the file cannot be read, or a line is malformed or contradicts an earlier one; the message
            gives the line.
    """
    grades: dict[str, dict[str, int]] = {}
    header_allowed = True
    for number, line in _lines(file):
        columns = line.strip("\r\n").split("\t") if "\t" in line else line.split()
        if len(columns) not in (3, 4):
            _reject(file, number, f"{len(columns)} columns; give query, document and grade, or TREC's four columns")
        query, document, grade = columns[0].strip(), columns[-2].strip(), _grade(columns[-1])
        if grade is None:
            if not header_allowed:
                _reject(file, number, f"grade {columns[-1]!r} is not a whole number")
        elif not query or not document:
            _reject(file, number, "the query or the document is empty")
        elif grades.setdefault(query, {}).setdefault(document, grade) != grade:
            _reject(file, number, f"query {query!r} and document {document!r} have two grades")
        header_allowed = False
    if not grades:
        raise ConfigError(f"{file}: holds no judgement")
    return grades


def evaluate(
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    search: Search,
    *,
    documents: Collection[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Run every judged query and score each source's ranking.

    Only the order of a ranking counts, not its scores: trec_eval would order equal scores by document id. A source
    that has nothing for a query gets 0 for it.

    Args:
        documents: judged ids (``judged_id``) of all documents of the collection, to tell which judged ones it lacks.
        progress: called with (queries done, queries in all) after each one.

    Raises:
        ConfigError: no query has both a text and a judgement, or a ranking names a document twice.
    """
    judged = [query for query in queries if query in qrels]
    if not judged:
        raise ConfigError("no query has a judgement: the ids of the queries and of the judgements do not meet")
    runs: dict[str, dict[str, Ranking]] = {}
    for done, query in enumerate(judged, start=1):
        for source, ranking in search(queries[query]).items():
            if len({document for document, _ in ranking}) != len(ranking):
                raise ConfigError(f"query {query!r}, source {source}: a document stands in the ranking twice")
            runs.setdefault(source, {})[query] = ranking
        progress(done, len(judged))
    grades = {query: {d: max(grade, 0) for d, grade in qrels[query].items()} for query in judged}
    scored = {source: _scored(grades, run) for source, run in runs.items()}
    relevant = {document for of_query in grades.values() for document, grade in of_query.items() if grade > 0}
    return Evaluation(
        query_count=len(judged),
        judgement_count=sum(map(len, grades.values())),
        metrics={source: means for source, (means, _) in scored.items()},
        per_query={source: values for source, (_, values) in scored.items()},
        runs=runs,
        unjudged_queries=tuple(query for query in queries if query not in qrels),
        unknown_queries=tuple(query for query in qrels if query not in queries),
        missing_documents=() if documents is None else tuple(sorted(relevant - set(documents))),
        empty_queries={source: tuple(q for q in judged if not run.get(q)) for source, run in runs.items()},
    )


def trec_run(run: Mapping[str, Ranking], *, tag: str) -> Iterator[str]:
    """Lines ``query Q0 document rank score tag``, as trec_eval reads them; ranks count from 1.

    trec_eval orders by score, as a 32-bit float, and breaks ties by document id. So where a ranking's scores do not
    fall strictly, its lines carry scores made from the ranks. A document with white space in its id, which the
    format cannot hold, is percent-encoded.
    """
    for query, ranking in run.items():
        for rank, (document, score) in enumerate(_falling(ranking), start=1):
            yield f"{_word(query)} Q0 {_word(document)} {rank} {score!r} {_word(tag)}\n"


def _scored(
    grades: Mapping[str, Mapping[str, int]], run: Mapping[str, Ranking]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    import ir_measures

    # A query without an entry would be left out of the mean instead of counting 0, so each has one.
    by_rank = {q: {document: -float(rank) for rank, (document, _) in enumerate(run.get(q, ()))} for q in grades}
    outcome = ir_measures.calc([ir_measures.parse_measure(name) for name in METRICS], grades, by_rank)
    per_query: dict[str, dict[str, float]] = {query: {} for query in grades}
    for value in outcome.per_query:
        per_query[value.query_id][TITLES[str(value.measure)]] = float(value.value)
    assert isinstance(outcome.aggregated, dict)  # a plain number only where a single measure was asked for
    means = {str(measure): float(value) for measure, value in outcome.aggregated.items()}
    return {TITLES[name]: means[name] for name in METRICS}, per_query


def _falling(ranking: Ranking) -> list[tuple[str, float]]:
    import numpy as np

    scores = np.array([score for _, score in ranking], dtype=np.float32)
    if bool(np.all(np.isfinite(scores))) and bool(np.all(scores[:-1] > scores[1:])):
        return [(document, float(score)) for document, score in ranking]
    return [(document, float(len(ranking) - place)) for place, (document, _) in enumerate(ranking)]


def _word(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="/:,;+@=&!*'()~") if re.search(r"\s", text) else text


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of every line that is not blank."""
    try:
        with open(file, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except OSError as e:
        raise ConfigError(f"{file}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{file}: is not UTF-8 text") from e


def _query(file: Path, number: int, line: str) -> tuple[str, str]:
    try:
        record = json.loads(line)
    except ValueError as e:
        raise ConfigError(f"{file}, line {number}: is not JSON: {e}") from e
    if not isinstance(record, dict):
        _reject(file, number, "is not a JSON object")
    query, text = record.get("_id", record.get("id")), record.get("text")
    if isinstance(query, bool) or not isinstance(query, str | int) or not str(query).strip():
        _reject(file, number, "has no _id")
    if not isinstance(text, str) or not text.strip():
        _reject(file, number, f"query {query!r} has no text")
    return str(query).strip(), text


def _grade(column: str) -> int | None:
    return int(column) if re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", column) else None


def _reject(file: Path, number: int, problem: str) -> NoReturn:
    raise ConfigError(f"{file}, line {number}: {problem}")
