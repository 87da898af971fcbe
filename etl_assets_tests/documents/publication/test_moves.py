"""Settings that name another place for a store: what is told, refused and published anew."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.pending import is_up_to_date
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.moves import moved_stores, told_moves
from etl_assets.errors import ConfigError
from etl_assets.hosted_settings import PineconePlace
from etl_assets.search.query import search
from etl_assets_tests.documents.consistency.test_repair import shown
from etl_assets_tests.faults.chains import untidy
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn
from etl_assets_tests.small_homes import SmallHome, shared_pool
from etl_assets_tests.trivial import Home


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.ran(tmp_path / "home")


def lacking(platform: Platform) -> dict[str, str]:
    """What an answer says that it lacks, by source."""
    places = replace(search_places(platform), time_limit_s=20.0)
    found: dict[str, str] = {}
    for one in search(places, "bear").degraded:
        found[one.source] = f"{found.get(one.source, '')} {one.reason}"
    return found


@pytest.fixture
def pinecone() -> Iterator[Callable[[SmallHome], Platform]]:
    """Opens the same home with its vectors in Pinecone."""
    platforms: list[Platform] = []
    with PineconeStandIn() as server:

        def opened(home: SmallHome) -> Platform:
            place = PineconePlace("test-key", host=server.url)
            platforms.append(replace(open_platform(replace(home.settings, pinecone=place)), parsers=shared_pool))
            return platforms[-1]

        yield opened
        for platform in platforms:
            platform.close()


def test_vectors_that_are_set_to_pinecone_are_told_of_and_published_there_and_back_again(
    home: SmallHome, pinecone: Callable[[SmallHome], Platform]
) -> None:
    before, embedded, here = shown(home), home.computed(), home.platform
    assert told_moves(here) == [] and is_up_to_date(here, home.partition())

    there = home.platform = pinecone(home)
    assert moved_stores(there, home.partition()) == {"vector": "LanceDB in the home"}
    assert not is_up_to_date(there, home.partition())
    (line,) = told_moves(there)
    assert "LanceDB in the home" in line and "Pinecone, indexes etl-assets-*" in line and "test-key" not in line
    assert "was published to LanceDB in the home" in lacking(there)["vector"]

    home.run()
    assert shown(home) == before and home.computed() == embedded, "nothing was embedded for it"
    assert told_moves(there) == [] and is_up_to_date(there, home.partition())
    assert "vector" not in lacking(there)

    home.write("bear.txt", "The bear group moved on, and so did EMOTET.")
    home.run()
    now = shown(home)
    home.platform = replace(open_platform(home.settings), parsers=shared_pool)
    home.run()
    assert shown(home) == now, "what the old place held from before is gone"
    assert untidy(cast("Home", home.platform)) == []


def test_a_lake_that_is_set_elsewhere_is_refused_until_its_files_are_there(home: SmallHome, tmp_path: Path) -> None:
    home.platform.close()
    shutil.move(home.settings.home.lake, tmp_path / "lake")
    from sqlalchemy import update

    from etl_assets.ledger import schema

    meta = schema.meta
    with home.platform.ledger.writing() as connection:
        connection.execute(update(meta).where(meta.c.key == "place.lake").values(value="s3://old/lake"))
    with pytest.raises(ConfigError, match="lake are set to the folder lake of the home, but .* at s3://old/lake"):
        open_platform(home.settings)
    shutil.copytree(tmp_path / "lake", home.settings.home.lake, dirs_exist_ok=True)
    open_platform(home.settings).close()
