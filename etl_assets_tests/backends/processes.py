"""Real processes for tests: started with the tests' own interpreter, awaited, or killed in the middle of their work."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def started(task: str, folder: Path, *numbers: int) -> "subprocess.Popen[str]":
    """``etl_assets_tests.backends.index_worker`` at work on ``folder``; its output is piped."""
    command = [sys.executable, "-m", "etl_assets_tests.backends.index_worker", task, str(folder), *map(str, numbers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(processes: "list[subprocess.Popen[str]]") -> None:
    """Wait for all of them, and fail with the errors of those that failed."""
    errors = [process.communicate(timeout=120)[1] for process in processes]
    failed = [error for process, error in zip(processes, errors, strict=True) if process.returncode]
    assert not failed, "\n".join(failed)


def killed_after(process: "subprocess.Popen[str]", lines: int) -> list[int]:
    """Kill -9 once ``lines`` numbers were printed; every number that was."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    rest, errors = process.communicate()
    assert all(said), errors
    return [int(line) for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")]
