"""The relations that one sentence states, by rule: a verb or noun between typed mentions, and a few fixed forms."""

import re
from collections.abc import Iterator

from etl_assets.documents.relations.attachment import (
    belongs_to_another,
    is_adjective,
    is_agent,
    is_noun,
    reaches_onto,
)
from etl_assets.documents.relations.certainty import Around, certainty_of, is_negated
from etl_assets.documents.relations.clauses import (
    Place,
    actor_before,
    clause_around,
    has_verb,
    is_acted_on,
    things_after,
)
from etl_assets.documents.relations.masking import MARK, Masked, mark
from etl_assets.documents.relations.references import Reference, reference_before
from etl_assets.documents.relations.statement import Kind, Named, Statement
from etl_assets.documents.relations.triggers import TRIGGERS, WEAK, Trigger

_BASE = 0.86
_PERIOD = re.compile(rf"\W*(?:During|In|Throughout|As part of|For)\s+(?:the\s+)?{mark('C')}\s*(?:\([^)]*\))?,", re.I)
"""``During <C>, the actors used <M>``: the campaign uses it, whoever the actors are."""
_PEOPLE = re.compile(
    rf"(?:{mark('G')}|\b(?:actors?|adversar(?:y|ies)|attackers?|group|hackers|operators?))\s*(?:\w+\s+){{0,2}}$"
)
_ELSEWHERE = re.compile(r"\s+(?:(?:\w+\s+){0,3}?(?:same|similar)\b|from\b)", re.IGNORECASE)
"""``uses the same routine as <M>`` and ``sent from <Q>`` state nothing about what follows."""
_INSERTED = re.compile(r",\s+(?:which|who|that)\b[^,]*,", re.IGNORECASE)
_BY = re.compile(r"\s*(?:[^\s;.]+\s+){0,5}?by\s+(?:[^\s;.,]+\s+){0,6}?" + f"(?P<mark>{mark('GCMU')})")
_NEAR = r"(?:[\w-]+\s+){0,4}"
_FORMS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    # <G>'s <M> backdoor
    ("USES", re.compile(f"(?P<a>{mark('G')})['\u2019]s?\\s+(?:[a-z-]+\\s+){{0,3}}(?P<b>{mark('MU')})")),
    # the use of <M> by <G>
    ("USES", re.compile(rf"\b(?:use|deployment|distribution|delivery) of {_NEAR}(?P<b>{mark('MUQ')})[^;.]{{0,40}}?\bby "
                        rf"{_NEAR}(?P<a>{mark('GC')})", re.I)),
    ("EXPLOITS", re.compile(rf"\b(?:exploitation|abuse|use) of {_NEAR}(?P<b>{mark('V')})[^;.]{{0,40}}?\bby "
                            rf"{_NEAR}(?P<a>{mark('GCMU')})", re.I)),
    # <L>-based group <G>; <L> threat actor <G>
    ("ATTRIBUTED_TO", re.compile(rf"(?P<b>{mark('L')})(?:['\u2019]s)?[ -](?:based|backed|linked|aligned|sponsored|nexus"
                                 r"|affiliated|state-sponsored|nation-state|government-backed|state-backed)"
                                 rf"(?:\s+[\w-]+){{0,4}}\s+(?P<a>{mark('G')})", re.I)),
    ("ATTRIBUTED_TO", re.compile(rf"(?P<b>{mark('L')})\s+(?:[\w-]+\s+){{0,2}}(?:threat actors?|APT|actors?|hackers"
                                 r"|hacking group|espionage group|threat group|group|cybercriminals)"
                                 rf"\s+(?P<a>{mark('G')})", re.I)),
    # <G>, an <L>-aligned espionage group
    ("ATTRIBUTED_TO", re.compile(rf"(?P<a>{mark('G')})\s*(?:,|\bis\b)\s*(?:an?|the)\s+(?:[\w-]+\s+){{0,2}}"
                                 rf"(?P<b>{mark('L')})(?:-[a-z]+)?\s+(?:[\w-]+\s+){{0,4}}(?:groups?|actors?|adversary|APT|hackers|crew|gang"
                                 r"|team)\b", re.I)),
    # <G> (<G>)
    ("RELATES_TO", re.compile(rf"(?P<a>{mark('G')})\s*\(\s*(?P<b>{mark('G')})")),
    ("RELATES_TO", re.compile(rf"(?P<a>{mark('M')})\s*\(\s*(?P<b>{mark('M')})")),
)  # fmt: skip


