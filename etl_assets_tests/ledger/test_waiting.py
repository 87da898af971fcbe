"""What is tried again while a server is away, and for how long."""

import pytest
from sqlalchemy.exc import OperationalError

from etl_assets.ledger.waiting import begun


class _Server:
    """Refuses so many times."""

    def __init__(self, refusals: int) -> None:
        self.left = refusals
        self.asked = 0

    def begin(self) -> str:
        self.asked += 1
        if self.asked <= self.left:
            raise OperationalError("BEGIN", {}, Exception("starting up"))
        return "begun"


def test_a_server_that_comes_back_in_time_is_waited_for() -> None:
    server = _Server(3)
    assert begun(server.begin, may_pass=lambda e: True, patience_s=60.0) == "begun"
    assert server.asked == 4


def test_a_refusal_that_will_not_pass_is_met_once() -> None:
    server = _Server(3)
    with pytest.raises(OperationalError):
        begun(server.begin, may_pass=lambda e: False, patience_s=60.0)
    assert server.asked == 1


def test_patience_ends() -> None:
    server = _Server(1_000_000)
    with pytest.raises(OperationalError, match="starting up"):
        begun(server.begin, may_pass=lambda e: True, patience_s=0.5)
    assert 1 < server.asked < 1_000
