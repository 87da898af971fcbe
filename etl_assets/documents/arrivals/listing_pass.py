"""One look at a collection, page by page: keys that differ from the ledger are entered there for a run to look at.

A look ends where time does, and the next one goes on from there, in this process or another. Nothing depends on the
order in which a store lists, nor on its staying as it is: a key is compared when it is seen, and is taken for gone
only when a whole pass, of however many looks, did not see it. Even that is a hint: the run looks for itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etl_assets.documents.arrivals.touched import as_touched, differing, let_in
from etl_assets.documents.arrivals.unusable_keys import hold_keys, let_go_of_keys
from etl_assets.documents.model import document_id
from etl_assets.documents.parameters import UpdateMode
from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger import listing_passes, objects, quarantine, touched
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import Ledger, sequence
from etl_assets.ledger.listing_passes import ListingPass
from etl_assets.ledger.touched import GONE
from etl_assets.protocols.objects import Arrivals, ListedPage, ObjectInfo, UnusableKey

_ENTERED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Look:
    """What one look did. ``listed`` counts usable keys, ``held`` those that cannot name a document.

    ``is_over`` when the pass has seen everything: the next look begins a new one.
    """

    listed: int
    held: int
    is_over: bool


def look_at(
    ledger: Ledger, store: Arrivals, places: Sequence[Partition], *, has_time: Callable[[], bool] = lambda: True,
    mode: UpdateMode = "auto",
) -> Look:  # fmt: skip
    """Go on with the pass over a collection, whose partitions are ``places``, for a page at least.

    Keys whose changes ``mode`` keeps out are not entered.

    Raises:
        TransientError: the store does not answer now; the next look goes on where this one stopped.
        PermanentError, ConfigError: it cannot be listed, or seems lost; the next look begins anew. Nothing is taken
            for gone.
    """
    look = _Looking(ledger, store, places, mode)
    try:
        while not look.is_over and (look.pages == 0 or has_time()):
            look.take_next()
    except TransientError:
        look.save()
        raise
    except EtlAssetsError:
        # Perhaps its position means nothing to the store any more.
        look.forget()
        raise
    if look.is_over:
        look.conclude()
    else:
        look.save()
    return Look(look.listed, look.held, look.is_over)


class _Looking:
    """One look while it goes on; ``position`` is behind the last page that was taken."""

    def __init__(self, ledger: Ledger, store: Arrivals, places: Sequence[Partition], mode: UpdateMode) -> None:
        self._ledger = ledger
        self._mode = mode
        self._store = store
        self._places = places
        self._tenant, self._collection = places[0].tenant, places[0].collection
        with ledger.reading() as connection:
            begun = listing_passes.begun(connection, places[0].cid)
            since = sequence(connection)
        self._pass = begun or ListingPass(places[0].cid, 0, 0, "", 0, since)
        self._following = store.pages(self._tenant, self._collection, after=self._pass.position)
        self._seen: set[bytes] = set()
        self._differ: dict[str, tuple[str, str]] = {}
        self._unusable: list[UnusableKey] = []
        self.position = self._pass.position
        self.is_over = False
        self.pages = self.listed = self.held = 0

    def take_next(self) -> None:
        """Compare the next page with the ledger."""
        page = next(self._following)
        self._compare(page)
        if len(self._differ) >= _ENTERED_AT_ONCE or len(self._unusable) >= _ENTERED_AT_ONCE:
            self._enter()
        self.pages += 1
        self.position, self.is_over = page.position, not page.position

    def _compare(self, page: ListedPage) -> None:
        skip = len(self._tenant) + len(self._collection) + 2
        now: dict[str, tuple[str, str]] = {}
        for entry in page.entries:
            if isinstance(entry, ObjectInfo):
                path = entry.key[skip:]
                now[document_id(self._tenant, self._collection, path)] = (path, entry.fingerprint)
            else:
                self._unusable.append(entry)
        self._differ.update(differing(self._ledger, now))
        self._seen.update(map(bytes.fromhex, now))
        self.listed += len(now)

    def _enter(self) -> None:
        found = as_touched(self._places, let_in(self._ledger, self._places, self._differ, self._mode))
        if found:
            with self._ledger.writing() as connection:
                touched.touch(connection, found)
        ids = hold_keys(self._ledger, self._tenant, self._collection, self._unusable)
        self._seen.update(map(bytes.fromhex, ids))
        self.held += len(ids)
        self._differ, self._unusable = {}, []

    def save(self) -> None:
        """Enter what was seen, so that another look can go on from here."""
        self._enter()
        if self.pages:
            with self._ledger.writing() as connection:
                listing_passes.go_on(connection, self._pass, self.position, self.listed, self._seen)

    def forget(self) -> None:
        """Enter what was seen; the next look begins anew."""
        self._enter()
        if self._pass.parts:
            with self._ledger.writing() as connection:
                listing_passes.end(connection, self._pass)

    def conclude(self) -> None:
        """Everything was seen: enter what was not, and is known, as gone."""
        self._enter()
        if self._has_all_that_was_seen():
            gone = self._unseen()
            if gone and not self._pass.listed + self.listed and (problem := self._store.seems_lost()):
                self.forget()
                raise PermanentError(problem)
            self._differ = gone
            self._enter()
            let_go_of_keys(self._ledger, self._tenant, self._collection, kept=_Ids(self._seen))
        self.forget()

    def _has_all_that_was_seen(self) -> bool:
        """Read what the looks before this one saw; ``False`` when another process ended the pass."""
        if self._pass.parts:
            try:
                with self._ledger.reading() as connection:
                    self._seen.update(listing_passes.seen(connection, self._pass))
            except LookupError:
                return False
        return True

    def _unseen(self) -> dict[str, tuple[str, str]]:
        """Documents, and keys that are held, that no page of the pass showed: (path, ``GONE``) by id.

        What was entered since the pass began is left to the next one: it may have come behind the listing's back.
        """
        cid = self._pass.cid
        with self._ledger.reading() as connection:
            known = objects.known_ids(connection, cid, up_to=self._pass.since)
            ids = [identity for identity in known if bytes.fromhex(identity) not in self._seen]
            paths = {identity: one.path for identity, one in objects.objects_of(connection, ids).items()}
        for identity, row in quarantine.held_at(self._ledger, quarantine.RAW_STAGE, cid).items():
            if bytes.fromhex(identity) not in self._seen:
                paths[identity] = row.path
        return {identity: (path, GONE) for identity, path in paths.items()}


class _Ids:
    """Ids in hex, kept as bytes."""

    def __init__(self, ids: set[bytes]) -> None:
        self._ids = ids

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, str) and bytes.fromhex(identity) in self._ids
