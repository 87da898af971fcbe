"""Computing again what is there: what is made anew, what is not, and that what is shown stays whole."""

from pathlib import Path

import pytest
from sqlalchemy import select

from etl_assets.documents.anew import Anew
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.partitions import anew_of, force_tags
from etl_assets.documents.stage_work import StageWork
from etl_assets.errors import ConfigError, DataError
from etl_assets.ledger import schema
from etl_assets.stages.spec import Computed
from etl_assets_tests.small_homes import SmallHome


def forced(home: SmallHome, anew: Anew) -> dict[str, dict[str, int]]:
    with PartitionRun(home.platform, home.key, run_id="forced", anew=anew) as run:
        return all_steps(run)


def open_outputs(home: SmallHome) -> dict[tuple[str, str], int]:
    """Output id by path and stage."""
    x, o, m = schema.outputs, schema.objects, schema.producers
    query = (
        select(o.c.path, m.c.stage, x.c.output_id)
        .join(o, o.c.document_id == x.c.document_id)
        .join(m, m.c.producer_id == x.c.producer_id)
        .where(x.c.end_seq.is_(None), o.c.end_seq.is_(None))
    )
    with home.platform.ledger.reading() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def test_all_of_it_is_computed_anew_and_what_is_shown_rests_on_it(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home")
    before, shown = open_outputs(home), home.published()
    report = forced(home, Anew.read([], []))
    assert {stage: report[stage]["computed"] for stage in ("pages", "chunks", "embeddings", "mentions")} == {
        "pages": 3, "chunks": 3, "embeddings": 3, "mentions": 3,
    }  # fmt: skip
    assert report["embeddings"]["rows_computed"] == report["embeddings"]["rows"] > 0, "no vector is reused"
    after = open_outputs(home)
    assert after.keys() == before.keys() and not set(after.values()) & set(before.values())
    assert home.published() == shown and report["published_documents"]["repointed"] == 3
    again = home.run("after")
    assert again["pages"]["computed"] == again["embeddings"]["wanted"] == again["published_documents"]["published"] == 0


def test_only_the_stages_and_documents_that_are_named(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home")
    before = open_outputs(home)
    report = forced(home, Anew.read(["mentions"], ["b*.txt"]))
    assert report["pages"]["computed"] == 0 and report["mentions"]["computed"] == 1
    after = open_outputs(home)
    assert {key for key in before if before[key] != after[key]} == {("bear.txt", "mentions")}


def test_what_fails_anew_leaves_what_is_shown_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = SmallHome.ran(tmp_path / "home")
    shown = home.published()
    whole = StageWork._advance

    def failing(work: StageWork, stage: object, **how: object) -> object:
        if getattr(stage, "name", "") == "mentions":

            def refuse(tasks, *inputs):  # type: ignore[no-untyped-def]
                made = how["compute"](tasks, *inputs)  # type: ignore[operator]
                return Computed(made.rows, failures={one.document_id: DataError("no", reason="no") for one in tasks})

            return whole(work, stage, compute=refuse)  # type: ignore[arg-type]
        return whole(work, stage, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(StageWork, "_advance", failing)
    forced(home, Anew.read([], []))
    forced(home, Anew.read(["pages", "chunks"], []))
    assert home.published() == shown
    gone = [
        row.key
        for row in _segments_shown(home)
        if not (home.settings.home.lake / row.key).exists()
    ]  # fmt: skip
    assert not gone, "every row that is shown can be read"


def _segments_shown(home: SmallHome) -> list[object]:
    p, x, file = schema.publications, schema.outputs, schema.segments
    with home.platform.ledger.reading() as connection:
        ids = {
            n for (made,) in connection.execute(select(p.c.outputs).where(p.c.end_seq.is_(None))) for n in made.values()
        }
        named = select(x.c.segment_id).where(x.c.output_id.in_(ids), x.c.segment_id.is_not(None))
        numbers = set(connection.scalars(named))
        rows = connection.execute(select(file.c.key, file.c.segment_id).where(file.c.segment_id.in_(numbers))).all()
    assert {row.segment_id for row in rows} == numbers, "a segment that is shown was struck out"
    return list(rows)


def test_tags_say_what_is_computed_anew() -> None:
    anew = Anew.read(["pages", "mentions"], ["a b/*.pdf", "ü,[x]"])
    assert anew_of(force_tags(anew)) == anew and anew_of({}) is None
    assert anew_of({"etl_assets/force_stages": "*"}) == Anew.read([], [])
    with pytest.raises(ConfigError, match="stage 'ocr'"):
        Anew.read(["ocr"], [])
    for wrong in ("{", '"x"', "[1]"):
        with pytest.raises(ConfigError, match="list of globs"):
            anew_of({"etl_assets/force_stages": "*", "etl_assets/force_documents": wrong})
