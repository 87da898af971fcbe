"""The pool: whatever one document does, its neighbours are parsed and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing import workers
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.parsing.worker import answer, serve
from etl_assets.documents.parsing.workers import ParseRequest, ParseResult, ParserPool
from etl_assets.errors import PermanentError
from etl_assets_tests.documents.parsing.misbehaving import parse as misbehave

MISBEHAVING = "etl_assets_tests.documents.parsing.misbehaving:parse"
LIMITS = ParsingLimits(time_limit_s=1.0, memory_limit_mb=64, size_limit_mb=1)


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note"
    path.write_text("some words")
    return path


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(processes=2, parser=MISBEHAVING) as pool:
        yield pool


def outcomes(pool: ParserPool, path: Path, *names: str) -> dict[str, str]:
    """Name -> the reason of its failure, or ``ok``."""
    requests = [ParseRequest(name, path, name) for name in names]
    results = list(pool.parse_many(requests, LIMITS))
    assert len(results) == len(names)
    return {result.document_id: "ok" if result.error is None else result.error.reason for result in results}


def test_a_hang_a_crash_and_growth_cost_only_themselves(pool: ParserPool, note: Path) -> None:
    good = [f"good {n}.txt" for n in range(6)]
    bad = {
        "hang": "time-limit",
        "crash": "crashed",
        "grow": "memory-limit",
        "allocate": "memory-limit",
        "bug": "crashed",
    }
    names = [name for pair in zip(good, bad, strict=False) for name in pair] + good[5:]
    assert outcomes(pool, note, *names) == {**bad, **dict.fromkeys(good, "ok")}


def test_errors_name_the_document_and_the_way_out(pool: ParserPool, note: Path) -> None:
    requests = [ParseRequest("1", note, name) for name in ("crash.pdf", "bug.pdf")]
    messages = sorted(str(result.error) for result in pool.parse_many(requests, LIMITS))
    assert "bug.pdf: the parser failed at misbehaving.py:" in messages[0] and "ZeroDivisionError" in messages[0]
    assert "crash.pdf: crashed its parser (SIGSEGV)" in messages[1]


def test_a_document_is_not_blamed_for_what_an_earlier_one_did_to_the_process(note: Path) -> None:
    with ParserPool(processes=1, parser=MISBEHAVING) as pool:
        assert outcomes(pool, note, "poison.txt", "victim.txt", "next.txt") == {
            "poison.txt": "ok", "victim.txt": "ok", "next.txt": "ok",
        }  # fmt: skip


def test_workers_are_kept_between_calls_and_replaced_when_worn(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pids(pool: ParserPool) -> list[str]:
        results = pool.parse_many([ParseRequest("1", note, "pid")], LIMITS)
        return [r.document.pages[0].text for r in results if r.document is not None]

    with ParserPool(processes=1, parser=MISBEHAVING) as pool:
        first, second = pids(pool), pids(pool)
        monkeypatch.setattr(workers, "RECYCLE_AFTER", 3)
        third, fourth = pids(pool), pids(pool)
    assert first == second == third != fourth


def test_an_idle_worker_that_died_is_replaced(note: Path) -> None:
    with ParserPool(processes=1, parser=MISBEHAVING) as pool:
        assert outcomes(pool, note, "a.txt") == {"a.txt": "ok"}
        os.kill(pool.worker_pids[0], signal.SIGKILL)
        assert outcomes(pool, note, "b.txt", "c.txt") == {"b.txt": "ok", "c.txt": "ok"}


def test_a_closed_pool_leaves_no_process_and_starts_again(note: Path) -> None:
    pool = ParserPool(processes=2, parser=MISBEHAVING)
    outcomes(pool, note, "a.txt", "b.txt")
    pids = pool.worker_pids
    pool.close()
    assert pids and not any(is_running(pid) for pid in pids)
    assert outcomes(pool, note, "a.txt") == {"a.txt": "ok"}
    pool.close()


def test_an_iterator_closed_early_kills_what_it_left(note: Path) -> None:
    with ParserPool(processes=2, parser=MISBEHAVING) as pool:
        results = pool.parse_many([ParseRequest("1", note, "a.txt"), ParseRequest("2", note, "hang")], LIMITS)
        next(results)
        pids = pool.worker_pids
        results.close()  # type: ignore[attr-defined]
        assert sum(is_running(pid) for pid in pids) == 1
        assert outcomes(pool, note, "b.txt") == {"b.txt": "ok"}


def test_requests_are_asked_for_only_when_a_worker_is_free(note: Path) -> None:
    asked: list[int] = []

    def requests() -> Iterator[ParseRequest]:
        for n in range(10):
            asked.append(n)
            yield ParseRequest(str(n), note, "a.txt")

    with ParserPool(processes=2, parser=MISBEHAVING) as pool:
        for done, _ in enumerate(pool.parse_many(requests(), LIMITS), 1):
            assert len(asked) <= done + 2


def test_two_threads_may_share_a_pool(pool: ParserPool, note: Path) -> None:
    found: list[dict[str, str]] = []
    names = [f"{n}.txt" for n in range(20)]
    threads = [threading.Thread(target=lambda: found.append(outcomes(pool, note, *names))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [dict.fromkeys(names, "ok")] * 2


def test_size_is_judged_before_reading(pool: ParserPool, tmp_path: Path) -> None:
    large, missing = tmp_path / "large", tmp_path / "missing"
    with large.open("wb") as file:
        file.truncate((1 << 20) + (1 << 20))
    requests = [ParseRequest("1", large, "large.txt"), ParseRequest("2", missing, "missing.txt")]
    results = pool.parse_many(requests, LIMITS)
    assert {r.document_id: r.error.reason for r in results if r.error} == {"1": "too-large", "2": "unreadable"}


def test_workers_that_cannot_start_are_said_to(note: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ParserPool(processes=1, parser="etl_assets_absent:parse") as pool:
        with pytest.raises(PermanentError, match="before they are ready"):
            list(pool.parse_many([ParseRequest("1", note, "a.txt")], LIMITS))
        assert not pool.worker_pids
    assert "etl_assets_absent" in capfd.readouterr().err


PARENT = """
import sys
from pathlib import Path
from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.workers import ParseRequest, ParserPool
pool = ParserPool(processes=2, parser=sys.argv[2])
note = Path(sys.argv[1])
results = pool.parse_many([ParseRequest(n, note, n) for n in ("a.txt", "b.txt", "hang", "c.txt")], ParsingLimits())
for _ in range(3):
    next(results)