def statements(masked: Masked, start: int, end: int, references: Reference) -> list[Statement]:
    """What the sentence ``page[start:end]`` states, in order of subject and object; the surest reading of each pair."""
    best: dict[tuple[Kind, str, str], Statement] = {}
    for one in (
        *_by_verb(masked, start, end, references),
        *_by_form(masked, start, end),
        *_severities(masked, start, end),
    ):
        if one.subject.entity_id == one.object.entity_id:
            continue
        key = (one.kind, one.subject.entity_id, one.object.entity_id)
        if key not in best or best[key].confidence < one.confidence:
            best[key] = one
    specific = {(subject, other) for kind, subject, other in best if kind != "RELATES_TO"}
    return sorted(one for key, one in best.items() if key[0] != "RELATES_TO" or key[1:] not in specific)


def _by_verb(masked: Masked, start: int, end: int, references: Reference) -> Iterator[Statement]:
    letters = {match.group(1) for match in MARK.finditer(masked.text)}
    for trigger in TRIGGERS:
        if letters.isdisjoint(trigger.objects):
            continue
        for verb in trigger.form.finditer(masked.text):
            yield from _active(masked, start, end, trigger, verb, references)
        if trigger.passive is not None and not letters.isdisjoint(trigger.subjects):
            for verb in trigger.passive.finditer(masked.text):
                yield from _passive(masked, start, end, trigger, verb)


def _active(
    masked: Masked, start: int, end: int, trigger: Trigger, verb: re.Match[str], references: Reference
) -> Iterator[Statement]:
    text = masked.text
    acting = trigger.kind in ("USES", "TARGETS", "EXPLOITS")
    if acting and (is_acted_on(text, verb) or is_adjective(text, verb)):
        return
    near = 30 if WEAK.search(verb.group()) else 90 if trigger.kind == "TARGETS" else 70
    into = trigger.kind == "TARGETS"
    things = list(things_after(text, verb.end(), trigger.objects, into=into, reach=near))
    if not things or _ELSEWHERE.match(text, verb.end()):
        return
    if acting and is_noun(text, verb) and not reaches_onto(text, verb, things[0].mark):
        return
    actor = actor_before(text, verb, trigger.subjects, straight=trigger.kind in ("TARGETS", "EXPLOITS"))
    subject, weight, method = None, 1.0, "rule"
    if actor is not None:
        subject, weight = masked.named(actor.mark), actor.weight
    elif acting:
        subject, weight, method = *reference_before(text, verb.start(), trigger.subjects, references), "reference"
    period = _PERIOD.match(text) if trigger.kind == "USES" else None
    if period is not None and (subject is None or actor is not None):
        campaign = MARK.search(text)
        if campaign is not None and _PEOPLE.search(text, campaign.end(), verb.start()):
            for thing in things:
                words = clause_around(text, 0, thing.mark.start())
                named = masked.named(campaign), masked.named(thing.mark)
                yield _statement("USES", *named, words, 0.9 * thing.weight, verb.group(), "rule", start, end)
    if subject is None:
        return
    first = actor.mark.start() if actor is not None else verb.start()
    for thing in things:
        words = clause_around(text, first, thing.mark.start())
        yield _statement(
            trigger.kind,
            subject,
            masked.named(thing.mark),
            words,
            weight * thing.weight,
            verb.group(),
            method,
            start,
            end,
        )


