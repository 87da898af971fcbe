"""An import in a process of its own, which kills itself once so many objects were written."""

import os
import signal
from pathlib import Path

from etl_assets.backends.foreign_jsonl import JsonLines
from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.bindings import open_platform
from etl_assets.documents.importing.foreign_rows import FieldNames
from etl_assets.documents.importing.index import Wish, bring
from etl_assets.documents.importing.model import declared
from etl_assets.protocols.objects import ObjectAttributes
from etl_assets.settings import Settings


def run(home: str, file: str, done: int) -> None:
    """Import ``file``, one object after another, and die before the one after ``done``."""
    written = 0
    put = LocalArrivals.put

    def counted(self: LocalArrivals, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        nonlocal written
        if written == done:
            os.kill(os.getpid(), signal.SIGKILL)
        put(self, key, source, attributes=attributes)
        written += 1

    LocalArrivals.put = counted  # type: ignore[method-assign]  # this process lives for nothing else
    LocalArrivals.concurrency = 1  # type: ignore[assignment,method-assign]
    platform = open_platform(Settings(home_folder=home))
    names = FieldNames(document="source", page="page", order="n")
    bring(platform, JsonLines(Path(file)), Wish("acme", "reports", "jsonl", declared("static"), names))
