"""Every check of the documents domain, as functions: Dagster's checks and ``etl-assets check`` both call these.

A check has two forms. ``in_run`` runs between stages, under the lease: it reads only outputs that have not passed it
yet, and puts a document whose rows break it in quarantine, so that its neighbours go on. ``verify`` reads everything,
takes no lease and changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from etl_assets.documents.consistency import stage_checks
from etl_assets.documents.consistency.file_checks import compare_originals, compare_segments
from etl_assets.documents.consistency.stage_checks import Sample, examine
from etl_assets.documents.consistency.store_checks import Differences, compare_all, compare_staged
from etl_assets.documents.generations.in_use import Served, distinct, known_recipe
from etl_assets.documents.model import CHUNKS, CLASSIFICATIONS, EMBEDDINGS, MENTIONS, PAGES, RELATIONS, slot_of
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.pending import is_up_to_date, reader
from etl_assets.documents.platform import Platform
from etl_assets.documents.stage_work import StageWork
from etl_assets.errors import ConfigError
from etl_assets.ledger import audits, check_marks, generations
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.check_marks import Made
from etl_assets.ledger.outputs import Recipe
from etl_assets.stages.engine import strike_out
from etl_assets.stages.lake import SegmentLost

ORIGINALS_CHECK, LAKE_CHECK = "originals_equal_the_ledger", "lake_equals_the_ledger"
WHOLE_READS = (ORIGINALS_CHECK, LAKE_CHECK)
"""Checks that read everything whenever they run, so that an ingest leaves them out."""

SHOWN = 20
"""How many offences a result names; its counts cover all of them."""

Severity = Literal["error", "warn"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found in one partition. ``details`` are the first ``SHOWN`` offences, each naming a document.

    Documents that went to quarantine are counted and named, and do not make the check fail: what is left is right.
    """

    name: str
    asset: str
    partition: str
    passed: bool
    severity: Severity
    counts: Mapping[str, int] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values, for listings."""
        return {
            "check": self.name, "asset": self.asset, "partition": self.partition, "passed": self.passed,
            "severity": self.severity, "counts": dict(self.counts), "details": list(self.details),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One rule. ``blocking``: nothing downstream runs when it fails, since no document can be blamed."""

    name: str
    asset: str
    meaning: str
    severity: Severity
    blocking: bool
    in_run: Callable[["Check", PartitionRun], CheckResult]
    verify: Callable[["Check", Platform, Partition], CheckResult]

    def result(
        self, partition: Partition, passed: bool, counts: Mapping[str, int], details: Sequence[str]
    ) -> CheckResult:
        """A result of this check."""
        shown = tuple(details[:SHOWN])
        return CheckResult(self.name, self.asset, partition.key, passed, self.severity, counts, shown)


def run_checks(platform: Platform, partition: Partition, *, names: Sequence[str] | None = None) -> list[CheckResult]:
    """Every check, or those named, over all that a partition has. It may run beside an ingest.

    Raises:
        ConfigError: there is no check of such a name.
    """
    unknown = sorted(set(names or ()) - {check.name for check in CHECKS})
    if unknown:
        raise ConfigError(f"no check {', '.join(unknown)}; known are {', '.join(check.name for check in CHECKS)}")
    return [check.verify(check, platform, partition) for check in CHECKS if names is None or check.name in names]


def _stage_in_run(rule: Callable[[Sample], Mapping[str, str]], check: Check, run: PartitionRun) -> CheckResult:
    place = run.partition
    works = [run.works[at] for at in distinct([one.work.recipe for one in run.works], check.asset)]
    if not works:
        return check.result(place, True, {"documents": 0}, ())
    with run.platform.ledger.reading() as connection:
        after = check_marks.mark(connection, place, check.name)
        lost = _unaccounted(check, connection, place, works[0].work.recipe)
    refused: dict[str, str] = {}
    documents, highest = 0, after
    for work in works:
        made, wrong = _examined_in_run(rule, check, run, work, after)
        documents += len(made)
        refused |= {one.path: wrong[one.document_id] for one in made if one.document_id in wrong}
        highest = max(highest, *(one.rows[check.asset].output_id for one in made), 0)
    if highest > after:
        with run.lease.writing() as connection:
            check_marks.set_mark(connection, place, check.name, highest)
    counts = {"documents": documents, "quarantined": len(refused), "unaccounted": len(lost)}
    details = [*_named_paths(lost), *(f"{path}: {why}; quarantined" for path, why in refused.items())]
    return check.result(place, not lost, counts, details)


