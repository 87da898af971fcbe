"""What trying a backend has found, filled in as it is found: a probe that stops half-way keeps what it learnt."""

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from etl_assets.errors import EtlAssetsError, TransientError

LATENCY_SAMPLES = 3
PROBE = ".etl-assets-probe"
"""What everything that a probe writes begins with: names that begin with a dot are no documents."""


@dataclass(slots=True)
class Finding:
    """What a probe found. It holds no secret: ``problems`` are messages of errors, which never do.

    ``latency_ms`` is the median of LATENCY_SAMPLES of the cheapest request. ``rights`` are those that were tried.
    ``problems`` say what to do; none of them is a backend that can be used.
    """

    version: str = ""
    latency_ms: float | None = None
    rights: dict[str, bool] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def time(self, request: Callable[[], object]) -> None:
        """Ask LATENCY_SAMPLES times; raises whatever ``request`` raises."""
        took: list[float] = []
        for _ in range(LATENCY_SAMPLES):
            began = time.perf_counter()
            request()
            took.append((time.perf_counter() - began) * 1000)
        self.latency_ms = round(statistics.median(took), 1)

    def attempt(self, right: str, act: Callable[[], object]) -> bool:
        """Whether ``act`` went well, noted under ``right``; a refusal is a problem and no exception.

        Raises:
            TransientError: the backend does not answer, which tells nothing about rights.
        """
        try:
            act()
        except TransientError:
            raise
        except EtlAssetsError as e:
            self.rights[right] = False
            self.problems.append(str(e))
            return False
        self.rights[right] = True
        return True


Probe = Callable[[Finding], None]
"""Fills in a finding; raises the four kinds of our errors for what stops it."""


def number_of(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (7, 0, 15) for ``7.0.15-1``; () where there are none."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def too_old(product: str, version: str, oldest: tuple[int, ...]) -> str:
    """What to say of a server older than ``oldest``; "" for one that is not, or whose version cannot be read."""
    numbers = number_of(version)
    if not numbers or numbers >= oldest:
        return ""
    return f"{product} is {version}: {'.'.join(map(str, oldest))} or newer is needed; update the server"
