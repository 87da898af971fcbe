"""What every test may use: the shared data in place, and one Hypothesis profile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines differ and are busy: no test may fail for being slow, and a failing example must fail again.
settings.register_profile("etl", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("etl")

REPOSITORY = Path(__file__).resolve().parent.parent


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
