"""Which installation this is, without making a ledger: to compare with the marks that hosted stores carry."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from etl_assets.errors import EtlAssetsError

if TYPE_CHECKING:
    from etl_assets.hosted_bindings import Connections

LIMIT_S = 3.0
"""A ledger that does not answer is not waited for any longer: other roles are told apart from it."""


def known_installation(hosted: Connections) -> str | None:
    """The id in the ledger; "" where there is no ledger or no id yet, ``None`` when the ledger cannot be read."""
    found: list[str] = []

    def ask() -> None:
        try:
            found.append(_stated(hosted))
        except EtlAssetsError:
            return  # the probe of the ledger says why

    thread = threading.Thread(target=ask, name="installation", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return found[0] if found else None


def _stated(hosted: Connections) -> str:
    from etl_assets.hosted_bindings import pools_transactions
    from etl_assets.ledger.probes import postgres_installation, sqlite_installation

    place = hosted.settings.postgres
    if place is None:
        return sqlite_installation(hosted.settings.home.ledger_file)
    url = hosted.text(place.url)
    return postgres_installation(url, transaction_pooling=pools_transactions(url, place.pooling))
