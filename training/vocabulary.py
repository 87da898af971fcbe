"""Adds names that stand for a threat to the packaged vocabulary: ``python -m training.vocabulary``, in seconds.

ATT&CK says of its groups whether a state is behind them, and of its software whether it is ransomware. Their names
speak for ``apt-campaign`` and ``ransomware``, unless a name is also a plain word. The other terms of
``vocabulary.json`` are written by hand there, and stay.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from etl_assets.documents.mentions.catalogue import Entry
from etl_assets.documents.mentions.names import Proof, folded, needed_proof
from training.fitting import DATA, MODELS

NAMED = 0.6
"""What a name says: a report may mention it only to compare."""

_COUNTRIES = (
    "Chinese|Russian|Iranian|North Korean|Vietnamese|Pakistan|Indian|Lebanese|China|Russia|Iran|North Korea|PRC"
)
_STATE = re.compile(
    r"espionage|state[- ](?:sponsored|backed|aligned)|nation[- ]state|dissidents|military|"
    r"intelligence (?:service|agency|directorate|ministry)|government (?:entities|organi[sz]ations|targets)|"
    rf"(?:{_COUNTRIES})(?:'s|i)?[- ](?:based|nexus|government|state|linked|aligned|threat)|"
    r"attributed to (?:the )?(?:Chin|Russia|Iran|North)"
)
_MONEY = re.compile(r"financially[- ]motivated|financial gain|financial crime|cybercrim|criminal group")
_RANSOM = re.compile(r"\bransomware\b", re.IGNORECASE)


def names_of(record: Mapping[str, Any]) -> Iterator[str]:
    """Names that no plain word is spelled like, folded, of four letters and more."""
    kind = {"intrusion-set": "group"}.get(record["type"], record["type"])
    entry = Entry(record["attack_id"], kind, record["attack_id"], record["name"])
    for name in dict.fromkeys((record["name"], *record["aliases"])):
        plain = folded(name).strip()
        if len(plain) >= 4 and not plain.endswith("*") and needed_proof(entry, name) <= Proof.NONE:
            yield plain


def found() -> dict[str, list[str]]:
    """Names by label, in order."""
    with gzip.open(DATA / "attack-catalog" / "objects.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    by_label: dict[str, set[str]] = {"apt-campaign": set(), "ransomware": set()}
    for one in records:
        said = one["description"]
        if one["type"] == "intrusion-set" and _STATE.search(said) and not _MONEY.search(said):
            by_label["apt-campaign"].update(names_of(one))
        # The first sentence says what it is; later ones whom it resembles.
        if one["type"] == "malware" and _RANSOM.search(said[:140]):
            by_label["ransomware"].update(names_of(one))
    return {label: sorted(names) for label, names in by_label.items()}


def main() -> None:
    path = MODELS / "vocabulary.json"
    stored = json.loads(path.read_text("utf-8"))
    for label, names in found().items():
        terms = stored["threat"][label]["terms"]
        for name in names:
            terms.setdefault(name, NAMED)
        print(f"{label}: {len(names)} names")
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
