"""The bundled documents: real ones, in the formats that are read, for a first look without data of one's own.

Where each came from, under which licence and with which digest stands in ``ATTRIBUTION.md``.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

TENANT = "demo"
"""The tenant of every bundled document."""

QUESTIONS = (
    "How do attackers get into a network before they deploy ransomware?",
    "Which vulnerability in Cisco routers did APT28 exploit?",
)
"""Questions that the bundled documents answer."""

ENTITY = "APT28"
"""An entity that a bundled advisory is about."""


def documents() -> Mapping[str, Path]:
    """Every bundled file by its key, ``demo/{collection}/{name}``, sorted."""
    root = Path(str(files(__name__))) / "objects"
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
