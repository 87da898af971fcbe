"""Schedules of faults over the whole product: whatever happened, a run and a repair end equal to a clean build.

``python -m etl_assets_tests.faults.schedule --seed N`` plays one of them, and ``benchmarks/fault_schedules.py`` many.
"""

from pathlib import Path

import pytest

from etl_assets_tests.faults.schedule import play
from etl_assets_tests.faults.steps import DAMAGE, EMBEDDED_ONLY, EVERYWHERE, RUNS, drawn

SEEDS = (13,)
"""More are in ``real/test_fault_schedules.py``; a seed that failed once stays there, with the number of its steps."""


def test_a_seed_gives_one_schedule_and_hosted_homes_get_only_what_they_can_do() -> None:
    assert drawn(5, 40) == drawn(5, 40) != drawn(6, 40)
    kinds = {step.kind for seed in range(60) for step in drawn(seed, 40)}
    assert kinds == {*EVERYWHERE, *EMBEDDED_ONLY} and kinds.issuperset((*RUNS, *DAMAGE))
    assert not EMBEDDED_ONLY.keys() & {step.kind for seed in range(60) for step in drawn(seed, 40, embedded=False)}


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_schedule_of_faults_every_store_equals_a_clean_build(seed: int, tmp_path: Path) -> None:
    play(seed, tmp_path)
