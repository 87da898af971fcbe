"""The tokenizer of a local model (tokenizer.json, Hugging Face format), loaded when it is first asked.

API: huggingface.co/docs/tokenizers/api/tokenizer
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    import tokenizers


class ModelTokenizer:
    """Token spans for sizing, token ids for the model. Safe from several threads.

    ``read`` gives the bytes of tokenizer.json; ``shown`` names the file in messages. ``special_tokens`` are added to
    the ids when the model was trained with them, and the ids are cut to ``limit``, special tokens counted.
    """

    def __init__(self, read: Callable[[], bytes], *, shown: str, limit: int, special_tokens: bool) -> None:
        self._read = read
        self._shown = shown
        self._limit = limit
        self._special_tokens = special_tokens
        self._loading = Lock()

    @cached_property
    def _whole(self) -> "tokenizers.Tokenizer":
        """Files may preset truncation and padding, as the MiniLM one does to 128: both go."""
        import tokenizers

        try:
            tokenizer = tokenizers.Tokenizer.from_buffer(self._read())
        except ConfigError:
            raise
        except Exception as e:
            raise ConfigError(f"tokenizer {self._shown} cannot be read ({e}): restore the model's own file") from e
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _cutting(self) -> "tokenizers.Tokenizer":
        """Cuts to the limit and keeps the special tokens at both ends."""
        import tokenizers

        tokenizer = tokenizers.Tokenizer.from_str(self._whole.to_str())
        tokenizer.enable_truncation(self._limit)
        return tokenizer

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """(start, end) of each token, in code points, ``end`` exclusive, ascending; special tokens left out.

        Tokens of one code point that became several bytes repeat its span.
        """
        with self._loading:
            whole = self._whole
        spans: list[tuple[int, int]] = whole.encode(_encodable(text), add_special_tokens=False).offsets
        return spans

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text``, at most ``limit`` of them."""
        with self._loading:
            # Each takes 60 ms to load: without special tokens there is nothing that a plain cut would lose.
            tokenizer = self._cutting if self._special_tokens else self._whole
        ids: list[int] = tokenizer.encode(_encodable(text), add_special_tokens=self._special_tokens).ids
        return ids[: self._limit]


def _encodable(text: str) -> str:
    """``text`` with lone surrogates, which are not Unicode text, replaced one for one, so that offsets hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