def _passive(masked: Masked, start: int, end: int, trigger: Trigger, verb: re.Match[str]) -> Iterator[Statement]:
    text = masked.text
    by = _BY.match(text, verb.end())
    if by is None:
        return
    actor = MARK.match(text, by.start("mark"))
    begin = max(0, verb.start() - 120)
    main = _INSERTED.sub(lambda inserted: " " * len(inserted.group()), text[begin : verb.start()])
    places = [one.start() + begin for one in MARK.finditer(main) if one.group(1) in trigger.objects]
    marks = [one for one in MARK.finditer(text, begin, verb.start()) if one.start() in places]
    before = [one for one in marks if not is_agent(text, one)]
    if actor is None or actor.group(1) not in trigger.subjects or not before:
        return
    gap = MARK.sub("", main[before[-1].end() - begin :]).strip()
    if belongs_to_another(gap, verb):
        return
    said = text[by.start() : by.start("mark")]
    if has_verb(said) or re.search(r"\b(?:that|who|which|same)\b", said):
        return
    if len(gap) > 60 or re.search(r";|\.\s|\bbut\b|\bwhile\b", gap) or has_verb(gap):
        return
    for doer in things_after(text, by.start("mark"), trigger.subjects, into=False):
        for thing in _listed_before(text, before):
            words = clause_around(text, thing.mark.start(), doer.mark.start())
            named = masked.named(doer.mark), masked.named(thing.mark)
            yield _statement(trigger.kind, *named, words, thing.weight * doer.weight, verb.group(), "rule", start, end)


def _listed_before(text: str, marks: list[re.Match[str]]) -> Iterator[Place]:
    """The last mark and those before it in one list with it."""
    weight, after = 1.0, None
    for one in reversed(marks):
        if (
            after is not None
            and re.fullmatch(r"\s*(?:,|and|or|,\s*and|/|&)\s*", text[one.end() : after.start()]) is None
        ):
            return
        yield Place(one, weight)
        weight, after = weight * 0.96, one


def _by_form(masked: Masked, start: int, end: int) -> Iterator[Statement]:
    for kind, form in _FORMS:
        for match in form.finditer(masked.text):
            subject, other = (MARK.match(masked.text, match.start(group)) for group in ("a", "b"))
            if subject is not None and other is not None:
                words = clause_around(masked.text, match.start(), match.end())
                yield _statement(
                    kind,
                    masked.named(subject),
                    masked.named(other),
                    words,
                    0.92,
                    MARK.sub("", match.group()).strip(),
                    "rule",
                    start,
                    end,
                )


def _severities(masked: Masked, start: int, end: int) -> Iterator[Statement]:
    """Each severity belongs to the vulnerability named nearest before it in the sentence, else to the first."""
    flaws = [one for one in MARK.finditer(masked.text) if one.group(1) == "V"]
    for one in MARK.finditer(masked.text):
        if one.group(1) == "Y" and flaws:
            flaw = max(
                (flaw for flaw in flaws if flaw.start() < one.start()), key=lambda flaw: flaw.start(), default=flaws[0]
            )
            yield _statement(
                "RELATES_TO", masked.named(flaw), masked.named(one), Around("", ""), 1.0, "severity", "rule", start, end
            )


def _statement(
    kind: Kind,
    subject: Named,
    other: Named,
    words: Around,
    weight: float,
    trigger: str,
    method: str,
    start: int,
    end: int,
) -> Statement:
    base = _BASE - (0.1 if WEAK.search(trigger) else 0.0)
    sure = base * weight * (0.5 + 0.5 * min(subject.confidence, other.confidence))
    return Statement(
        start, end, kind, subject, other, is_negated(words), certainty_of(words.clause), round(sure, 3),
        MARK.sub("", trigger).strip().lower(), method,
    )  # fmt: skip
