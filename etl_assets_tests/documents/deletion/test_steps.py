"""Deleting and purging documents, whatever holds them: nothing of them is left, and everything else is."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from etl_assets.backends.signing import FolderCertificates, verify
from etl_assets.bindings import search_places
from etl_assets.documents.deletion.orders import (
    delete_collection,
    delete_documents,
    delete_tenant,
    finish_interrupted,
    named,
)
from etl_assets.documents.deletion.steps import CollectionDeletion
from etl_assets.documents.original_keys import tombstone_key
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.ledger import deletions, pins, schema, tombstones
from etl_assets.search.query import search
from etl_assets_tests.byte_search import found_in
from etl_assets_tests.small_homes import TEXTS, SmallHome

SECRET = (
    "# Qztitle Blorvexian memorandum\n\nThe blorvexian syndicate used EMOTET against qzbank.example.com. "
    + "The qwumblefrotz committee met again and again.\n\n" * 12
    + "Nobody told 10.66.77.88 about CVE-2019-77777."
)
WORDS = ("qztitle", "blorvexian", "qwumblefrotz", "qzbank", "10.66.77.88", "cve-2019-77777", "qzsecret-plan")
PATH = "qzsecret-plan/qzsecret-plan.md"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    home = SmallHome.ran(tmp_path / "home", {**TEXTS, PATH: SECRET})
    yield home
    home.platform.close()


def test_a_purged_document_is_in_no_byte_of_the_home(home: SmallHome) -> None:
    log = home.settings.home.logs / "daemon.log"
    log.write_text(f"failed on {PATH}: The qwumblefrotz committee met again and again.\nsomething else\n")
    with home.platform.ledger.writing() as connection:  # as the comparison of another index generation names it
        connection.execute(schema.generations.update().values(verdict={"paths": {"held": [PATH, "bear.txt"]}}))
    assert len({hit.split("/")[0] for hit in found_in(home.settings.home.root, WORDS)}) > 4
    before = home.published()
    (done,) = delete_documents(home.platform, [named("acme", "reports", PATH)], purge=True)
    assert found_in(home.settings.home.root, WORDS) == []
    with home.platform.ledger.reading() as connection:
        assert "bear.txt" in str(connection.execute(schema.generations.select()).all())
    assert home.published() == {path: version for path, version in before.items() if path != PATH}
    assert log.read_text().endswith("something else\n") and done.documents == 1
    made = home.computed()
    assert home.run()["published_documents"]["published"] == 0 and home.computed() == made


def purge(home: SmallHome, *paths: str) -> str:
    doomed = [named("acme", "reports", path) for path in paths or (PATH,)]
    (done,) = delete_documents(home.platform, doomed, purge=True)
    return done.certificate


def test_a_deleted_document_keeps_its_original_only(home: SmallHome) -> None:
    pins.take(home.platform.ledger, ttl_s=600.0)  # as a killed backup leaves it
    (done,) = delete_documents(home.platform, [named("acme", "reports", PATH)], purge=False)
    left = {hit.split("/")[0] for hit in found_in(home.settings.home.root, ["qwumblefrotz"])}
    with home.platform.ledger.reading() as connection:
        (stone,) = tombstones.of_collection(connection, "acme", "reports").values()
    assert stone.fingerprint == tombstones.ABSENT and home.platform.originals.exists(tombstone_key(stone))
    assert PATH not in home.published() and left <= {"originals", "indexes", "ledger"}
    certificate = json.loads(Path(done.certificate).read_bytes())
    assert not certificate["purged"] and set(certificate["collections"]["reports"]["found_after"].values()) == {0}
    assert home.run()["raw_documents"]["removed"] == 0


def test_the_certificate_names_what_went_and_is_valid_for_its_key_only(home: SmallHome) -> None:
    path = Path(purge(home))
    content, signature = path.read_bytes(), path.with_suffix(".sig").read_bytes()
    key = home.platform.certificates().public_key()  # type: ignore[misc]
    verify(content, signature, key)
    with pytest.raises(DataError, match="altered"):
        verify(content.replace(b'"purged": true', b'"purged": false'), signature, key)
    with pytest.raises(DataError, match="another key"):
        verify(content, signature, FolderCertificates(home.settings.home.root / "other").public_key())
    facts = json.loads(content)["collections"]["reports"]
    assert facts["stores"]["keyword"]["rows"] > 0 and facts["stores"]["graph"]["rows"] > 0
    assert facts["originals"]["versions"] == 1 and facts["lake"]["rows"] > 0 and facts["keys"]["removed"] == 1


def test_openssl_can_check_a_certificate(home: SmallHome) -> None:
    path = Path(purge(home))
    folder = path.parent
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", folder / "public-key.pem", "-rawin"]
    checked = subprocess.run(
        [*command, "-in", path, "-sigfile", path.with_suffix(".sig")], capture_output=True, text=True, check=True
    )
    assert "Verified Successfully" in checked.stdout


class ReadOnly:
    """A store that keeps every key."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def delete(self, key: str) -> None:
        raise PermanentError(f"removing {key}: the store is read-only")


def test_in_a_read_only_store_a_tombstone_stands_until_the_bytes_change(home: SmallHome) -> None:
    writable = home.platform
    home.platform = replace(writable, arrivals=ReadOnly(writable.arrivals))
    purge(home)
    (stone,) = home.platform.originals.keys("tombstones.d/")
    for _ in range(2):
        assert home.run()["raw_documents"]["added"] == 0 and PATH not in home.published()
    home.write(PATH, SECRET)  # the same bytes under another fingerprint
    home.run()
    assert PATH not in home.published()
    assert {hit.split("/")[0] for hit in found_in(home.settings.home.root, ["qwumblefrotz"])} == {"objects"}
    home.write(PATH, "It is about roses now.")
    home.run()
    assert PATH in home.published() and list(home.platform.originals.keys("tombstones.d/")) == []
    assert "reports" in stone[0]


