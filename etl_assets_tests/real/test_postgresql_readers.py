"""What ``faults/test_readers.py`` claims, with the ledger on PostgreSQL, straight and through a pooler."""

import pytest

from etl_assets_tests.faults.test_readers import *  # noqa: F403  every test of that module is one of this one

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")
