"""Which installation this is, without making a ledger: to compare with the marks that hosted stores carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_assets.errors import EtlAssetsError

if TYPE_CHECKING:
    from etl_assets.hosted_bindings import Connections


def known_installation(hosted: Connections) -> str | None:
    """The id in the ledger; "" where there is no ledger or no id yet, ``None`` when the ledger cannot be read."""
    from etl_assets.hosted_bindings import pools_transactions
    from etl_assets.ledger.probes import postgres_installation, sqlite_installation

    place = hosted.settings.postgres
    try:
        if place is None:
            return sqlite_installation(hosted.settings.home.ledger_file)
        url = hosted.text(place.url)
        return postgres_installation(url, transaction_pooling=pools_transactions(url, place.pooling))
    except EtlAssetsError:
        return None  # the probe of the ledger says why
