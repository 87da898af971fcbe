"""Searches of the product while things go wrong: each shows documents whole, one version of each, old or new."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from etl_assets.bindings import search_places
from etl_assets.errors import EtlAssetsError
from etl_assets.search.model import Hit
from etl_assets.search.query import search

if TYPE_CHECKING:
    from etl_assets_tests.faults.scheduled_home import ScheduledHome

QUESTION = "EMOTET in line 7 of the bank"
MOST = 200
"""More chunks than a home of a schedule has, so that every search shows everything."""


@dataclass
class Watcher:
    """``shown`` was shown by the last search; ``removed`` may be gone at any moment until a run has ended well."""

    home: "ScheduledHome"
    shown: frozenset[str] = frozenset()
    removed: set[str] = field(default_factory=set)
    looked: int = 0

    def look(self, what: str) -> None:
        """Search now, over stores without faults, and judge the answer unless the home is damaged."""
        places = replace(search_places(self.home.platform), time_limit_s=60.0)
        try:
            answer = search(places, QUESTION, limit=MOST)
        except EtlAssetsError:
            assert self.home.damaged, f"{what}: no answer"
            return
        self.looked += 1
        if self.home.damaged:
            return
        lacking = [one for one in answer.degraded if one.source != "ledger"]
        assert not lacking, f"{what}: {lacking}"
        by_path: dict[str, list[Hit]] = {}
        for hit in answer.hits:
            by_path.setdefault(hit.path, []).append(hit)
        for path, hits in by_path.items():
            self._assert_whole(what, path, hits)
        lost = self.shown - self.removed - by_path.keys()
        assert not lost, f"{what}: {sorted(lost)} were shown before, were not removed, and are not shown"
        self.shown = frozenset(by_path)

    def run_ended_well(self) -> None:
        """From here on what was removed is gone, and what is there stays."""
        if not self.home.damaged:
            self.shown -= self.removed
            self.removed.clear()
            self.look("after a run")
            assert self.shown == self.home.files.keys(), "a run that ended well has published what is there"

    def _assert_whole(self, what: str, path: str, hits: list[Hit]) -> None:
        assert len({(hit.version, hit.publication) for hit in hits}) == 1, f"{what}: two versions of {path}"
        text = "".join(hit.quote for hit in sorted(hits, key=lambda hit: hit.start))
        known = {_solid(one) for one in self.home.texts[path]}
        assert _solid(text) in known, f"{what}: {path} is shown as {text!r}, which no version of it was"


def _solid(text: str) -> str:
    return "".join(text.split())
