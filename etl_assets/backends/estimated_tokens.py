"""Token spans without a model's tokenizer, for hosted models whose vocabulary is not at hand.

A span holds at most ``SPAN_BYTES`` bytes of UTF-8. No tokenizer with a byte fallback makes more tokens than there are
bytes, so a text of ``n`` spans never has more than ``SPAN_BYTES * n`` real tokens: that is the guarantee which
``longest_read_whole`` uses. On ordinary English prose spans and real tokens are about as many.
"""

import re
from collections.abc import Sequence

SPAN_BYTES = 6
RULE = "estimated-1"
"""Part of a model's digest: it decides where a text that is too long is cut."""

# Words of ASCII letters with the space before them; digits; letters of two bytes; runs of one sign; white space; and
# every other code point by itself, which is three bytes or four.
_SPAN = re.compile(
    r"[ \t]?[A-Za-z]{1,5}|[0-9]{1,3}|[\u0080-\u07ff]{1,3}|([!-/:-@\[-`{-~])\1{0,5}|[ \t\r\n]{1,6}|.", re.DOTALL
)


class EstimatedTokenizer:
    """Tokenizer by character classes: the same for every model, and exact for none."""

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """(start, end) of each span, in code points, ``end`` exclusive; together they hold the whole text."""
        return [match.span() for match in _SPAN.finditer(text)]


def longest_read_whole(context_tokens: int) -> int:
    """The most spans a text may have so that a model of this context surely reads all of it."""
    return max(context_tokens // SPAN_BYTES, 1)
