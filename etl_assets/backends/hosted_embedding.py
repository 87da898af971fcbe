"""What hosted embedding APIs have in common: batches within limits, many in flight, every answer checked.

The body of request and answer is that of OpenAI's ``POST /v1/embeddings``, which Jina's API follows.
"""

import base64
import binascii
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.backends.rate_budget import Budget
from etl_assets.errors import ConfigError, DataError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.embedder import EmbeddingModel, Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ADAPTER_VERSION = "1"
"""Raise it when the code here changes a vector: it is part of every hosted model's digest."""

Keep = Callable[[range, "NDArray[np.float32]"], None]
"""(which texts, their vectors), called from several threads."""

QUERY_PATIENCE = Patience(attempts=3, total_s=10.0, base_s=0.1, cap_s=1.0, answers=2)
"""Somebody waits for a search: it goes on without the vectors sooner than an ingest gives up."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How much one request holds, and how many requests are under way at once in one call."""

    texts: int = 64
    tokens: int = 32_768
    in_flight: int = 16

    def __post_init__(self) -> None:
        for name in ("texts", "tokens", "in_flight"):
            if getattr(self, name) < 1:
                raise ConfigError(f"embedding batches: {name} is {getattr(self, name)}, it must be 1 or more")


def model_digest(parts: Mapping[str, object]) -> str:
    """Digest of everything that decides a vector, with the version of the code here; 32 hex digits."""
    canonical = json.dumps({**parts, "adapter": ADAPTER_VERSION}, sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


class EmbeddingCalls:
    """Calls of one model. ``body`` makes a request's body of texts; ``names`` are the models an answer may name.

    ``bulk`` and ``queries`` are the budgets of documents and of questions, apart so that no question stands in line
    behind an ingest. ``refusal`` tells refused texts from refused requests.
    """

    def __init__(
        self,
        api: HttpApi,
        model: EmbeddingModel,
        *,
        tokenizer: Tokenizer,
        names: frozenset[str],
        batching: Batching,
        bulk: Budget | None,
        queries: Budget | None,
        path: str = "/embeddings",
    ) -> None:
        self._api = api
        self.model = model
        self.tokenizer = tokenizer
        self._names = names
        self._batching = batching
        self._bulk = bulk
        self._queries = queries
        self._path = path

    def documents(
        self, texts: Sequence[str], body: Callable[[list[str]], object], keep: Keep = lambda part, vectors: None
    ) -> "NDArray[np.float32]":
        """Unit vectors, shape (len(texts), dimension), in the order given; a text past ``max_tokens`` is cut.

        ``keep`` is told of each request's vectors as they come, so that a failure loses none that came before it.

        Raises:
            DataError: a text is blank, or the API refuses the texts.
            TransientError, PermanentError, ConfigError: as ``HttpApi.call``; the first failure ends all requests.
        """
        cut = [self._readable(text) for text in texts]
        parts = batches([tokens for _, tokens in cut], texts=self._batching.texts, tokens=self._batching.tokens)
        return self._requests(cut, parts, body, keep)

    def requests_for(self, token_counts: Sequence[int]) -> int:
        """Requests that ``documents`` makes for texts of so many tokens each."""
        return len(batches(token_counts, texts=self._batching.texts, tokens=self._batching.tokens))

    def windows(
        self, windows: Sequence[Sequence[str]], body: Callable[[list[str]], object]
    ) -> "list[NDArray[np.float32]]":
        """Unit vectors of each window, one request for each, whatever its size; raises as ``documents``."""
        cut = [self._readable(text) for window in windows for text in window]
        ends = list(accumulate(len(window) for window in windows))
        parts = [range(end - len(window), end) for end, window in zip(ends, windows, strict=True)]
        vectors = self._requests(cut, [part for part in parts if part], body, lambda part, vectors: None)
        return [vectors[part.start : part.stop] for part in parts]

    def _requests(
        self,
        texts: Sequence[tuple[str, int]],
        parts: Sequence[range],
        body: Callable[[list[str]], object],
        keep: Keep,
    ) -> "NDArray[np.float32]":
        import numpy as np

        vectors = np.empty((len(texts), self.model.dimension), np.float32)
        stop = threading.Event()

        def embed(part: range) -> None:
            made = self._embedded([texts[index] for index in part], body, self._bulk, None, stop)
            vectors[part.start : part.stop] = made
            keep(part, made)

        together(embed, parts, in_flight=self._batching.in_flight, stop=stop)
        return vectors

    def query(self, text: str, body: Callable[[list[str]], object]) -> "NDArray[np.float32]":
        """One unit vector, shape (dimension,); raises as ``documents``, within seconds."""
        found = self._embedded([self._readable(text)], body, self._queries, QUERY_PATIENCE, threading.Event())
        vector: NDArray[np.float32] = found[0]
        return vector

    def _readable(self, text: str) -> tuple[str, int]:
        """The text, cut where the model may stop reading, and how many tokens it has."""
        if not text.strip():
            raise DataError("an empty text has no embedding: leave it out", reason="empty")
        spans = self.tokenizer.token_spans(text)
        if len(spans) > self.model.max_tokens:
            text, spans = text[: spans[self.model.max_tokens - 1][1]], spans[: self.model.max_tokens]
        return encodable(text), len(spans)

    def _embedded(
        self,
        texts: Sequence[tuple[str, int]],
        body: Callable[[list[str]], object],
        budget: Budget | None,
        patience: Patience | None,
        stop: threading.Event,
    ) -> "NDArray[np.float32]":
        request = Request(
            "POST", self._path, body([text for text, _ in texts]),
            tokens=sum(tokens for _, tokens in texts), spent=tokens_spent,
            refusal=text_refusal(self._api.name, len(texts)),
        )  # fmt: skip
        return self._api.call(
            request, lambda answer: self._vectors(answer, len(texts)), budget=budget, patience=patience, stop=stop
        )

    def _vectors(self, answer: Answer, count: int) -> "NDArray[np.float32]":
        return vectors_of(answer, count=count, model=self.model, names=self._names, api=self._api.name)


def text_refusal(api: str, count: int) -> Callable[[int, str], EtlAssetsError | None]:
    """A text that the model cannot read is that document's fault; everything else is the configuration's."""

    def error(status: int, words: str) -> EtlAssetsError | None:
        if status not in (400, 413, 422) or not _blames_text(words):
            return None
        which = "the text" if count == 1 else f"one of {count} texts"
        return DataError(f"{api}: refused {which} (HTTP {status}: {words})", reason="refused-text")

    return error


def _blames_text(words: str) -> bool:
    """Whether a refusal speaks of a text, as seen in the wild, rather than of the request or its size in items."""
    lowered = words.lower()
    return any(sign in lowered for sign in ("encode text", "context length", "maximum context", "too many tokens"))


def batches(token_counts: Sequence[int], *, texts: int, tokens: int) -> list[range]:
    """Consecutive ranges of at most ``texts`` texts and ``tokens`` tokens; one text alone may exceed the tokens."""
    found: list[range] = []
    start, total = 0, 0
    for index, count in enumerate(token_counts):
        if index > start and (index - start >= texts or total + count > tokens):
            found.append(range(start, index))
            start, total = index, 0
        total += count
    if start < len(token_counts):
        found.append(range(start, len(token_counts)))
    return found


def stretches(texts: Sequence[str], token_counts: Sequence[int], *, most_texts: int, most_tokens: int) -> list[range]:
    """Consecutive ranges within these bounds, whose borders follow the texts themselves.

    From half a bound on, a range ends after the first text whose digest begins with two zero bits: so an edit in one
    range leaves the borders of most others where they were.
    """
    found: list[range] = []
    start, total = 0, 0
    for index, (text, count) in enumerate(zip(texts, token_counts, strict=True)):
        if index > start and (index - start >= most_texts or total + count > most_tokens):
            found.append(range(start, index))
            start, total = index, 0
        total += count
        is_long = 2 * (index + 1 - start) >= most_texts or 2 * total >= most_tokens
        if is_long and hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] < 64:
            found.append(range(start, index + 1))
            start, total = index + 1, 0
    if start < len(texts):
        found.append(range(start, len(texts)))
    return found


