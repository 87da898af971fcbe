"""Vectors and scores that depend on the text alone, for servers that have no model."""

import hashlib
import random


def vector_of(text: str, dimension: int, *, salt: str) -> list[float]:
    """A vector of any length but zero; the same text and ``salt`` give the same one, at every dimension a prefix."""
    chance = random.Random(hashlib.blake2b(f"{salt}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest())
    return [chance.uniform(-1.0, 1.0) for _ in range(dimension)]


def score_of(query: str, text: str) -> float:
    """The share of the query's words that the text has, with a little of its own so that no two are equal."""
    words = set(query.lower().split())
    share = len(words & set(text.lower().split())) / max(len(words), 1)
    own = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=2).digest(), "big")
    return 0.9 * share + 0.1 * own / 65536


def tokens_of(text: str) -> int:
    """Tokens as a server counts them: words."""
    return len(text.split()) + 1
