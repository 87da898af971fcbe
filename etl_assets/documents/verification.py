"""Every check of the documents domain, as functions: Dagster's checks and ``etl-assets check`` both call these.

A check has two forms. ``in_run`` runs between stages, under the lease: it reads only outputs that have not passed it
yet, and puts a document whose rows break it in quarantine, so that its neighbours go on. ``verify`` reads everything,
takes no lease and changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from etl_assets.documents import stage_checks
from etl_assets.documents.model import CHUNKS, EMBEDDINGS, MENTIONS, PAGES, slot_of
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.pending import is_up_to_date, reader
from etl_assets.documents.platform import Platform
from etl_assets.documents.stage_checks import Sample, examine
from etl_assets.documents.store_checks import Differences, compare_all, compare_staged
from etl_assets.errors import ConfigError
from etl_assets.ledger import audits, check_marks
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import digest_of
from etl_assets.ledger.outputs import Recipe, Step
from etl_assets.stages.engine import strike_out
from etl_assets.stages.lake import SegmentLost

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
    place, work = run.partition, run.work
    if check.asset not in work.recipe:
        return check.result(place, True, {"documents": 0}, ())
    with run.platform.ledger.reading() as connection:
        after = check_marks.mark(connection, place, check.name)
        made = check_marks.made(connection, place, work.recipe, check.asset, after=after)
        lost = _unaccounted(check, connection, place, work.recipe)
    try:
        wrong = examine(run.platform, made, rule, lambda: run.embedder.model.dimension)
    except SegmentLost as gone:
        strike_out(work, gone.segment_id)
        raise
    refused = {one.document_id: (one, wrong[one.document_id]) for one in made if one.document_id in wrong}
    if made:
        with run.lease.writing() as connection:
            if refused:
                check_marks.refuse(connection, place, work.recipe, check.asset, refused)
            check_marks.set_mark(connection, place, check.name, made[-1].rows[check.asset].output_id)
    counts = {"documents": len(made), "quarantined": len(refused), "unaccounted": len(lost)}
    details = [*_named_paths(lost), *(f"{one.path}: {why}; quarantined" for one, why in refused.values())]
    return check.result(place, not lost, counts, details)


def _stage_verify(
    rule: Callable[[Sample], Mapping[str, str]], check: Check, platform: Platform, partition: Partition
) -> CheckResult:
    questions = reader(platform, partition)
    recipe = {
        name: Step(name, platform.ledger.known_producer_id(stage.producer(parameters)), stage.inputs)
        for name, (stage, parameters) in questions.parameters().items()
    }
    if check.asset not in recipe:
        return check.result(partition, True, {"documents": 0}, ())
    finished = is_up_to_date(platform, partition)  # else documents wait for a run, and nothing is wrong with that
    with platform.ledger.reading() as connection:
        made = check_marks.made(connection, partition, recipe, check.asset, after=0)
        lost = _unaccounted(check, connection, partition, recipe) if finished else []
    try:
        wrong = examine(platform, made, rule, lambda: questions.embedder.model.dimension)
    except SegmentLost as gone:
        return check.result(partition, False, {"documents": len(made), "lost_segments": 1}, [str(gone)])
    counts = {"documents": len(made), "wrong": len(wrong), "unaccounted": len(lost)}
    details = [
        *_named_paths(lost),
        *(f"{one.path}: {wrong[one.document_id]}" for one in made if one.document_id in wrong),
    ]
    return check.result(partition, not (lost or wrong), counts, details)


def _unaccounted(check: Check, connection: Any, partition: Partition, recipe: Recipe) -> list[str]:
    if check.asset != PAGES.name:
        return []  # a later stage's input may be in quarantine, or not there: only arrival must not go unanswered
    return check_marks.unaccounted(connection, partition, recipe, check.asset)


def _named_paths(paths: Sequence[str]) -> list[str]:
    return [f"{path}: it has neither pages nor a reason in quarantine" for path in paths]


def _store_in_run(store: str, check: Check, run: PartitionRun) -> CheckResult:
    """What this run has written, before it becomes visible."""
    switches = digest_of(run.settings.publications.parameters())
    with run.platform.ledger.reading() as connection:
        staged = audits.staged(connection, run.partition, run.lease.token, run.work.recipe, switches=switches)
    written = [one for one in staged if store in one.stores]
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
    _store_check("vector_index_equals_the_ledger", "vector_index", "vector", "The vector index"),
    _store_check("keyword_index_equals_the_ledger", "keyword_index", "keyword", "The keyword index"),
    _store_check("knowledge_graph_equals_the_ledger", "knowledge_graph", "graph", "The knowledge graph"),
    Check(
        "quarantine_share_is_low", "published_documents",
        "No more documents are in quarantine than the collection's threshold allows.", "warn", False,
        lambda check, run: _quarantine_share(check, run.platform, run.partition), _quarantine_share,
    ),
)  # fmt: skip
"""In the order in which a run comes to them."""
