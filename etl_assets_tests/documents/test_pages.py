"""The pages stage: rows, facts and failures of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from etl_assets.documents.model import PAGES
from etl_assets.documents.pages import parse_documents
from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.workers import ParserPool
from etl_assets.errors import TransientError
from etl_assets.stages.spec import Computed, Task


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(processes=2) as pool:
        yield pool


class Store:
    """Originals in a folder, counting how many are open at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open_now = self.most_open = 0

    def put(self, name: str, data: str) -> Task:
        (self.folder / name).write_text(data)
        return self.task(name)

    def task(self, name: str) -> Task:
        return Task(f"id of {name}", "acme", "reports", name, "0" * 64, 1)

    @contextmanager
    def local(self, task: Task) -> Iterator[Path]:
        path = self.folder / task.path
        if "offline" in task.path:
            raise TransientError("the store does not answer")
        if not path.exists():
            raise FileNotFoundError(path)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            yield path
        finally:
            self.open_now -= 1


def computed(store: Store, pool: ParserPool, *tasks: Task) -> Computed:
    return parse_documents(tasks, local=store.local, pool=pool, limits=ParsingLimits())


def test_pages_facts_and_seconds_come_in_the_order_of_the_tasks(pool: ParserPool, tmp_path: Path) -> None:
    store = Store(tmp_path)
    tasks = [store.put("b.txt", "one\fTitle\n=====\n"), store.put("a.md", "# A"), store.put("c.txt", "three")]
    made = computed(store, pool, *tasks)
    assert made.rows.schema == pl.Schema({"document_id": pl.String(), **PAGES.columns()})
    assert made.rows.select("document_id", "page", "text").rows() == [
        ("id of b.txt", 1, "one"),
        ("id of b.txt", 2, "Title\n====="),
        ("id of a.md", 1, "# A"),
        ("id of c.txt", 1, "three"),
    ]
    assert made.rows["headings"].to_list()[1:3] == [
        [{"level": 1, "start": 0, "end": 5}],
        [{"level": 1, "start": 0, "end": 3}],
    ]
    assert made.facts.keys() == made.seconds.keys() == {task.document_id for task in tasks}
    assert made.facts["id of a.md"]["title"] == "A" and not made.failures


def test_failures_are_kept_apart_and_no_file_stays_open(pool: ParserPool, tmp_path: Path) -> None:
    store = Store(tmp_path)
    tasks = [store.put("empty.txt", ""), store.task("gone.txt"), store.put("blank.txt", " \n")]
    tasks += [store.put(f"{n}.txt", "words") for n in range(8)]
    made = computed(store, pool, *tasks)
    assert {key: error.reason for key, error in made.failures.items()} == {
        "id of empty.txt": "empty", "id of gone.txt": "unreadable", "id of blank.txt": "no-text",
    }  # fmt: skip
    assert made.rows.height == 8
    assert store.open_now == 0 and store.most_open <= 2


def test_a_store_that_does_not_answer_stops_the_batch_and_leaves_no_file_open(pool: ParserPool, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(TransientError):
        computed(store, pool, store.put("a.txt", "words"), store.task("offline.txt"))
    assert store.open_now == 0
    assert computed(store, pool, store.task("a.txt")).rows.height == 1


def test_no_tasks_give_no_rows(pool: ParserPool, tmp_path: Path) -> None:
    made = computed(Store(tmp_path), pool)
    assert made.rows.is_empty() and made.rows.schema == pl.Schema({"document_id": pl.String(), **PAGES.columns()})
