"""What ``stages/test_segments.py`` claims, with the ledger on PostgreSQL, through a pooler."""

import pytest

from etl_assets_tests.stages.test_segments import *  # noqa: F403  every test of that module is one of this one

pytestmark = [
    pytest.mark.usefixtures("ledgers_on_postgresql"),
    pytest.mark.parametrize("ledger_server", ["pooled"], indirect=True),
]