def together(work: Callable[[range], None], parts: Sequence[range], *, in_flight: int, stop: threading.Event) -> None:
    """``work`` for each part, ``in_flight`` at a time. The first error ends them all, and is raised.

    ``stop`` is set then, so that calls which wait for a turn or between attempts wake up.
    """
    if len(parts) < 2 or in_flight < 2:
        for part in parts:
            work(part)
        return
    first: list[BaseException] = []
    waiting, lock = iter(parts), threading.Lock()

    def run() -> None:
        while not stop.is_set():
            with lock:
                part = next(waiting, None)
            if part is None:
                return
            try:
                work(part)
            except BaseException as e:  # noqa: BLE001  # raised in the caller's thread
                with lock:
                    first.append(e)
                stop.set()

    workers = min(in_flight, len(parts))
    with ThreadPoolExecutor(workers, thread_name_prefix="hosted-embed") as pool:
        try:
            for done in [pool.submit(run) for _ in range(workers)]:
                done.result()
        finally:
            stop.set()
    if first:
        raise first[0]


def tokens_spent(body: Any) -> int | None:
    """``usage.total_tokens`` of an answer, if it says so."""
    usage = body.get("usage") if isinstance(body, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and total >= 0 else None


def vectors_of(
    answer: Answer, *, count: int, model: EmbeddingModel, names: frozenset[str], api: str
) -> "NDArray[np.float32]":
    """Unit vectors in the order of the texts, shape (count, dimension).

    Raises:
        UnusableAnswer: another model answered, a vector is missing, doubled, of another dimension, or has no length.
    """
    import numpy as np

    body = answer.body if isinstance(answer.body, dict) else {}
    if names and body.get("model") not in names:
        found = str(body.get("model"))[:100]
        raise UnusableAnswer(
            PermanentError(
                f"{api}: {found!r} answered, not {' or '.join(sorted(names))}; vectors of two models never mix: "
                "correct the model's name, or what the endpoint serves"
            )
        )
    vectors = np.empty((count, model.dimension), np.float32)
    for index, row in enumerate(_rows(body, count, api)):
        vectors[index] = _unit(_numbers(row, api), model, api)
    return vectors


def _rows(body: dict[str, Any], count: int, api: str) -> list[Any]:
    """The embeddings by index: each of 0 to count - 1 exactly once, in whatever order they came."""
    data = body.get("data")
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    by_index = {row.get("index"): row.get("embedding") for row in rows}
    if len(rows) != count or by_index.keys() != set(range(count)):
        raise UnusableAnswer(
            TransientError(f"{api}: {len(rows)} vectors with {len(by_index)} different places for {count} texts")
        )
    return [by_index[index] for index in range(count)]


def _numbers(embedding: Any, api: str) -> "NDArray[np.float64]":
    """A list of numbers, or base64 of little-endian float32."""
    import numpy as np

    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float64)
        return np.asarray(embedding, np.float64)
    except (ValueError, TypeError, OverflowError, binascii.Error) as e:
        raise UnusableAnswer(TransientError(f"{api}: an embedding that is neither numbers nor base64")) from e


def _unit(vector: "NDArray[np.float64]", model: EmbeddingModel, api: str) -> "NDArray[np.float64]":
    import numpy as np

    if vector.shape != (model.dimension,):
        raise UnusableAnswer(
            PermanentError(
                f"{api}: a vector of shape {vector.shape}, {model.name} is configured with {model.dimension} "
                "dimensions; correct `dimension`, or what the endpoint serves"
            )
        )
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise UnusableAnswer(TransientError(f"{api}: a vector of length {length}"))
    unit: NDArray[np.float64] = vector / length
    return unit


def encodable(text: str) -> str:
    """``text`` with halves of surrogate pairs, which are no Unicode text, replaced one for one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
