"""What every test may use: the shared data in place, and one Hypothesis profile."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines differ and are busy: no test may fail for being slow, and a failing example must fail again.
settings.register_profile("etl", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("etl")

# A shell has jobs in the background ignore SIGINT, and what they start; Dagster then ignores SIGTERM as well.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def lean_stores() -> None:
    """As ``etl_assets_tests.lean_stores`` says; imported late, for coverage counts what a test imports."""
    from etl_assets_tests.lean_stores import lean

    lean()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """``shared_data("documents", "truth")``: that path below ETL_SHARED_DATA; the test is skipped where it is absent.

    The default is ``../shared/data`` beside the checkout.
    """
    root = Path(os.environ.get("ETL_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")

    def path(*parts: str) -> Path:
        found = root.joinpath(*parts)
        if not found.exists():
            pytest.skip(f"ETL_SHARED_DATA: {found} is not there")
        return found

    return path
