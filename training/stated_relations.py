"""Relations that ATT&CK states about pairs of its objects, each with the sentence it cites, in two halves."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from training.annotated import DATA

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CITATION = re.compile(r"\(Citation:[^)]*\)")


@dataclass(frozen=True, slots=True)
class Stated:
    """``text`` as it reads to people; ``source_id`` and ``target_id`` are ATT&CK ids."""

    text: str
    kind: str
    source_id: str
    target_id: str


def stated_relations(half: str) -> Iterator[Stated]:
    """``train`` or ``test``, apart by a digest of the source: all that is said of one group is in one half.

    Relations without a sentence, and those between techniques, are left out.
    """
    with gzip.open(DATA / "attack-catalog" / "relationships.jsonl.gz", "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            text = re.sub(r"</?code>", "", _CITATION.sub("", _LINK.sub(r"\1", record.get("text") or "")))
            mine = "train" if hashlib.sha256(record["source_id"].encode()).digest()[0] % 2 else "test"
            if text.strip() and mine == half and record["type"] in ("uses", "attributed-to"):
                yield Stated(" ".join(text.split()), record["type"], record["source_id"], record["target_id"])
