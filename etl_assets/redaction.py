"""Texts without credentials: servers and client libraries repeat what they were given, in more spellings than one."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

NOT_SHOWN = "(not shown)"
_SHORTEST = 4
"""A shorter text is no credential, and taking it out would garble every message."""

_SHORTEST_ENCODED = 8


def redacted(text: str, *secrets: str) -> str:
    """``text`` without any of ``secrets``, for foreign text that may repeat what it was sent.

    They are found as they are, as in a URL, as in JSON, and inside base64 such as that of ``user:password``. Cut a
    text only afterwards: half a credential is not found.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            for spelling in spellings(secret):
                text = text.replace(spelling, NOT_SHOWN)
    return text


def spellings(secret: str) -> Iterator[str]:
    """How ``secret`` may stand in a text, the plain one first."""
    in_json = json.dumps(secret)[1:-1]
    yield from dict.fromkeys((secret, in_json, in_json.replace("/", "\\/"), quote(secret), quote(secret, safe="")))
    if len(secret) < _SHORTEST_ENCODED:
        return
    content = secret.encode(errors="surrogatepass")
    for before in range(3):
        # What stands before it shifts its bits; letters that share bits with a neighbour are left.
        whole = slice(-(-before * 8 // 6), (before + len(content)) * 8 // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + content).decode()[whole]


def shown_cause(error: BaseException, *secrets: str) -> BaseException | None:
    """``error`` to raise another from, so that its stack is kept; nothing when it, or its own cause, tells a secret."""
    chain: BaseException | None = error
    while chain is not None:
        said = f"{chain} {chain.args!r}"
        if redacted(said, *secrets) != said:
            return None
        chain = chain.__cause__ or chain.__context__
    return error
