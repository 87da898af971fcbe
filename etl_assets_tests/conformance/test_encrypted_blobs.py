"""The suite of blobs over encrypted ones in a folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.protocols.objects import Blobs
from etl_assets_tests.backends.sealing import encrypted
from etl_assets_tests.conformance.test_blobs import *  # noqa: F403
from etl_assets_tests.conformance.test_blobs import blobs as blobs


@pytest.fixture
def build() -> Callable[[Path], Blobs]:
    return encrypted
