"""A whole installation on hosted backends, through the commands that people run, beside one on the embedded ones."""

from pathlib import Path
from uuid import uuid4

from etl_assets_tests.real.hosted_homes import EMBEDDED, answers, command, hosted_environment, opened, rows, stored
from etl_assets_tests.small_homes import STATIC, TEXTS

QUESTIONS = ["which group used EMOTET against a bank", "roses want sun", "CVE-2021-44228", "factory stopped"]


def _documents(folder: Path) -> Path:
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    for number in range(20):
        (folder / f"note-{number}.txt").write_text(
            f"Note {number}: host 10.0.{number}.7 spoke to APT{number + 1}.\n" * 3
        )
    return folder


def _ran(env: dict[str, str], *arguments: str) -> str:
    done = command(env, *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_hosted_and_embedded_installations_hold_the_same_rows_and_give_the_same_answers(
    tmp_path: Path,
) -> None:
    tenant, documents = f"t{uuid4().hex[:10]}", _documents(tmp_path / "documents")
    embedded_home, hosted_home = tmp_path / "embedded", tmp_path / "hosted"
    with hosted_environment(hosted_home) as hosted:
        embedded = {**EMBEDDED, "ETL_HOME": str(embedded_home)}
        for env in (embedded, hosted):
            Path(env["ETL_HOME"]).mkdir()
            (Path(env["ETL_HOME"]) / "collections.yaml").write_text(STATIC)
            where = ("--tenant", tenant, "--collection", "reports")
            _ran(env, "document", "add", str(documents), *where)
            _ran(env, "sync")
            (documents / "garden.txt").write_text("Roses want rain. CVE-2021-44229 is no rose.")
            _ran(env, "document", "add", str(documents / "garden.txt"), *where)
            _ran(env, "document", "remove", f"{tenant}/reports/note-3.txt")
            _ran(env, "sync")
            _ran(env, "check")
            (documents / "garden.txt").write_text(TEXTS["garden.txt"])
        with opened(hosted) as on_servers, opened(embedded) as on_disk:
            assert rows(on_servers) == rows(on_disk)
            assert stored(on_servers) == stored(on_disk)
            assert answers(on_servers, tenant, QUESTIONS) == answers(on_disk, tenant, QUESTIONS)
        # Nothing that counts stays on the machine: its disk may be lost.
        kept = {path.name for path in hosted_home.iterdir() if path.is_dir() and any(path.iterdir())}
        assert kept <= {"cache", "dagster", "indexes", "logs"}, kept
