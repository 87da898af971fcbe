"""Seeded schedules of changes, faults, kills, damage and repairs over the whole product; each can be played again.

``python -m etl_assets_tests.faults.schedule --seed 7`` plays one and says what it did; ``--only 0,3,5`` leaves the
other steps out, which is how a failing schedule is made small. The same seed, number of steps and kind of home give
the same schedule.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from etl_assets.settings import Settings
from etl_assets_tests.faults.scheduled_home import ScheduledHome, small_settings
from etl_assets_tests.faults.settling import assert_equals_a_clean_build, settle
from etl_assets_tests.faults.steps import STEPS, drawn


def play(seed: int, folder: Path, *, steps: int = STEPS, hosted: bool = False, only: Sequence[int] = ()) -> list[str]:
    """Play the schedule of a seed and hold the home to a clean build; what was done, in words.

    Raises:
        AssertionError: something was wrong. Its notes say what was done before.
    """
    with _home(folder, hosted) as home:
        try:
            for number, step in enumerate(drawn(seed, steps, embedded=not hosted)):
                if not only or number in only:
                    home.note(f"{number}. {step}")
                    home.take(step)
            settle(home, random.Random(seed))
            assert_equals_a_clean_build(home, folder / "clean")
        except BaseException as error:
            error.add_note("\n".join(["What was done:", *home.done]))
            raise
        return home.done


@contextmanager
def _home(folder: Path, hosted: bool) -> Iterator[ScheduledHome]:
    with _opener(folder, hosted) as opened:
        home = ScheduledHome(folder, *opened)
        try:
            yield home
        finally:
            home.platform.close()


@contextmanager
def _opener(folder: Path, hosted: bool) -> Iterator[tuple[Settings, bool]]:
    if not hosted:
        yield small_settings(folder / "home"), True
        return
    from etl_assets_tests.real.hosted_homes import hosted_environment

    (folder / "home").mkdir(parents=True)
    with hosted_environment(folder / "home") as env:
        yield Settings.from_environment({**env, "ETL_SEARCH_TIME_LIMIT_S": "0.1"}), False


def main(arguments: Sequence[str] | None = None) -> int:
    """Play one schedule in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--home", choices=("embedded", "hosted"), default="embedded")
    parser.add_argument("--only", default="", help="numbers of the steps to play, with commas; all of them if empty")
    chosen = parser.parse_args(arguments)
    only = [int(number) for number in chosen.only.split(",") if number]
    with TemporaryDirectory() as folder:
        done = play(chosen.seed, Path(folder), steps=chosen.steps, hosted=chosen.home == "hosted", only=only)
    print("\n".join([*done, "every store equals a clean build"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
