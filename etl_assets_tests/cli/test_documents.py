"""Putting documents in, taking them out, and what is told about them."""

import os
from pathlib import Path

import pytest

from etl_assets.documents.model import STAGES
from etl_assets_tests.cli.conftest import Command

LISTED = [
    "document_id", "tenant", "collection", "path", "version", "state", "reason",
    "message", "stage", "size_bytes", "content_type", "title", "arrived_at", "publication", "published_version",
    "is_pinned",
]  # fmt: skip


def objects(home: Path) -> dict[str, str]:
    root = home / "objects"
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def add(etl: Command, home: Path, *arguments: str, code: int = 0) -> str:
    outcome = etl("document", "add", *arguments, "--tenant", "t", "--collection", "c", home=home)
    assert outcome.code == code, outcome.err
    return outcome.out + outcome.err


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("one.txt", "deep/two.txt", "deep/er/three.md", ".hidden", ".git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "linked").symlink_to(folder / "deep")
    os.mkfifo(folder / "pipe")
    return folder


def test_a_folder_keeps_its_structure_and_tells_what_it_skips(etl: Command, source: Path, tmp_path: Path) -> None:
    told = add(etl, tmp_path / "home", str(source))
    assert objects(tmp_path / "home") == {
        "t/c/one.txt": "one.txt", "t/c/deep/two.txt": "deep/two.txt", "t/c/deep/er/three.md": "deep/er/three.md",
    }  # fmt: skip
    assert "3 added" in told
    for name, why in {".hidden": "hidden", ".git": "hidden", "linked": "a link to a folder", "pipe": "regular"}.items():
        assert any(line.startswith(f"skipped {source / name}: ") and why in line for line in told.splitlines())


def test_a_file_keeps_its_name_and_a_glob_the_path_below_its_fixed_part(
    etl: Command, source: Path, tmp_path: Path
) -> None:
    add(etl, tmp_path / "home", str(source / "deep" / "er" / "three.md"), f"{source}/**/*.txt", "--under", "/new/")
    assert set(objects(tmp_path / "home")) == {"t/c/new/three.md", "t/c/new/one.txt", "t/c/new/deep/two.txt"}


def test_what_is_there_already_is_left_and_what_differs_is_replaced(etl: Command, source: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    add(etl, home, str(source))
    (source / "one.txt").write_text("changed")
    unchanged = home / "objects" / "t/c/deep/two.txt"
    before = (unchanged.stat().st_ino, unchanged.stat().st_ctime_ns)
    assert "0 added, 1 replaced, 2 unchanged" in add(etl, home, str(source))
    assert (unchanged.stat().st_ino, unchanged.stat().st_ctime_ns) == before
    assert "0 added, 3 unchanged" in add(etl, home, str(source))


def test_two_files_that_would_get_one_name_are_refused(etl: Command, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text(folder)
    told = add(etl, tmp_path / "home", str(tmp_path / "a/same.txt"), str(tmp_path / "b/same.txt"), code=2)
    assert "would both be called same.txt" in told
    assert "0 replaced" not in told and objects(tmp_path / "home") == {}


def test_an_argument_that_names_nothing_is_refused(etl: Command, tmp_path: Path) -> None:
    assert "there is no such file" in add(etl, tmp_path / "home", str(tmp_path / "nothing"), code=2)
    assert "there is no such file" in add(etl, tmp_path / "home", str(tmp_path / "*.pdf"), code=2)


def test_the_home_is_never_copied_into_itself(etl: Command, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    for _ in range(2):
        add(etl, tmp_path / "home", str(tmp_path))
    add(etl, tmp_path / "home", f"{tmp_path}/**/*.txt")
    assert set(objects(tmp_path / "home")) == {"t/c/one.txt"}


def test_a_name_that_no_key_can_have_is_refused_and_its_neighbours_go_in(etl: Command, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "good.txt").write_text("good")
    with open(os.fsencode(source) + b"/bad-\xff.txt", "w") as file:
        file.write("bad")
    told = add(etl, tmp_path / "home", str(source), code=1)
    assert "1 added, 1 not added" in told
    assert "UTF-8" in told and "bad-\\udcff.txt" in told


def test_metadata_goes_with_each_document(etl: Command, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    options = ("--metadata", "source=desk=7", "--content-type", "text/plain")
    add(etl, tmp_path / "home", str(tmp_path / "one.txt"), *options)
    stored = tmp_path / "home/objects/t/c/one.txt"
    assert os.getxattr(stored, "user.etl.source") == b"desk=7"
    assert os.getxattr(stored, "user.mime_type") == b"text/plain"
    assert "1 unchanged" in add(etl, tmp_path / "home", str(tmp_path / "one.txt"), *options)
    assert "1 replaced" in add(etl, tmp_path / "home", str(tmp_path / "one.txt"), "--metadata", "source=other")
    assert "KEY=VALUE" in add(etl, tmp_path / "home", str(tmp_path / "one.txt"), "--metadata", "source", code=2)


def test_a_listing_tells_every_state_with_its_fields_in_order(etl: Command, made_home: Path) -> None:
    outcome = etl("document", "list", "--json", home=made_home)
    assert outcome.code == 0
    assert all(list(record) == LISTED for record in outcome.records)
    states = {(one["tenant"], one["collection"], one["path"]): one["state"] for one in outcome.records}
    assert states == {
        ("", "", "stray.txt"): "quarantined",
        ("acme", "reports", "apt/bear.txt"): "current",
        ("acme", "reports", "apt/panda.md"): "current",
        ("acme", "reports", "empty.txt"): "quarantined",
        ("acme", "reports", "line\nbreak.txt"): "current",
        ("acme", "reports", "notes/garden.txt"): "current",
        ("zeta", "mail", "one.txt"): "current",
    }
    reasons = {one["path"]: one["reason"] for one in outcome.records}
    assert reasons["empty.txt"] == "empty" and reasons["stray.txt"] == "unusable-key"
    assert reasons["apt/bear.txt"] is None


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        (("--name", "*.md"), ["apt/panda.md"]),
        (("--name", "apt/*"), ["apt/bear.txt", "apt/panda.md"]),
        (("--tenant", "zeta"), ["one.txt"]),
        (("--collection", "mail"), ["one.txt"]),
        (("--state", "quarantined", "--tenant", "acme"), ["empty.txt"]),
        (("--state", "removed"), []),
    ],
)
def test_a_listing_can_be_narrowed(options: tuple[str, ...], paths: list[str], etl: Command, made_home: Path) -> None:
    outcome = etl("document", "list", "--json", *options, home=made_home)
    assert [one["path"] for one in outcome.records] == paths


def test_people_see_names_escaped_and_a_count(etl: Command, made_home: Path) -> None:
    out = etl("document", "list", home=made_home).out
    assert "line break.txt" in out or "line\\nbreak.txt" in out
    assert out.endswith("7 documents\n")


def test_a_document_is_explained_by_id_by_its_beginning_and_by_path(etl: Command, made_home: Path) -> None:
    listed = {one["path"]: one for one in etl("document", "list", "--json", home=made_home).records}
    identity = listed["apt/bear.txt"]["document_id"]
    (by_id,) = etl("document", "show", identity, "--json", home=made_home).records
    (by_start,) = etl("document", "show", identity[:12], "--json", home=made_home).records
    (by_path,) = etl("document", "show", "acme/reports/apt/bear.txt", "--json", home=made_home).records
    assert by_id == by_start == by_path
    assert {stage["stage"] for stage in by_id["stages"]} == {one.name for one in STAGES}
    assert all(stage["producer"].startswith(stage["stage"] + "/") for stage in by_id["stages"])
    (shown,) = by_id["published"]
    assert shown["state"] == "live" and shown["counts"]["vector"] == by_id["stages"][1]["row_count"] == 1
    assert by_id["state"] == "current" and by_id["facts"]["document_type"] == "text"
    told = etl("document", "show", identity, home=made_home).out
    assert "acme/reports/apt/bear.txt" in told and "embeddings/1/" in told


def test_a_held_document_is_explained(etl: Command, made_home: Path) -> None:
    (record,) = etl("document", "show", "acme/reports/empty.txt", "--json", home=made_home).records
    assert record["state"] == "quarantined" and record["published"] == []
    assert record["quarantine"][0]["reason"] == "empty" and record["quarantine"][0]["attempts"] == 1
    assert "held at" in etl("document", "show", "acme/reports/empty.txt", home=made_home).out
    events = etl("document", "history", "acme/reports/empty.txt", "--json", home=made_home).records
    assert events[-1]["event"] == "quarantined"


def test_a_history_is_in_the_ledger_s_order(etl: Command, made_home: Path) -> None:
    events = etl("document", "history", "acme/reports/apt/bear.txt", "--json", home=made_home).records
    assert [event["event"] for event in events] == ["arrived", *["computed"] * len(STAGES), "published"]
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    assert "published" in etl("document", "history", "acme/reports/apt/bear.txt", home=made_home).out


def test_a_document_is_shown_by_the_name_of_its_file_and_not_removed_by_it(etl: Command, made_home: Path) -> None:
    assert etl("document", "show", "bear.txt", "--json", home=made_home).records[0]["path"] == "apt/bear.txt"
    assert etl("document", "remove", "bear.txt", home=made_home).code != 0
    assert etl("document", "delete", "bear.txt", "--yes", home=made_home).code != 0


@pytest.mark.parametrize("name", ["0" * 32, "acme/reports/never.txt", "not an id"])
def test_an_unknown_document_is_told(name: str, etl: Command, made_home: Path) -> None:
    outcome = etl("document", "show", name, home=made_home)
    assert outcome.code == 2 and "the ledger knows none" in outcome.err


@pytest.mark.usefixtures("without_dagster")
def test_removed_documents_leave_the_store_and_then_the_searches(etl: Command, home: Path) -> None:
    listed = {one["path"]: one for one in etl("document", "list", "--json", home=home).records}
    outcome = etl("document", "remove", "acme/reports/apt/*", listed["one.txt"]["document_id"], "a/b/c", home=home)
    assert outcome.code == 1  # a/b/c is not there; the others went
    assert "3 removed" in outcome.out and "a/b/c" in outcome.err
    assert (
        etl("document", "remove", "notes/garden.txt", "--tenant", "acme", "--collection", "reports", home=home).code
        == 0
    )
    assert etl("document", "remove", "x", "--tenant", "acme", home=home).code == 2
    assert etl("sync", home=home).code == 0
    states = {one["path"]: one["state"] for one in etl("document", "list", "--json", home=home).records}
    assert states["apt/bear.txt"] == states["one.txt"] == states["notes/garden.txt"] == "removed"
    assert states["line\nbreak.txt"] == "current"
    (answer,) = etl("search", "EMOTET", "--json", home=home).records
    assert {hit["path"] for hit in answer["hits"]} == {"line\nbreak.txt"}
    events = etl("document", "history", "acme/reports/apt/bear.txt", "--json", home=home).records
    assert [event["event"] for event in events][-2:] == ["removed", "withdrawn"]
