"""One store of rows belongs to one installation: publications are numbered by each ledger, from 1 on."""

from collections.abc import Callable

from etl_assets.errors import ConfigError
from etl_assets.protocols.probes import Finding

Installation = Callable[[], str]
"""The id that the ledger of this installation keeps; asked for when a store is first written to."""


def foreign(what: str, remedy: str) -> ConfigError:
    """What to say of a store that carries the mark of another installation; ``remedy`` says which setting helps."""
    return ConfigError(
        f"{what} belongs to another installation of etl-assets, and the two would remove each other's rows: {remedy}"
    )


def judge_mark(found: Finding, what: str, stated: str | None, mine: str | None) -> None:
    """Add to ``found`` whose the store is, by its mark.

    ``mine`` is the id of this installation: "" while its ledger has none, ``None`` when the ledger cannot be read.
    """
    if mine is None:
        found.notes.append(f"whose {what} is cannot be told without the ledger")
    elif stated is None:
        found.notes.append(f"{what} belongs to no installation yet: the first write, or `etl-assets migrate`, marks it")
    elif stated == mine:
        found.notes.append(f"{what} belongs to this installation")
    else:
        found.problems.append(str(foreign(what, "choose a place that no other installation uses")))
