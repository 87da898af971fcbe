"""Every setting of a collection: what may be written for it, its unit and its meaning.

Defaults are those of ``documents/parameters.py`` and stand nowhere else.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType

from etl_assets.documents.model import SLOTS
from etl_assets.documents.parameters import UPDATE_MODES, CollectionSettings
from etl_assets.fields import Choice, Field, FolderPath, Line, Matching, Owner, Real, Switch, Whole
from etl_assets.protocols.hosted_models import JINA_CLASSIFIERS, JINA_DEFAULT, JINA_MODELS

MINILM_TOKENS = 254
"""What all-MiniLM-L6-v2 reads of a text: 256 positions, two of which are special tokens."""

OWN_LABEL = r"(?!(?:threat|sector|technique)/)[a-z0-9_-]{1,40}/[a-z0-9_-]{1,60}: *[^\s,:][^:]{0,2000}"
"""A label of a collection's own, its set before it, and its keywords after it."""

_MAX_TOKENS = 8192
_MAX_CHARACTERS = 100_000
_MAX_DIMENSION = 20_000
_MAX_CONTEXT = 1_000_000

SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "chunking": "How the text of pages is cut into the chunks that are embedded, found and cited.",
        "parsing": "What one document may cost (past a limit it goes to quarantine), and by what it is read.",
        "embedder": "Which model turns chunks and queries into vectors.",
        "classification": "What documents are said to be about: threats, sectors, your own labels, ATT&CK techniques.",
        "publications": "Which indexes the collection is published to.",
        "thresholds": "When a check warns.",
        "generations": "When the index of another embedder, chunking or reading, built beside the live one, answers.",
        "budget": "What hosted models may cost. A run that would need more stops before it sends anything.",
        "retention": "How long things are kept; `etl-assets history prune` and its schedule see to it.",
    }
)
"""What each group of settings is about."""

FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "chunking.mode": Field(
            Choice(("structure", "fixed")),
            "structure follows headings, paragraphs and sentences and counts the embedder's tokens; "
            "fixed makes windows of equal size and counts characters (Unicode code points).",
        ),
        "chunking.max_tokens": Field(
            Whole(16, _MAX_TOKENS),
            f"Longest chunk, in mode structure; the minilm embedder reads {MINILM_TOKENS} tokens at most.",
            "tokens",
        ),
        "chunking.overlap_tokens": Field(
            Whole(0, _MAX_TOKENS - 1),
            "How much of a chunk's end the next one repeats, in mode structure; below max_tokens.",
            "tokens",
        ),
        "chunking.size": Field(Whole(1, _MAX_CHARACTERS), "Length of a window, in mode fixed.", "characters"),
        "chunking.overlap": Field(
            Whole(0, _MAX_CHARACTERS - 1),
            "How much of a window's end the next one repeats, in mode fixed; below size.",
            "characters",
        ),
        "parsing.time_limit_s": Field(Real(1, 3600), "Longest time for one document.", "seconds"),
        "parsing.memory_limit_mb": Field(
            Whole(256, 1_048_576), "Most memory for the process that reads one document.", "MiB"
        ),
        "parsing.size_limit_mb": Field(Whole(1, 1_048_576), "Largest document that is opened at all.", "MiB"),
        "parsing.ocr": Field(
            Choice(("auto", "off")),
            "auto reads pictures, and pages of a PDF whose text layer is of no use, where tesseract is installed; off "
            "reads none.",
        ),
        "parsing.ocr_languages": Field(
            Matching(r"[A-Za-z]{2,8}(?:_[A-Za-z]{2,10}){0,2}", "a language as tesseract calls it, such as eng or deu"),
            "Languages of writing in pictures; the list is empty for all that are installed.",
            many=True,
        ),
        "parsing.pdf": Field(
            Choice(("pdfium", "poppler")),
            "Extractors of PDF, in the order in which they are tried: the next one where one fails or gives under 10 "
            "characters. pdfium finds headings and tables; poppler is the program pdftotext, where it is installed.",
            many=True,
        ),
        "parsing.html": Field(
            Choice(("main", "all")),
            "Extractors of HTML, likewise: main leaves out navigation and what else is around a text; all keeps it.",
            many=True,
        ),
        "embedder.kind": Field(
            Choice(("minilm", "static", "folder", "jina", "openai")),
            "minilm is all-MiniLM-L6-v2, in the package; static is wordllama, in the package, many times faster and "
            "less exact; folder is a model of your own. jina and openai send the texts to Jina AI, or to any endpoint "
            "that speaks OpenAI's API: where that is, and the key, are variables of the environment. Where another "
            "kind is chosen, the options of the kind it replaces hold no longer.",
        ),
        "embedder.path": Field(
            FolderPath(),
            "Folder with model.onnx and tokenizer.json, for kind folder; relative to the folder of this file.",
            unset="none",
        ),
        "embedder.model": Field(
            Line(200),
            f"Name of the hosted model: for kind jina one of {', '.join(JINA_MODELS)} (null is {JINA_DEFAULT}); "
            "for kind openai as the endpoint calls it.",
            unset="the default of kind jina",
        ),
        "embedder.dimension": Field(
            Whole(1, _MAX_DIMENSION),
            "Numbers in a vector: for kind jina what its vectors are cut to (null is the model's own); for kind openai "
            "what the endpoint's vectors have.",
            unset="the model's own",
        ),
        "embedder.late_chunking": Field(
            Switch(),
            "For kind jina: the chunks of a document are read together, so that each vector knows what stands around "
            "its chunk. A changed chunk costs its neighbours' vectors too.",
        ),
        "embedder.context_tokens": Field(
            Whole(16, _MAX_CONTEXT),
            "For kind openai: the longest text that the model reads (null is 8191).",
            "tokens",
            unset="8191",
        ),
        "embedder.shorten": Field(
            Switch(), "For kind openai: ask the endpoint to cut its vectors to dimension, for models that can."
        ),
        "embedder.document_prefix": Field(
            Line(500), "For kind openai: put before every chunk, for models trained with it.", unset="none"
        ),
        "embedder.query_prefix": Field(
            Line(500), "For kind openai: put before every question, for models trained with it.", unset="none"
        ),
        "classification.enabled": Field(Switch(), "Find labels at all."),
        "classification.classifier": Field(
            Choice(("local", "jina")),
            "Who scores the labels of a document: local is in the package; jina sends the beginning of every document "
            "to Jina AI, which is paid for within the budget, and the packaged one serves while it cannot be had. The "
            "sentences behind a label, and techniques, are the packaged one's. The key is a variable of the "
            "environment.",
        ),
        "classification.model": Field(
            Choice(JINA_CLASSIFIERS), "Which of Jina's models, for classifier jina.", unset=JINA_CLASSIFIERS[0]
        ),
        "classification.threats": Field(Real(0.01, 0.99), "Least score at which a document is about a threat."),
        "classification.sectors": Field(Real(0.01, 0.99), "Least score at which a document concerns a sector."),
        "classification.own": Field(Real(0.01, 0.99), "Least score at which a document has a label of your own."),
        "classification.techniques": Field(Switch(), "Name the ATT&CK techniques that sentences state."),
        "classification.labels": Field(
            Matching(OWN_LABEL, "SET/LABEL: KEYWORD, KEYWORD; names of a-z, 0-9, _ and -, another set"),
            "Labels of your own, each with the words that speak for it; * at the end of a word stands for any ending.",
            many=True,
        ),
        "publications.vector": Field(Switch(), "Search by meaning."),
        "publications.keyword": Field(Switch(), "Search by words."),
        "publications.graph": Field(Switch(), "Entities and their neighbours."),
        "thresholds.quarantine_share": Field(
            Real(0, 1), "A check warns when more than this share of a partition's documents is in quarantine."
        ),
        "generations.promote": Field(
            Choice(("auto", "manual")),
            "auto compares the new index when it is complete and lets it answer if it passes; manual waits for "
            "`etl-assets generation promote`.",
        ),
        "generations.missing_share": Field(
            Real(0, 1), "At most this share of the live documents may be in quarantine under the new settings."
        ),
        "generations.recall_drop": Field(
            Real(0, 1), "Recall of the collection's own sentences among the first 10 documents may fall by so much."
        ),
        "generations.ndcg_drop": Field(Real(0, 1), "nDCG@10 may fall by so much, where judged queries are given."),
        "generations.least_overlap": Field(
            Real(0, 1), "At least this share of the first 10 documents must be the same, over all queries."
        ),
        "generations.keep_previous_days": Field(
            Whole(0, 3650),
            "How long the index that was replaced is kept up to date, so that a rollback takes an instant; every "
            "change is embedded by both models meanwhile. 0 keeps nothing.",
            "days",
        ),
        "budget.money": Field(
            Real(0, 1e9),
            "What may be spent on hosted models in a day or month.",
            "in budget.currency",
            unset="no limit",
        ),
        "budget.tokens": Field(
            Whole(0, 10**15), "What may be sent to hosted models in a day or month.", "tokens", unset="no limit"
        ),
        "budget.per": Field(Choice(("day", "month")), "How long a budget is for; days and months begin in UTC."),
        "budget.scope": Field(
            Choice(("tenant", "collection")),
            "Whose spend counts: that of all collections of the tenant, or of this one alone.",
        ),
        "budget.currency": Field(Line(3), "Currency of budget.money and of budget.price_per_million_tokens."),
        "budget.price_per_million_tokens": Field(
            Real(0, 1e6),
            "What the collection's hosted model costs, where you pay another price than the vendor's list.",
            "in budget.currency",
            unset="the vendor's list price",
        ),
        "budget.classifier_price_per_million_tokens": Field(
            Real(0, 1e6),
            "What classifier jina costs, where that is another price than price_per_million_tokens.",
            "in budget.currency",
            unset="price_per_million_tokens",
        ),
        "retention.history_days": Field(
            Whole(1, 36_500), "Versions that were replaced or removed, with their originals.", "days"
        ),
        "retention.runs_days": Field(Whole(1, 36_500), "Reports of runs; the last one of a partition stays.", "days"),
        "retention.backups_days": Field(Whole(1, 36_500), "Backups.", "days"),
        "retention.delete_after_days": Field(
            Whole(1, 36_500),
            "Documents are deleted so long after the arrival of their present version, with a certificate.",
            "days",
            unset="never",
        ),
        "update_mode": Field(
            Choice(UPDATE_MODES),
            "Which changes of files are taken in. auto: all of them. add-only: new ones; none is updated or removed. "
            "update-only: other contents of those that are known; none is added or removed. skip-existing: new ones "
            "and removals; those that are known are not read again. What is kept out is shown, and comes in when the "
            "mode is auto again.",
        ),
        "shards": Field(
            Whole(1, SLOTS, power_of_two=True),
            "Partitions of the collection: more of them spread a large collection over more runs.",
        ),
        "owners": Field(Owner(), "Who answers for the collection, shown in the UI.", many=True),
    }
)
"""Every setting by its path, in the order in which people read them."""


def leaves(settings: object, prefix: str = "") -> dict[str, object]:
    """Every value of a settings record by its path, groups flattened: ``{"chunking.size": 1000, "shards": 1}``."""
    found: dict[str, object] = {}
    for field in fields(settings):  # type: ignore[arg-type]  # only called with dataclass instances
        value = getattr(settings, field.name)
        if is_dataclass(value):
            found.update(leaves(value, f"{field.name}."))
        else:
            found[prefix + field.name] = value
    return found


DEFAULTS: Mapping[str, object] = MappingProxyType(leaves(CollectionSettings()))
"""The default of every setting by its path."""
