"""What must be true once nothing goes wrong any more: after a run or a repair a home equals a clean build."""

import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from etl_assets.bindings import search_places
from etl_assets.documents.consistency.drift import find_drift
from etl_assets.documents.consistency.verification import run_checks
from etl_assets.documents.generations import work as generation_work
from etl_assets.errors import ConfigError, EtlAssetsError
from etl_assets.ledger import generations, quarantine
from etl_assets.search.query import search
from etl_assets_tests.faults.chains import untidy
from etl_assets_tests.faults.scheduled_home import ScheduledHome, small_settings
from etl_assets_tests.faults.steps import PLACE
from etl_assets_tests.trivial import Home, contents

QUESTIONS = ("EMOTET", "line 7 of the bank", "roses in a factory")


def settle(home: ScheduledHome, source: random.Random) -> None:
    """A run, then a repair, or the other way round; neither is disturbed. Searches answer from then on."""
    home.note("settle")
    if home.damaged and source.random() < 0.5:
        _repair(home)
    try:
        home.run()
    except EtlAssetsError as error:
        assert home.damaged, f"nothing is damaged, and a run fails: {error}"
        home.note(f"   a run before the repair: {error}")
    _repair(home)
    home.damaged = False
    home.run()
    home.run()  # the first may have let another generation answer, which the next tidies up after


def _repair(home: ScheduledHome) -> None:
    report = home.repaired()
    assert report.left == [], f"the repair left {report.left}"
    assert report.embedded == 0 or home.lost_lake, "nothing of the lake was lost, and texts were embedded"


def assert_equals_a_clean_build(home: ScheduledHome, folder: Path) -> None:
    """Every store, the ledger and answers equal those of the same documents in a new home, and nothing is left over."""
    with suppress(ConfigError):  # nothing was kept for a rollback, which a clean build does not have
        generation_work.retire(home.platform, *PLACE)
    home.run()
    clean = ScheduledHome(folder, small_settings(folder / "home"), True)
    clean.decide(_chunking_that_answers(home))
    clean.platform.close()
    clean.open()
    try:
        for path, text in home.files.items():
            clean._write(path, text)
        clean.run()
        assert differences(contents(cast("Home", home.platform)), contents(cast("Home", clean.platform))) == []
        assert _answers(home) == _answers(clean)
    finally:
        clean.platform.close()
    assert untidy(cast("Home", home.platform)) == []
    assert quarantine.rows(home.platform.ledger) == []
    assert find_drift(home.platform, home.place).lines() == []
    assert [one for one in run_checks(home.platform, home.place) if not one.passed] == []
    _assert_nothing_is_left_to_do(home)


def _chunking_that_answers(home: ScheduledHome) -> str:
    """That of the live generation: who rolled back decided against the one of collections.yaml."""
    with home.platform.ledger.reading() as connection:
        known = generations.generations(connection, home.place.cid).values()
    (live,) = [one for one in known if one.state == "live"]
    assert live.settings is not None
    return f"{{mode: fixed, size: {live.settings['chunking']['size']}, overlap: 0}}"


def differences(home: Mapping[str, Any], clean: Mapping[str, Any]) -> list[str]:
    """What one of two homes holds and the other does not, in words, by store."""
    found = []
    for store in clean:
        ours, theirs = Counter(home[store]), Counter(clean[store])
        found += [f"{store}: too much: {one}" for one in (ours - theirs)]
        found += [f"{store}: lacking: {one}" for one in (theirs - ours)]
    return found


def _answers(home: ScheduledHome) -> list[Any]:
    places = replace(search_places(home.platform), time_limit_s=60.0)
    found = [search(places, question, limit=30) for question in QUESTIONS]
    assert not any(one.source != "ledger" for answer in found for one in answer.degraded)
    return [sorted((hit.path, hit.chunk_id, hit.start, hit.quote) for hit in one.hits) for one in found]


def _assert_nothing_is_left_to_do(home: ScheduledHome) -> None:
    before = sum(home.embedded_texts.values())
    report = home.run()
    done = report["published_documents"]
    assert (done["published"], done["repointed"], done["removed"], done["collected"]) == (0, 0, 0, 0)
    assert not any(report[stage].get("computed") for stage in ("pages", "chunks", "embeddings", "mentions"))
    assert sum(home.embedded_texts.values()) == before