def test_a_tombstone_ends_when_the_key_is_gone(home: SmallHome) -> None:
    home.platform = replace(home.platform, arrivals=ReadOnly(home.platform.arrivals))
    purge(home)
    home.remove(PATH)
    home.run()
    home.write(PATH, SECRET)
    home.run()
    assert PATH in home.published()


class Dead(BaseException):
    """The process was killed here."""


def dying_after(step: Callable[[Any], object]) -> Callable[[Any], None]:
    def die(of: Any) -> None:
        step(of)
        raise Dead

    return die


def test_a_purge_that_was_killed_at_any_step_is_finished_by_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SmallHome.ran(tmp_path / "home", {**TEXTS, PATH: SECRET})
    steps = ("_withdraw", "_delete_keys", "_collect", "_rewrite_segments", "_erase_stores", "_delete_originals",
             "_strike_out", "_read_back")  # fmt: skip
    for step in steps:
        with monkeypatch.context() as patch:
            patch.setattr(CollectionDeletion, step, dying_after(getattr(CollectionDeletion, step)))
            with pytest.raises(Dead):
                purge(home)
    with home.platform.ledger.reading() as connection:
        assert len(deletions.unfinished(connection)) == 1
    (done,) = finish_interrupted(home.platform)
    facts = json.loads(Path(done.certificate).read_bytes())["collections"]["reports"]
    assert facts["found_before"]["originals"] == 1 and facts["found_before"]["keyword rows"] > 0
    assert set(facts["found_after"].values()) == {0}
    assert found_in(home.settings.home.root, WORDS) == []
    assert finish_interrupted(home.platform) == []


def test_a_purged_collection_and_tenant_leave_nothing_behind(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home", {**TEXTS, PATH: SECRET})
    home.write("other.txt", "Nothing but roses and a garden.", collection="acme/flowers")
    with PartitionRun(home.platform, home.partition("acme/flowers").key, run_id="flowers") as run:
        all_steps(run)
    root = home.settings.home.root
    delete_collection(home.platform, "acme", "reports", purge=True)
    assert found_in(root, [*WORDS, "panda", "emotet", "bear group"]) == []
    assert list(home.published()) == ["other.txt"]
    done = delete_tenant(home.platform, "acme", purge=True)
    assert done.documents == 1 and home.published() == {}
    assert found_in(root, ["nothing but roses", "other.txt"]) == []
    with home.platform.ledger.reading() as connection:
        assert connection.execute(schema.partitions.select()).all() == []


def test_a_quarantined_document_is_purged_with_its_message(home: SmallHome) -> None:
    home.write("qzbroken-name.pdf", b"\x00\x01 qzbroken content")
    home.run()
    assert "qzbroken-name.pdf" in home.held()
    purge(home, "qzbroken-name.pdf")
    assert home.held() == {} and found_in(home.settings.home.root, ["qzbroken"]) == []


def test_searches_beside_a_purge_lose_nothing_else_and_a_run_waits_for_it(home: SmallHome) -> None:
    home.platform = replace(home.platform, search_time_limit_s=2.0)
    places = search_places(home.platform)
    done, seen = Event(), set[bool]()

    def found(path: str) -> bool | None:
        """Whether a search shows a document; nothing when it was late, as on a busy machine."""
        try:
            answer = search(places, "qwumblefrotz committee roses sun", tenant="acme")
        except TransientError:
            return None
        return None if answer.degraded else path in {hit.path for hit in answer.hits}

    def ask() -> None:
        while not done.is_set():
            seen.add(found("garden.txt") is not False)

    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(ask)
        home.write("new.txt", "A new rose.")
        with PartitionRun(home.platform, home.key, run_id="beside") as run:
            run.raw_documents()
            purging = pool.submit(purge, home)
            run.pages()
        purging.result()
        done.set()
        asking.result()
    with PartitionRun(home.platform, home.key, run_id="after") as run:
        all_steps(run)
    assert seen == {True} and not found(PATH)
    assert found_in(home.settings.home.root, WORDS) == [] and "new.txt" in home.published()


KILLED = """
import os, signal, sys
from pathlib import Path
from etl_assets.bindings import open_platform
from etl_assets.documents.deletion.steps import CollectionDeletion
from etl_assets.documents.deletion.orders import delete_documents, named
from etl_assets.settings import Settings

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

platform = open_platform(Settings(home_folder=sys.argv[1], search_time_limit_s=0.1, parser_processes=1))
setattr(CollectionDeletion, sys.argv[2], killed)
delete_documents(platform, [named("acme", "reports", sys.argv[3])], purge=True)
"""


def test_after_kill_9_the_lease_is_free_at_once_and_the_purge_is_finished(home: SmallHome) -> None:
    command = [sys.executable, "-c", KILLED, str(home.settings.home.root), "_read_back", PATH]
    died = subprocess.run(command, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    certificate = json.loads(Path(purge(home)).read_bytes())["collections"]["reports"]
    assert certificate["found_before"]["originals"] == 1 and set(certificate["found_after"].values()) == {0}
    assert found_in(home.settings.home.root, WORDS) == []
