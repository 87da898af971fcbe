"""What is planned, and where things come from, on hosted backends beside embedded ones: the very same answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl_assets.documents.lineage.subject import subject_of
from etl_assets.documents.lineage.upstream import lineage
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.planning.plan import plan_collection
from etl_assets.documents.platform import Platform
from etl_assets_tests.real.hosted_homes import EMBEDDED, hosted_environment, opened
from etl_assets_tests.real.test_repair import publish
from etl_assets_tests.small_homes import STATIC, TEXTS

OWN = frozenset(
    {
        "arrived_at",
        "computed_at",
        "run_started_at",
        "run_ended_at",
        "seconds",
        "error_s",
        "place",
        "stores",
        "publication",
    }
)
"""What two installations differ in by right: when, how long it took, where things are, and the numbers they draw."""


def plain(answer: Any, path: str = "") -> dict[str, Any]:
    """Every value of an answer by where it stands, without what is its installation's own."""
    found: dict[str, Any] = {}
    if isinstance(answer, dict):
        for name in answer.keys() - OWN:
            found |= plain(answer[name], f"{path}.{name}")
    elif isinstance(answer, list | tuple):
        for number, one in enumerate(answer):
            found |= plain(one, f"{path}[{number}]")
    else:
        found[path] = answer
    return found


def origins(platform: Platform, key: str) -> dict[str, Any]:
    """The lineage of a document, an entity, a chunk and a partition."""
    index = platform.stores.keyword
    chunks = sorted(row.chunk_id for space in index.spaces() for row in index.rows(space))
    asked = {"acme/reports/bear.txt": None, "EMOTET": "acme", chunks[0]: "acme", key: None}
    found = {text: lineage(platform, subject_of(platform, text, tenant=tenant)) for text, tenant in asked.items()}
    return {text: one.as_json() for text, one in found.items()}


def arrive(platform: Platform, scratch: Path, texts: Mapping[str, str]) -> None:
    """Put texts into the collection ``acme/reports``."""
    for name, text in texts.items():
        (scratch / name).write_text(text)
        platform.arrivals.put(f"acme/reports/{name}", scratch / name)


def told(platform: Platform, scratch: Path) -> dict[str, Any]:
    """The plans of an installation's life, and where things come from at its end."""
    scratch.mkdir()
    arrive(platform, scratch, TEXTS)
    answers = {"unknown": plan_collection(platform, "acme", "reports").as_json()}
    place = publish(platform, "acme", scratch)
    answers["published"] = plan_collection(platform, "acme", "reports").as_json()
    arrive(
        platform, scratch, {"garden.txt": "Roses want rain. CVE-2021-44229 is none.", "new.txt": "APT29 used EMOTET."}
    )
    answers["changed"] = plan_collection(platform, "acme", "reports").as_json()
    answers["again"] = plan_collection(platform, "acme", "reports", full=True).as_json()
    with PartitionRun(platform, place.key, run_id="second") as run:
        all_steps(run)
    return plain(answers | origins(platform, place.key))


def test_plans_and_lineage_are_the_same_on_hosted_and_embedded_backends(tmp_path: Path) -> None:
    hosted_home, embedded_home = tmp_path / "hosted", tmp_path / "embedded"
    for home in (hosted_home, embedded_home):
        home.mkdir()
        (home / "collections.yaml").write_text(STATIC)
    with opened({**EMBEDDED, "ETL_HOME": str(embedded_home)}) as on_disk:
        expected = told(on_disk, tmp_path / "files")
    assert expected[".unknown.added"] == 3 and expected[".published.documents"] == 0
    assert expected[".changed.added"] == expected[".changed.changed"] == 1
    with hosted_environment(hosted_home) as env, opened(env) as on_servers:
        found = told(on_servers, tmp_path / "same-files")
    assert found.keys() == expected.keys()
    assert {path: (found[path], expected[path]) for path in expected if found[path] != expected[path]} == {}
