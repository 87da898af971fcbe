"""Near-duplicates beside brute force, in one run: ``python benchmarks/near_duplicates.py [--documents 150]``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): real reports (AnnoCTR) and manuals, each also with some of its
words replaced (1, 3, 6, 12 and 25 % of them, by a seeded draw) and with a footer that all of them have. Truth is the
exact Jaccard similarity of every pair. Passages are windows of 120 words.

``recall`` and ``precision`` are of pairs at the threshold; ``proposed`` is how many pairs signatures put forward for
each that is right. Seconds are of CPU, of signatures and of pairs apart: signatures are kept, pairs are asked anew.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from etl_assets.search.shingles import candidates, hashes, jaccard, matrix, shingles, signature
from training.annotated import DATA, annoctr

SHARES = (0.01, 0.03, 0.06, 0.12, 0.25)
FOOTER = "This report is for members of the exchange. It may be shared inside your organisation, and with nobody else."


def texts(count: int) -> list[str]:
    files = sorted(path for path in (DATA / "documents" / "docs").rglob("*") if path.suffix in (".txt", ".md"))
    reports = [one.text for part in ("train", "dev") for one in annoctr(part)]
    found = [*reports, *(path.read_text(errors="replace") for path in files)]
    return [text for text in found if len(text) > 1500][:count]


def edited(text: str, share: float, rng: random.Random) -> str:
    words = text.split()
    return " ".join(rng.choice(words) if rng.random() < share else word for word in words)


def with_edits(originals: Sequence[str]) -> list[str]:
    rng = random.Random(11)
    return [f"{text}\n\n{FOOTER}" for one in originals for text in (one, *(edited(one, s, rng) for s in SHARES))]


def passages(originals: Sequence[str]) -> list[str]:
    words = [one.split() for one in originals]
    return [" ".join(one[at : at + 120]) for one in words for at in range(0, len(one) - 60, 120)]


def measure(name: str, sets: Sequence[frozenset[str]], thresholds: Sequence[float]) -> None:
    begun = time.process_time()
    exact = {
        (one, other): score
        for one in range(len(sets))
        for other in range(one + 1, len(sets))
        if (score := jaccard(sets[one], sets[other])) >= 0.4
    }
    brute = time.process_time() - begun
    begun = time.process_time()
    rows = matrix([signature(row) for row in hashes(sets)])
    signing = time.process_time() - begun
    for threshold in thresholds:
        begun = time.process_time()
        proposed = candidates(rows, threshold)
        found = {pair for pair in proposed if jaccard(sets[pair[0]], sets[pair[1]]) >= threshold}
        asking = time.process_time() - begun
        right = {pair for pair, score in exact.items() if score >= threshold}
        recall, precision = len(found & right) / max(len(right), 1), len(found & right) / max(len(found), 1)
        print(
            f"{name:9} {len(sets):6} {threshold:5.2f} {len(right):7} {recall:7.3f} {precision:9.3f} "
            f"{len(proposed) / max(len(right), 1):8.2f} {signing:8.2f} {asking:7.3f} {brute:7.1f} "
            f"{brute / (signing + asking):6.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=150, help="real documents, each in six forms")
    originals = texts(parser.parse_args().documents)
    print("what       texts thresh   pairs  recall precision proposed signing_s asking_s brute_s ratio")
    measure("document", [shingles(text) for text in with_edits(originals)], (0.5, 0.65, 0.8, 0.9))
    half = passages(originals[: max(1, len(originals) // 4)])
    measure("passage", [shingles(text) for text in with_edits(half)[:6000:2]], (0.5, 0.8))
    sizes = sum(len(text) for text in originals)
    begun = time.process_time()
    hashes([shingles(text) for text in originals])
    print(f"signing: {sizes / 1e6 / (time.process_time() - begun):.1f} million code points a second of CPU")


if __name__ == "__main__":
    main()
