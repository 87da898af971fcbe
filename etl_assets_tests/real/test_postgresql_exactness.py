"""What ``stages/test_exactness.py`` claims, with the ledger on PostgreSQL, through a pooler."""

import pytest

from etl_assets_tests.stages.test_exactness import *  # noqa: F403  every test of that module is one of this one

pytestmark = [
    pytest.mark.usefixtures("ledgers_on_postgresql"),
    pytest.mark.parametrize("ledger_server", ["pooled"], indirect=True),
]
