"""Writing an x over each letter of what names or quotes a document, wherever programs have told of it."""

import json
import re
from collections.abc import Collection, Iterator

QUOTED_WORDS = 5
"""So many consecutive words of a document are a quotation of it."""

_WORD = re.compile(r"(?:\w\x00*)+")
_SPACE = re.compile(r"\\[ntrbf]")
_LETTER = re.compile(r"\\u([0-9a-fA-F]{4})")
_CROSSED = re.compile(r"\\u[0-9a-fA-F]{4}|\\[ntrbf]|\w+?(?=\\u|\W|$)")
_PLAIN = frozenset({"true", "false", "null", "none"})


class Blanking:
    """Finds ``names`` and quotations of ``texts``, and writes an x over each of their letters."""

    def __init__(self, names: Collection[str], texts: Collection[str]) -> None:
        spelled = {
            one for name in names for one in (name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1])
        }
        longest = sorted((one for one in spelled if one), key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, longest))) if longest else None
        self._quotes = {quote for text in texts for quote, _, _ in _quotes(text)}

    def __call__(self, text: str) -> tuple[str, int]:
        """``text`` with as many bytes as before, and how many passages were blanked."""
        spans = [(m.start(), m.end()) for m in self._names.finditer(text)] if self._names else []
        if self._quotes:
            spans += [(start, end) for quote, start, end in _quotes(text) if quote in self._quotes]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        parts, at = [], 0
        for start, end in merged:
            parts += [text[at:start], _CROSSED.sub(_crossed, text[start:end])]
            at = end
        return "".join([*parts, text[at:]]), len(merged)


def _crossed(word: re.Match[str]) -> str:
    text = word[0]
    if text.startswith("\\"):
        return "\\u0078" if text[1] == "u" else text
    if text.isdecimal() or text.lower() in _PLAIN:
        return text  # a number or a constant of JSON: a record must stay readable
    return "x" * len(text.encode("utf-8", "surrogateescape"))


def _quotes(text: str) -> Iterator[tuple[int, int, int]]:
    """(digest, start, end) of each run of ``QUOTED_WORDS`` words of which three at least are words and differ."""
    # Escapes of JSON become what they stand for, filled up so that every place stays where it is.
    plain = _LETTER.sub(lambda escape: chr(int(escape[1], 16)) + "\0" * 5, _SPACE.sub("  ", text))
    words = list(_WORD.finditer(plain))
    folded = [word[0].replace("\0", "").casefold() for word in words]
    counts = [len(word) > 2 and word.isalpha() and word not in _PLAIN for word in folded]
    for at in range(len(words) - QUOTED_WORDS + 1):
        part = folded[at : at + QUOTED_WORDS]
        if len({word for word, counted in zip(part, counts[at:], strict=False) if counted}) >= 3:
            yield hash(tuple(part)), words[at].start(), words[at + QUOTED_WORDS - 1].end()