def _examined_in_run(
    rule: Callable[[Sample], Mapping[str, str]], check: Check, run: PartitionRun, stage: StageWork, after: int
) -> tuple[Sequence[Made], Mapping[str, str]]:
    """What one generation made and what of it is wrong, which goes to quarantine."""
    place, recipe = run.partition, stage.work.recipe
    with run.platform.ledger.reading() as connection:
        made = check_marks.made(connection, place, recipe, check.asset, after=after)
    try:
        wrong = examine(run.platform, made, rule, lambda: stage.served.embedder.model.dimension)
    except SegmentLost as gone:
        strike_out(stage.work, gone.segment_id)
        raise
    refused = {one.document_id: (one, wrong[one.document_id]) for one in made if one.document_id in wrong}
    if refused:
        with run.lease.writing() as connection:
            check_marks.refuse(connection, place, recipe, check.asset, refused)
    return made, wrong


def _stage_verify(
    rule: Callable[[Sample], Mapping[str, str]], check: Check, platform: Platform, partition: Partition
) -> CheckResult:
    served = reader(platform, partition).in_use.served
    recipes = [known_recipe(platform, one) for one in served]
    chosen = distinct(recipes, check.asset)
    if not chosen:
        return check.result(partition, True, {"documents": 0}, ())
    finished = is_up_to_date(platform, partition)  # else documents wait for a run, and nothing is wrong with that
    documents, details, wrong_count, lost_count = 0, list[str](), 0, 0
    for at in chosen:
        with platform.ledger.reading() as connection:
            made = check_marks.made(connection, partition, recipes[at], check.asset, after=0)
            lost = _unaccounted(check, connection, partition, recipes[at]) if finished else []
        try:
            wrong = examine(platform, made, rule, partial(_dimension, served[at]))
        except SegmentLost as gone:
            return check.result(partition, False, {"documents": len(made), "lost_segments": 1}, [str(gone)])
        documents, wrong_count, lost_count = documents + len(made), wrong_count + len(wrong), lost_count + len(lost)
        details += _named_paths(lost)
        details += [f"{one.path}: {wrong[one.document_id]}" for one in made if one.document_id in wrong]
    counts = {"documents": documents, "wrong": wrong_count, "unaccounted": lost_count}
    return check.result(partition, not details, counts, details)


def _dimension(served: Served) -> int:
    return served.embedder.model.dimension


def _unaccounted(check: Check, connection: Any, partition: Partition, recipe: Recipe) -> list[str]:
    if check.asset != PAGES.name:
        return []  # a later stage's input may be in quarantine, or not there: only arrival must not go unanswered
    return check_marks.unaccounted(connection, partition, recipe, check.asset)


def _named_paths(paths: Sequence[str]) -> list[str]:
    return [f"{path}: it has neither pages nor a reason in quarantine" for path in paths]


def _store_in_run(store: str, check: Check, run: PartitionRun) -> CheckResult:
    """What this run has written, before it becomes visible."""
    written = []
    with run.platform.ledger.reading() as connection:
        for one in run.targets:
            written += audits.staged(
                connection, run.partition, run.lease.token, one.generation_id, one.recipe, switches=one.switches
            )
    written = [one for one in written if store in one.stores]
    try:
        return _store_result(check, run.partition, compare_staged(run.platform, run.partition, store, written))
    except SegmentLost as gone:
        strike_out(run.work, gone.segment_id)
        raise


def _store_verify(store: str, check: Check, platform: Platform, partition: Partition) -> CheckResult:
    try:
        return _store_result(check, partition, compare_all(platform, partition, store))
    except SegmentLost as gone:
        return check.result(partition, False, {"lost_segments": 1}, [str(gone)])


def _store_result(check: Check, partition: Partition, differences: Differences) -> CheckResult:
    lines = differences.lines()
    return check.result(partition, not lines, differences.counts(), lines)


def _lake(check: Check, platform: Platform, partition: Partition) -> CheckResult:
    found = compare_segments(platform, partition)
    counts = {
        "segments": found.read, "lost": len(found.segments), "unmade": len(found.unmade), "stray": len(found.strays)
    }  # fmt: skip
    lines = found.segment_lines()
    return check.result(partition, not lines, counts, lines)


def _originals(check: Check, platform: Platform, partition: Partition) -> CheckResult:
    found = compare_originals(platform, partition)
    lines = found.original_lines()
    return check.result(partition, not lines, {"originals": found.read, "lost": len(lines)}, lines)


