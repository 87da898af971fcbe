"""What a schedule of faults is made of: drawn from a seed alone, before anything is played."""

import random
from dataclasses import dataclass

STEPS = 14
PLACE = ("acme", "reports")
PATHS = ("a.txt", "b.md", "deep/c.txt", "d.txt", "e.txt")
CHUNKINGS = ("{mode: fixed, size: 40, overlap: 0}", "{mode: fixed, size: 90, overlap: 0}")
WORDS = ("EMOTET", "TRICKBOT", "APT28", "APT29", "CVE-2021-44228", "roses", "a factory", "the bank", "10.20.30.40")
STORES = ("vector", "keyword", "graph")
EVERYWHERE = {
    "put": 12, "remove": 3, "rename": 2, "chunking": 2, "promote": 1, "roll_back": 1, "collect": 1,
    "run": 6, "killed_run": 7, "failed_run": 3, "faulty_run": 6, "full_run": 2, "overtaken_run": 4, "two_runs": 1,
    "clock_back": 1, "repair": 2, "killed_repair": 2, "lose_rows": 2, "ghosts": 1, "alter": 1, "drop_index": 1,
    "lose_segment": 2, "cut_segment": 1, "lose_original": 1, "reopen": 1,
    "delete": 2, "killed_delete": 2,
}  # fmt: skip
"""What may happen, and how often beside the others."""
RUNS = ("killed_run", "failed_run", "faulty_run", "full_run", "overtaken_run", "two_runs", "clock_back", "alter")
"""These mostly come after a document that was put: a run without anything to do writes nothing that could fail."""
DAMAGE = (
    "lose_rows", "ghosts", "alter", "drop_index", "lose_segment", "cut_segment", "lose_original",
    "ledger_of_yesterday", "indexes_of_yesterday", "restore",
)  # fmt: skip
"""A repair mostly comes at once: until then nobody can say what searches should answer. After a lost original always:
when its key has other bytes by then, nobody has it any more."""
EMBEDDED_ONLY = {"yesterday": 3, "ledger_of_yesterday": 2, "indexes_of_yesterday": 2, "backup": 3, "restore": 2}
"""These copy files of the ledger or the indexes, which only embedded backends have, or bring a home back in place."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. ``seed`` decides what is drawn inside it; where there is a ``text``, it is put first."""

    kind: str
    seed: int
    path: str = ""
    text: str = ""

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.kind, self.path, repr(self.text) if self.text else "") if part)


def drawn(seed: int, steps: int = STEPS, *, embedded: bool = True) -> list[Step]:
    """The schedule of a seed. It begins with some documents, so that there is something to break."""
    source = random.Random(seed)
    kinds = EVERYWHERE | (EMBEDDED_ONLY if embedded else {})
    begun = [_step("put", source) for _ in range(3)] + [Step("run", 0)]
    while len(begun) < steps + 4:
        kind = source.choices(list(kinds), list(kinds.values()))[0]
        begun.append(_step(kind, source))
        if kind == "lose_original" or (kind in DAMAGE and source.random() < 0.6):
            begun.append(_step("repair", source))
    return begun


def _step(kind: str, source: random.Random) -> Step:
    text = ""
    if kind == "put" or (kind in RUNS and source.random() < 0.8):
        lines = (f"{source.choice(WORDS)} in line {source.randint(0, 30)}" for _ in range(source.randint(1, 6)))
        text = "".join(f"{line}.\n" for line in lines)
    return Step(kind, source.randrange(2**31), source.choice(PATHS), text)
