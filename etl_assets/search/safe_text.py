"""How words of a document become part of HTML or SVG."""

import re
from html import escape

_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def safe(text: str) -> str:
    """``text`` as it is shown: escaped, and without characters that turn the direction of others or cannot be shown."""
    return escape(_UNSHOWN.sub("\ufffd", text), quote=True)
