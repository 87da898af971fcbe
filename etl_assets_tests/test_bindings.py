"""Opening what the settings name."""

import os
from pathlib import Path

import pytest

from etl_assets.bindings import open_platform
from etl_assets.errors import ConfigError
from etl_assets.settings import Settings


def test_a_platform_that_cannot_be_opened_leaves_no_connection_to_its_ledger(tmp_path: Path) -> None:
    def held() -> int:
        opened = (os.path.realpath(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd"))
        return sum(one.startswith(str(tmp_path)) and "ledger.sqlite" in one for one in opened)

    settings = Settings.from_environment({"ETL_HOME": str(tmp_path / "home")})
    platform = open_platform(settings)
    assert held()
    platform.close()
    assert not held()
    settings.home.collections_file.write_text("defaults: {embedder: {kind: nonsense}}\n")
    with pytest.raises(ConfigError) as caught:
        open_platform(settings)
    assert caught.value.__traceback__ is not None  # its frames keep what was opened from the collector
    assert not held()
