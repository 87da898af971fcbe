"""What a run looks at: what changed, or everything where nobody can say what did."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from etl_assets.documents.collections import Collections
from etl_assets.documents.model import STAGES
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.pending import is_up_to_date
from etl_assets.ledger import schema, segments
from etl_assets.ledger.catalogue import CHANGED, WHOLE, mark_dirty
from etl_assets.ledger.documents_view import HeldDocument, ask_retry
from etl_assets.ledger.leases import acquire
from etl_assets.ledger.settled import upkeep
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.ran(tmp_path / "home")


def looks_at(home: SmallHome) -> int:
    with home.platform.ledger.reading() as connection:
        return upkeep(connection, home.key).look_at


def named(home: SmallHome) -> list[str]:
    changed, o = schema.changed_documents, schema.objects
    query = select(o.c.path).distinct().join(changed, changed.c.document_id == o.c.document_id)
    with home.platform.ledger.reading() as connection:
        return sorted(connection.scalars(query))


def open_outputs(home: SmallHome) -> int:
    x = schema.outputs
    with home.platform.ledger.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(x).where(x.c.end_seq.is_(None))) or 0)


def test_a_run_that_left_nothing_undone_names_nothing(home: SmallHome) -> None:
    assert looks_at(home) == CHANGED
    assert named(home) == []
    assert is_up_to_date(home.platform, home.partition())


def test_only_what_arrived_or_went_is_looked_at(home: SmallHome) -> None:
    home.write("bear.txt", "The bear is gone.")
    home.remove("panda.md")
    with PartitionRun(home.platform, home.key, run_id="second") as run:
        run.raw_documents()
        assert run.work.partition.only_changed
        assert named(home) == ["bear.txt", "panda.md"]
        report = run.pages()
        assert report.wanted == report.computed == 1
        assert run.pending().unfinished["chunks"] == 1
    home.run("third")
    assert named(home) == [] and sorted(home.published()) == ["bear.txt", "garden.txt"]
    assert open_outputs(home) == 2 * len(STAGES), "what was superseded and removed is ended"


def test_what_a_run_of_one_step_left_undone_is_done_by_the_next_one(home: SmallHome) -> None:
    home.write("new.txt", "A new one about APT28.")
    with PartitionRun(home.platform, home.key, run_id="arrivals") as run:
        run.raw_documents()
    with PartitionRun(home.platform, home.key, run_id="commit alone") as run:
        run.published_documents()
    assert not is_up_to_date(home.platform, home.partition()) and named(home) == ["new.txt"]
    home.run()
    assert "new.txt" in home.published() and is_up_to_date(home.platform, home.partition())


def test_another_recipe_looks_at_everything(home: SmallHome) -> None:
    fixed = Collections.parse(STATIC + "  chunking: {mode: fixed, size: 40, overlap: 0}\n")
    home.platform = replace(home.platform, collections=fixed)
    with PartitionRun(home.platform, home.key, run_id="second") as run:
        assert not run.work.partition.only_changed
        all_steps(run)
        assert run.report["chunks"]["computed"] == len(TEXTS)
    assert looks_at(home) == WHOLE, "the promotion at the end of the run asks for one more look"
    home.run()
    assert looks_at(home) == CHANGED


def _lost_segment(home: SmallHome) -> None:
    file = schema.segments
    with home.platform.ledger.reading() as connection:
        lost = connection.scalar(select(file.c.segment_id).where(file.c.stage == "chunks"))
    lease = acquire(home.platform.ledger, home.key, holder="strike")
    with lease.writing() as connection:
        segments.end_outputs_of(connection, home.partition(), int(lost or 0))
    lease.release()


def _asked_by_anybody(home: SmallHome) -> None:
    with home.platform.ledger.writing() as connection:
        mark_dirty(connection, home.key)


@pytest.mark.parametrize("happens", [_lost_segment, _asked_by_anybody])
def test_what_nobody_can_name_is_looked_for_everywhere(home: SmallHome, happens: Callable[[SmallHome], None]) -> None:
    before = open_outputs(home)
    happens(home)
    assert looks_at(home) == WHOLE and not is_up_to_date(home.platform, home.partition())
    with PartitionRun(home.platform, home.key, run_id="second") as run:
        assert not run.work.partition.only_changed
        all_steps(run)
    assert looks_at(home) == CHANGED and open_outputs(home) == before


@pytest.mark.parametrize("narrow", [True, False])
def test_what_is_asked_for_while_a_run_works_is_not_forgotten_at_its_end(home: SmallHome, narrow: bool) -> None:
    if not narrow:
        _asked_by_anybody(home)
    home.write("bear.txt", "The bear is gone.")
    with PartitionRun(home.platform, home.key, run_id="second") as run:
        run.raw_documents()
        assert run.work.partition.only_changed == narrow
        run.pages()
        _asked_by_anybody(home)
        all_steps(run)
    assert looks_at(home) == WHOLE and not is_up_to_date(home.platform, home.partition())


def test_a_killed_run_leaves_the_names_for_the_next_one(home: SmallHome) -> None:
    home.write("bear.txt", "The bear is gone.")
    with pytest.raises(KeyboardInterrupt), PartitionRun(home.platform, home.key, run_id="second") as run:
        run.raw_documents()
        run.pages()
        raise KeyboardInterrupt
    assert named(home) == ["bear.txt"]
    assert home.run("third")["chunks"]["computed"] == 1
    assert named(home) == []


def test_a_document_that_is_to_be_tried_again_is_named(home: SmallHome) -> None:
    home.write("broken.pdf", b"%PDF-1.4 broken")
    home.run()
    assert home.held()["broken.pdf"][0] == "pages" and named(home) == []
    document = home.document_id("broken.pdf")
    q = schema.quarantine
    with home.platform.ledger.reading() as connection:
        row = connection.execute(select(q).where(q.c.document_id == document)).mappings().one()
    held = HeldDocument(**{name: row[name] for name in HeldDocument.__dataclass_fields__ if name in row})
    with home.platform.ledger.writing() as connection:
        ask_retry(connection, [held], {document: home.key})
    assert named(home) == ["broken.pdf"]
    assert home.run("again")["pages"]["wanted"] == 1


def test_a_ledger_of_before_looks_at_everything_once(home: SmallHome) -> None:
    part = schema.partitions
    with home.platform.ledger.writing() as connection:
        connection.execute(update(part).values(look_at=WHOLE))
    home.run()
    assert looks_at(home) == CHANGED