def _quarantine_share(check: Check, platform: Platform, partition: Partition) -> CheckResult:
    with platform.ledger.reading() as connection:
        present, held = check_marks.document_counts(connection, partition)
    mine = [one for one in held if partition.slot_low <= slot_of(one) <= partition.slot_high]
    limit = platform.collections.of(partition.tenant, partition.collection).thresholds.quarantine_share
    documents = present + sum(1 for one in mine if not held[one])
    passed = len(mine) <= limit * documents
    details = (
        [] if passed else [f"{len(mine)} of {documents} documents are in quarantine, the threshold is {limit:.1%}"]
    )
    return check.result(partition, passed, {"documents": documents, "quarantined": len(mine)}, details)


def _refusals(check: Check, platform: Platform, partition: Partition) -> CheckResult:
    with platform.ledger.reading() as connection:
        known = generations.generations(connection, partition.cid).values()
    building = [one for one in known if one.state == "building"]
    details = [
        f"index generation {one.generation_id} is not promoted: {reason}"
        for one in building
        for reason in (one.verdict or {}).get("reasons", ())
    ]
    return check.result(partition, not details, {"building": len(building), "refused": len(details)}, details)


def _stage_check(name: str, asset: str, meaning: str, rule: Callable[[Sample], Mapping[str, str]]) -> Check:
    return Check(name, asset, meaning, "error", True, partial(_stage_in_run, rule), partial(_stage_verify, rule))


def _store_check(name: str, asset: str, store: str, what: str) -> Check:
    meaning = (
        f"{what} equals the ledger, by ids and digests read back: nothing is missing, altered, superseded or unknown."
    )
    return Check(name, asset, meaning, "error", True, partial(_store_in_run, store), partial(_store_verify, store))


CHECKS: tuple[Check, ...] = (
    _stage_check(
        "every_document_has_pages_or_a_reason", PAGES.name,
        "Every document has pages or a reason in quarantine: none is lost in silence.", stage_checks.have_pages,
    ),
    _stage_check(
        "every_document_with_text_has_chunks", CHUNKS.name,
        "A document without chunks would be missing from search, silently.", stage_checks.have_chunks,
    ),
    _stage_check(
        "every_chunk_reproduces_its_text", CHUNKS.name,
        "page_text[start:end] is exactly the chunk: a citation that quotes it can be trusted.",
        stage_checks.chunks_reproduce_text,
    ),
    _stage_check(
        "every_vector_is_whole", EMBEDDINGS.name,
        "Every chunk has one vector, as wide as the collection's model, finite and of unit length.",
        stage_checks.vectors_are_whole,
    ),
    _stage_check(
        "every_mention_holds", MENTIONS.name,
        "page_text[start:end] is exactly the mention, and the chunk it names holds it.", stage_checks.mentions_hold,
    ),
    _stage_check(
        "every_label_is_founded", CLASSIFICATIONS.name,
        "Every score is from 0 to 1, and page_text[start:end] is exactly each sentence behind a label.",
        stage_checks.labels_hold,
    ),
    _stage_check(
        "every_relation_holds", RELATIONS.name,
        "page_text[start:end] is exactly the sentence, and the document mentions both entities.",
        stage_checks.relations_hold,
    ),
    _store_check("vector_index_equals_the_ledger", "vector_index", "vector", "The vector index"),
    _store_check("keyword_index_equals_the_ledger", "keyword_index", "keyword", "The keyword index"),
    _store_check("knowledge_graph_equals_the_ledger", "knowledge_graph", "graph", "The knowledge graph"),
    Check(
        ORIGINALS_CHECK, "raw_documents",
        "The bytes of every version that is present or published are kept, and are that version's.", "error", False,
        lambda check, run: _originals(check, run.platform, run.partition), _originals,
    ),
    Check(
        LAKE_CHECK, "published_documents",
        "The lake holds exactly the files that the ledger names, byte by byte.", "error", False,
        lambda check, run: _lake(check, run.platform, run.partition), _lake,
    ),
    Check(
        "quarantine_share_is_low", "published_documents",
        "No more documents are in quarantine than the collection's threshold allows.", "warn", False,
        lambda check, run: _quarantine_share(check, run.platform, run.partition), _quarantine_share,
    ),
    Check(
        "a_built_index_may_answer", "published_documents",
        "No index that was built for other settings waits because it compared badly with the one that answers.",
        "warn", False, lambda check, run: _refusals(check, run.platform, run.partition), _refusals,
    ),
)  # fmt: skip
"""In the order in which a run comes to them."""
