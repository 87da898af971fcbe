"""Attempts of one step in several processes: the newest alone writes, and only the last process lets the partition go.

An interleaving is drawn from its seed alone.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from etl_assets.documents.partition_run import PartitionRun
from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import LeaseLost, acquire
from etl_assets.ledger.runs import last_runs
from etl_assets_tests.faults.chains import die_holding, untidy
from etl_assets_tests.small_homes import TEXTS, SmallHome
from etl_assets_tests.trivial import Home, contents

Step = Callable[[PartitionRun], object]
PARTITION = "acme.reports.00-of-01"

STEPS: dict[str, Step] = {
    "raw_documents": lambda run: run.raw_documents(), "pages": lambda run: run.pages(),
    "chunks": lambda run: run.chunks(), "embeddings": lambda run: run.embeddings(),
    "knowledge": lambda run: run.knowledge(), "classifications": lambda run: run.classifications(),
    "mentions": lambda run: run.mentions(), "relations": lambda run: run.relations(),
    "vector_index": lambda run: run.write_store("vector"),
    "keyword_index": lambda run: run.write_store("keyword"), "graph_index": lambda run: run.write_store("graph"),
    "published_documents": lambda run: run.published_documents(),
}  # fmt: skip


def attempt(home: SmallHome) -> PartitionRun:
    """One process of the run, which opens the partition for one step."""
    return PartitionRun(home.platform, home.key, run_id="the-run")


def interrupted(run: PartitionRun, at: int, meanwhile: Callable[[], None]) -> None:
    """Let ``meanwhile`` happen before the ``at``-th transaction that the run writes, once."""
    writing, count = run.lease.writing, iter(range(1, 10_000))

    @contextmanager
    def counted() -> Iterator[Connection]:
        if next(count) == at:
            meanwhile()
        with writing() as connection:
            yield connection

    run.lease.writing = counted  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(3))
def test_of_two_attempts_of_a_step_the_newest_alone_writes(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    home = SmallHome.at(tmp_path / "home")
    twice = set(source.sample(sorted(STEPS), 4))
    for name, step in STEPS.items():
        with attempt(home) as first:
            if name in twice:

                def second(step: Step = step) -> None:
                    with attempt(home) as run:
                        step(run)

                interrupted(first, source.randint(1, 3), second)
            try:
                step(first)
            except LeaseLost as error:
                assert name in twice and f"another attempt of the step {name}" in str(error)
    assert set(home.published()) == set(TEXTS)
    assert untidy(cast("Home", home.platform)) == []
    clean = SmallHome.ran(tmp_path / "clean")
    assert contents(cast("Home", home.platform)) == contents(cast("Home", clean.platform))


def test_a_step_that_wakes_after_its_replacement_has_finished_writes_nothing(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home")
    with attempt(home) as run:
        run.raw_documents()
        assert run.works, "the index generation is begun before, so that what the sleeper writes first is the step's"
    sleeper = attempt(home)

    def replaced() -> None:
        with attempt(home) as run:
            run.pages()
            run.chunks()

    interrupted(sleeper, 1, replaced)
    with pytest.raises(LeaseLost, match="another attempt of the step pages of the-run has begun"):
        sleeper.pages()
    sleeper.close()
    with attempt(home) as run:
        assert run.pages().computed == run.chunks().computed == 0, "what the replacement did is done"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


def test_another_step_of_the_same_run_goes_on(ledger: Ledger) -> None:
    one, other = (acquire(ledger, PARTITION, holder="run") for _ in range(2))
    one.begin_step("embeddings")
    other.begin_step("mentions")
    for lease in (one, other):
        with lease.writing():
            pass
    other.begin_step("embeddings")
    with pytest.raises(LeaseLost, match="another attempt of the step embeddings"), one.writing():
        pass
    one.release()
    other.release()


def test_the_last_process_of_a_run_lets_the_partition_go(ledger: Ledger) -> None:
    one, other = (acquire(ledger, PARTITION, holder="run") for _ in range(2))
    one.release()
    with pytest.raises(TransientError, match="being worked on by run"):
        acquire(ledger, PARTITION, holder="next")
    other.release()
    acquire(ledger, PARTITION, holder="next").release()


def test_a_process_that_was_killed_does_not_keep_the_partition(ledger: Ledger) -> None:
    one, other = (acquire(ledger, PARTITION, holder="run") for _ in range(2))
    die_holding(one)
    other.release()
    acquire(ledger, PARTITION, holder="next", wait_s=60.0).release()


def report_of(home: SmallHome) -> tuple[str, dict[str, Any]]:
    row = last_runs(home.platform.ledger)[home.key]
    return row.state, dict(row.report)


def test_a_run_reports_the_steps_of_all_its_processes(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home")
    for step in STEPS.values():
        with attempt(home) as run:
            step(run)
    state, report = report_of(home)
    assert state == "succeeded" and set(report) == set(STEPS)


def test_a_run_has_failed_until_the_step_that_failed_succeeds(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home")
    with attempt(home) as run:
        run.raw_documents()
    with pytest.raises(PermanentError), attempt(home) as run:
        run.pages()
        raise PermanentError("on purpose")
    with attempt(home) as run:
        run.chunks()
    assert report_of(home)[0] == "failed" and report_of(home)[1]["error"] == "PermanentError: on purpose"
    with attempt(home) as run:
        run.pages()
    assert report_of(home)[0] == "succeeded" and "error" not in report_of(home)[1]


def test_a_run_goes_on_while_one_of_its_processes_does(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home")
    one, other = attempt(home), attempt(home)
    one.raw_documents()
    other.pages()
    one.close()
    assert report_of(home)[0] == "started"
    other.close()
    assert report_of(home)[0] == "succeeded"
