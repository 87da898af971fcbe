from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends import static_embedder
from etl_assets.backends.embedders import open_embedder
from etl_assets.backends.model_files import packaged_file, read_checked, write_atomically
from etl_assets.backends.static_embedder import StaticEmbedder
from etl_assets.documents.parameters import EmbedderChoice
from etl_assets.errors import ConfigError, DataError

STATIC = open_embedder(EmbedderChoice(kind="static"), cache=Path("unused"))


@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=5))
def test_a_vector_depends_on_its_own_text_alone(texts: list[str]) -> None:
    together = STATIC.embed_documents(texts)
    for text, vector in zip(texts, together, strict=True):
        assert STATIC.embed_query(text).tobytes() == vector.tobytes()
        assert abs(np.linalg.norm(vector) - 1) < 1e-5


def test_meaning_decides_what_is_near() -> None:
    near, far = STATIC.embed_documents(["Hackers stole passwords by e-mail.", "The cake needs two eggs and sugar."])
    query = STATIC.embed_query("credential theft through phishing")
    assert query @ near > query @ far + 0.1


def test_token_spans_hold_every_code_point() -> None:
    spans = STATIC.tokenizer.token_spans("Hi 日 😀")
    assert spans[0] == (0, 2)
    assert sorted({position for start, end in spans for position in range(start, end)}) == list(range(6))


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        STATIC.embed_query("")


def test_another_version_of_the_package_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "weights"
    other.write_bytes(b"other")
    monkeypatch.setattr(static_embedder, "_path", lambda relative: other)
    with pytest.raises(ConfigError, match="reinstall wordllama"):
        StaticEmbedder().embed_query("x")


def test_a_package_or_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no_such_package/x is not installed: install it"):
        packaged_file("no_such_package", "x", install="it")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checked(tmp_path / "gone", "0", install="it")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "sub" / "file", b"data")
    assert list((tmp_path / "sub").iterdir()) == []