print(*pool.worker_pids, flush=True)
next(results)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent_even_in_the_middle_of_a_document(
    note: Path, repository: Path, ending: signal.Signals
) -> None:
    command = [sys.executable, "-c", PARENT, str(note), MISBEHAVING]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert parent.stdout is not None
    with parent.stdout as out:
        pids = [int(pid) for pid in out.readline().split()]
    assert len(pids) == 2 and all(is_running(pid) for pid in pids)
    parent.send_signal(ending)
    parent.wait()
    for pid in pids:
        wait_for_end(pid)


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie that its new parent has yet to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int) -> None:
    """Block until a process that is not our child has ended; fail after a minute."""
    import select

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 60)[0], f"process {pid} lives on"
    finally:
        os.close(descriptor)


def test_a_worker_answers_in_json_whatever_happens(note: Path) -> None:
    def reason(name: str) -> str:
        request = {
            "path": str(note),
            "name": name,
            "content_type": None,
            "time_limit_s": 5,
            "memory_limit_bytes": 1 << 30,
        }
        import json

        reply = json.loads(answer(request, misbehave))
        return str(reply.get("reason", reply.get("pages")))

    assert reason("bug") == "crashed"
    assert reason("fine.txt") == "[[1, 'some words', [], []]]"


def test_the_limits_in_the_worker_hold_by_themselves(note: Path, repository: Path) -> None:
    """Without a parent that watches: an address cap ends growth, an alarm ends a hang."""
    code = (
        "import json, sys; from etl_assets.documents.parsing import worker; worker.ALARM_GRACE_S = 0; "
        "from etl_assets_tests.documents.parsing.misbehaving import parse; "
        "request = dict(path=sys.argv[1], content_type=None, name=sys.argv[2]); "
        "request.update(memory_limit_bytes=1 << 26, time_limit_s=0.2); "
        "print(json.loads(worker.answer(request, parse))['reason'])"
    )

    def run(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(repository)}
        return subprocess.run(
            [sys.executable, "-c", code, str(note), name], capture_output=True, text=True, env=environment
        )

    assert run("allocate").stdout.strip() == "memory-limit"
    assert run("hang").returncode == -signal.SIGALRM


def test_a_worker_serves_until_its_socket_closes(note: Path) -> None:
    import json

    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs, parse))
    thread.start()
    request = {
        "path": str(note),
        "name": "a.txt",
        "content_type": None,
        "time_limit_s": 5,
        "memory_limit_bytes": 1 << 30,
    }
    try:
        assert json.loads(ours.recv_bytes()) == {"ready": True}
        for _ in range(2):
            ours.send_bytes(json.dumps(request).encode())
            assert json.loads(ours.recv_bytes())["pages"] == [[1, "some words", [], []]]
    finally:
        ours.close()
        thread.join()
        theirs.close()


def test_workers_import_the_parsers_and_nothing_heavy(repository: Path) -> None:
    code = "import sys, etl_assets.documents.parsing.worker, etl_assets.documents.parsing.parser; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=True
    ).stdout
    heavy = {"dagster", "polars", "lancedb", "pyarrow", "numpy", "openpyxl", "sqlalchemy", "pypdfium2", "pandas"}
    assert not heavy & set(loaded.split())


def test_results_come_as_they_finish(pool: ParserPool, note: Path) -> None:
    requests = [ParseRequest(name, note, name) for name in ("hang", "quick.txt")]
    results: list[ParseResult] = list(pool.parse_many(requests, LIMITS))
    assert [result.document_id for result in results] == ["quick.txt", "hang"]
    assert results[1].seconds >= 1.0
