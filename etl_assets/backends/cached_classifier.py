"""A classifier whose answers are kept: a text is sent, and paid for, once for each label set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from etl_assets.protocols.cache import CacheKey, ResultCache
from etl_assets.protocols.classifier import Asking, HostedClassifier, LabelSet

CLASSIFICATION = "classification"


class CachedClassifier:
    """``classifier`` with its scores kept for one ``scope``, the tenant whose texts they are of.

    A threshold is no part of what is kept: another one asks for nothing again.
    """

    def __init__(self, classifier: HostedClassifier, cache: ResultCache, *, scope: str) -> None:
        self._classifier = classifier
        self._cache = cache
        self._scope = scope

    @property
    def name(self) -> str:
        """Which classifier it is."""
        return self._classifier.name

    def for_scope(self, scope: str) -> "CachedClassifier":
        """The same classifier and cache for another tenant."""
        return CachedClassifier(self._classifier, self._cache, scope=scope)

    def requests(self, texts: Sequence[str], labels: LabelSet) -> Sequence[Asking]:
        """As the classifier's."""
        return self._classifier.requests(texts, labels)

    def known(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...] | None]:
        """For each text the scores that are kept, ``None`` where there are none."""
        import numpy as np

        keys = self._keys(texts, labels)
        kept = self._cache.get(list(dict.fromkeys(keys)))
        size = 8 * len(labels.labels)
        return [
            tuple(np.frombuffer(result, "<f8").tolist()) if len(result := kept.get(key, b"")) == size else None
            for key in keys
        ]

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        """One score in [0, 1] for each label of each text, in the orders given; raises as the classifier."""
        import numpy as np

        found = self.known(texts, labels)
        missing = [place for place, scores in enumerate(found) if scores is None]
        made = self._classifier.scores([texts[place] for place in missing], labels) if missing else []
        keys = self._keys(texts, labels)
        results = {keys[place]: np.asarray(one, "<f8").tobytes() for place, one in zip(missing, made, strict=True)}
        self._cache.put(results)
        fresh = dict(zip(missing, made, strict=True))
        return [tuple(fresh[place]) if scores is None else scores for place, scores in enumerate(found)]

    def _keys(self, texts: Sequence[str], labels: LabelSet) -> list[CacheKey]:
        asked = json.dumps([labels.name, [asdict(one) for one in labels.labels]], sort_keys=True).encode()
        producer = f"{self.name}/{hashlib.blake2b(asked, digest_size=16).hexdigest()}"
        digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest() for text in texts)
        return [CacheKey(CLASSIFICATION, self._scope, producer, digest) for digest in digests]
