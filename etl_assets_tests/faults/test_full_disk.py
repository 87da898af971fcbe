"""A disk that fills up at any point of a run: a clear PermanentError, nothing lost, and the next run completes."""

from pathlib import Path

import pytest

from etl_assets.errors import PermanentError
from etl_assets_tests.backends.disks import small_volume
from etl_assets_tests.faults.chains import ShapedChain, quick_home, untidy
from etl_assets_tests.trivial import Chain, Home, contents

VOLUME_BYTES = 24 * 1024 * 1024
ROOM = (0, 150_000, 300_000, 800_000, 1_200_000)
"""Bytes free when the run begins: each lets it get a little farther."""


def fill(ballast: Path, leave_bytes: int) -> None:
    """Fill the volume up to its last byte, then give some room back."""
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\xff" * 4096)
        except OSError:
            pass
        file.truncate(max(file.tell() - leave_bytes, 0))


def put_documents(home: Home) -> None:
    for i in range(40):
        lines = (f"line {i}.{n} ALPHA{n} of many words that fill a little room\n" for n in range(30))
        home.put(f"{i}.txt", "".join(lines))


@pytest.mark.parametrize("room", ROOM)
def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path, room: int) -> None:
    with small_volume(tmp_path / "disk", VOLUME_BYTES) as disk:
        home = quick_home(disk / "home")
        home.put("first.txt", "published before ALPHA\n")
        ShapedChain(home, run_id="before").run()
        put_documents(home)
        fill(disk / "ballast", room)
        with pytest.raises(PermanentError, match="space|full"):
            ShapedChain(home, run_id="during").run()
        assert ("first.txt", "word:ALPHA") in contents(home)["graph"], "what was published stays"  # type: ignore[operator]
        (disk / "ballast").unlink()
        ShapedChain(home, run_id="after").run()
        clean = quick_home(tmp_path / "clean")
        clean.put("first.txt", "published before ALPHA\n")
        put_documents(clean)
        ShapedChain(clean).run()
        assert contents(home) == contents(clean)
        assert untidy(home) == []
        home.ledger.close()


def test_a_full_disk_under_the_real_indexes_too(tmp_path: Path) -> None:
    with small_volume(tmp_path / "disk", VOLUME_BYTES) as disk:
        home = Home.open(disk / "home")
        home.put("first.txt", "published before ALPHA\n")
        Chain(home, run_id="before").run()
        put_documents(home)
        for room in (200_000, 700_000):
            fill(disk / "ballast", room)
            with pytest.raises(PermanentError, match="space|full"):
                Chain(home, run_id=f"room for {room}").run()
            (disk / "ballast").unlink()
        Chain(home, run_id="after").run()
        assert len(contents(home)["ledger"]) == 41  # type: ignore[arg-type]
        assert untidy(home) == []
        home.ledger.close()
