"""collections.yaml: precedence, mistakes by line and column, and the template."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.collection_fields import DEFAULTS, FIELDS, SECTIONS, leaves
from etl_assets.documents.collections import Collections, template
from etl_assets.documents.marked_yaml import MAX_CHARACTERS
from etl_assets.documents.parameters import CollectionSettings, EmbedderChoice
from etl_assets.errors import ConfigError


def mistakes(content: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        Collections.parse(content)
    return str(refusal.value).splitlines()


def test_every_setting_is_described_and_its_default_is_allowed() -> None:
    assert list(FIELDS) == list(leaves(CollectionSettings()))
    assert set(SECTIONS) == {name.partition(".")[0] for name in FIELDS if "." in name}
    for name, field in FIELDS.items():
        default = DEFAULTS[name]
        if default is None:
            assert field.optional
        elif not isinstance(default, tuple):
            assert field.kind.read(str(default)) == default


def test_the_template_gives_exactly_the_defaults() -> None:
    collections = Collections.parse(template())
    assert collections.of("any", "thing") == CollectionSettings()
    assert collections.digest_of("any", "thing") == Collections.parse("").digest_of("any", "thing")
    assert max(map(len, template().splitlines())) <= 120


def test_the_template_holds_every_setting_and_a_working_example() -> None:
    written = yaml.safe_load(template())["defaults"]
    assert {
        f"{key}.{name}" if isinstance(value, dict) else key
        for key, value in written.items()
        for name in (value if isinstance(value, dict) else [""])
    } == set(FIELDS)
    example = template().partition("# For example:\n")[2].replace("# ", "")
    assert Collections.parse(example).of("acme", "reports").shards == 16


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert Collections.read(tmp_path / "collections.yaml").of("a", "b") == CollectionSettings()


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Collections.read(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "defaults:\ncollections:\n", "defaults: {chunking: }", "\ufeff{}"]
)
def test_an_empty_file_gives_the_defaults(content: str) -> None:
    assert Collections.parse(content).of("a", "b") == CollectionSettings()


def test_the_nearest_value_wins_setting_by_setting() -> None:
    collections = Collections.parse("""
defaults:
  chunking: {size: 500, overlap: 50}
  shards: 2
collections:
  acme/reports:
    chunking: {overlap: 70}
    owners: [team:a, b@example.org]
  acme/*:
    chunking: {mode: fixed}
    shards: 4
""")
    plain, tenant, exact = collections.of("x", "y"), collections.of("acme", "y"), collections.of("acme", "reports")
    assert (plain.chunking.mode, plain.chunking.size, plain.chunking.overlap, plain.shards) == ("structure", 500, 50, 2)
    assert (tenant.chunking.mode, tenant.chunking.size, tenant.chunking.overlap, tenant.shards) == ("fixed", 500, 50, 4)
    assert (exact.chunking.mode, exact.chunking.size, exact.chunking.overlap, exact.shards) == ("fixed", 500, 70, 4)
    assert exact.owners == ("team:a", "b@example.org")
    assert collections.named == (("acme", "reports"),)


def test_the_digest_changes_with_the_settings_of_that_collection_only() -> None:
    before, after = Collections.parse(""), Collections.parse("collections: {acme/reports: {shards: 8}}")
    assert before.digest_of("acme", "reports") != after.digest_of("acme", "reports")
    assert before.digest_of("acme", "other") == after.digest_of("acme", "other")
    assert after.digest_of("acme", "reports") == Collections.parse("defaults: {shards: 8}").digest_of("x", "y")


def test_a_relative_model_folder_begins_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "collections.yaml").write_text("defaults: {embedder: {kind: folder, path: models/mine}}")
    collections = Collections.read(tmp_path / "collections.yaml")
    assert collections.of("a", "b").embedder.path == str(tmp_path / "models" / "mine")
    elsewhere = Collections.parse((tmp_path / "collections.yaml").read_bytes())
    assert collections.digest_of("a", "b") == elsewhere.digest_of("a", "b")


def test_all_mistakes_are_reported_at_once_each_where_it_stands() -> None:
    assert mistakes("""defaults:
  chunking:
    max_tokens: "120"
    overlap: 2000
    sise: 3
  shards: 3
  shards: 4
  owners: bob
collections:
  acme: {shards: 9}
  acme/x:
    embedder: {kind: folder}
    publications: {vector: maybe}
    chunking: 7
    parsing: {time_limit_s: .nan, size_limit_mb: }
    thresholds: {quarantine_share: [1]}
    owners: [12, x@example.org]
  ? [a]
  : 2
extra: 1
""") == [
        "collections.yaml:3:17: defaults.chunking.max_tokens: '120'; use a whole number from 16 to 8192 (tokens)",
        "collections.yaml:4:14: defaults.chunking.overlap: overlap 2000 is not below size 1000; "
        "lower overlap or raise size",
        "collections.yaml:5:5: defaults.chunking.sise: unknown; did you mean size?",
        "collections.yaml:6:11: defaults.shards: 3; use a power of two from 1 to 1024",
        "collections.yaml:7:3: defaults.shards: given twice; keep one of them",
        "collections.yaml:8:11: defaults.owners: bob; use a list, each an e-mail address or team:NAME",
        "collections.yaml:10:3: collections.acme: not a collection; use tenant/collection or tenant/*, "
        "names of a-z, 0-9, _ and -",
        "collections.yaml:10:18: collections.acme.shards: 9; use a power of two from 1 to 1024",
        "collections.yaml:12:22: collections.acme/x.embedder.kind: kind folder needs a path; add path",
        "collections.yaml:13:28: collections.acme/x.publications.vector: maybe; use true or false",
        "collections.yaml:14:15: collections.acme/x.chunking: 7; use a mapping of settings",
        "collections.yaml:15:29: collections.acme/x.parsing.time_limit_s: .nan; use a number from 1 to 3600 (seconds)",
        "collections.yaml:15:49: collections.acme/x.parsing.size_limit_mb: nothing; "
        "use a whole number from 1 to 1048576 (MiB)",
        "collections.yaml:16:36: collections.acme/x.thresholds.quarantine_share: a list; use a number from 0 to 1",
        "collections.yaml:17:13: collections.acme/x.owners: a list; use a list, each an e-mail address or team:NAME",
        "collections.yaml:18:5: collections: a key that is a list or a mapping; use a word",
        "collections.yaml:20:1: extra: unknown; known are defaults, collections",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("defaults:\n\tshards: 1", "2:1: a tab; YAML indents with spaces"),
        ("a: &x 1\nb: *x", "2:4: an alias; write the value out"),
        ("a: !!python/object:os.system x", "1:4: a tag; write the plain value"),
        ("[" * 2000, "1:17: nested too deeply; use the documented settings only"),
        (b"shards:\n \xff", "2:2: not UTF-8; save the file as UTF-8"),
        ("a: \n  \x07", "2:3: the character U+0007; remove it"),
        ("- 1", "1:1: a list; use a mapping of settings"),
        ("a: 1\n---\nb: 2", "2:1: but found another document (expected a single document in the stream)"),
        ("x" * (MAX_CHARACTERS + 1), "1:1: longer than 2,000,000 characters; is this the right file?"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_where_it_stands(content: str | bytes, expected: str) -> None:
    assert mistakes(content) == [f"collections.yaml:{expected}"]


def test_aliases_that_would_multiply_are_refused_before_they_do() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{after}: &{after} [{', '.join(f'*{before}' for _ in range(9))}]\n"
        for before, after in zip("abcdefghi", "bcdefghij", strict=True)
    )
    assert mistakes(bomb) == ["collections.yaml:2:8: an alias; write the value out"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{chunking: {overlap_tokens: 200}}", "overlap_tokens 200 is not below max_tokens 200"),
        ("{chunking: {max_tokens: 20}}", "overlap_tokens 30 is not below max_tokens 20"),
        ("{chunking: {max_tokens: 300}}", "max_tokens 300 is more than the 254 the minilm embedder reads"),
        ("{embedder: {path: models}}", "kind minilm takes no path; remove path"),
        ("{embedder: {kind: static, path: models}}", "kind static takes no path; remove path"),
        ("{embedder: {model: jina-embeddings-v3}}", "kind minilm takes no model; remove model"),
        ("{embedder: {kind: jina, model: ada}}", "Jina model 'ada': use one of jina-embeddings-v3,"),
        ("{embedder: {kind: jina, dimension: 1025}}", "Jina model jina-embeddings-v3: dimension 1025, use 1 to 1024"),
        ("{embedder: {kind: jina, shorten: true}}", "kind jina takes no shorten; remove shorten"),
        ("{embedder: {kind: openai, model: nomic}}", "kind openai needs a dimension; add dimension"),
        ("{embedder: {kind: openai, model: m, dimension: 8, late_chunking: on}}", "openai takes no late_chunking"),
        ("{embedder: {kind: static, query_prefix: 'query: '}}", "kind static takes no query_prefix"),
    ],
)
def test_values_that_contradict_each_other_are_refused(content: str, expected: str) -> None:
    (mistake,) = mistakes(f"collections: {{acme/x: {content}}}")
    assert expected in mistake


def test_a_hosted_model_is_chosen_in_full() -> None:
    text = """
defaults: {embedder: {kind: jina, model: jina-embeddings-v5-text-nano, dimension: 256, late_chunking: true}}
collections:
  acme/own:
    embedder:
      {kind: openai, model: nomic, dimension: 768, context_tokens: 2048, shorten: true,
       document_prefix: 'search_document: ', query_prefix: 'search_query: '}
"""
    collections = Collections.parse(text)
    assert collections.of("a", "b").embedder == EmbedderChoice(
        "jina", model="jina-embeddings-v5-text-nano", dimension=256, late_chunking=True
    )
    assert collections.of("acme", "own").embedder == EmbedderChoice(
        "openai", model="nomic", dimension=768, context_tokens=2048, shorten=True,
        document_prefix="search_document: ", query_prefix="search_query: ",
    )  # fmt: skip


def test_another_kind_begins_without_the_options_of_the_one_it_replaces() -> None:
    text = """
defaults: {embedder: {kind: jina, dimension: 256, late_chunking: true}}
collections: {a/x: {embedder: {kind: static}}, a/y: {embedder: {kind: jina}}, a/z: {embedder: {dimension: 64}}}
"""
    collections = Collections.parse(text)
    assert collections.of("a", "x").embedder == EmbedderChoice("static")
    assert collections.of("a", "y").embedder == EmbedderChoice("jina", dimension=256, late_chunking=True)
    assert collections.of("a", "z").embedder == EmbedderChoice("jina", dimension=64, late_chunking=True)


def test_a_wrong_model_is_reported_where_it_stands() -> None:
    assert mistakes("""
defaults: {embedder: {kind: jina}}
collections:
  acme/x: {embedder: {dimension: 4096}}
  acme/y: {embedder: {model: "two\\nlines"}}
""") == [
        "collections.yaml:4:34: collections.acme/x.embedder.dimension: "
        "Jina model jina-embeddings-v3: dimension 4096, use 1 to 1024",
        "collections.yaml:5:30: collections.acme/y.embedder.model: "
        "'two\\nlines'; use a text of 1 to 200 characters in one line, or null",
    ]


def test_a_contradiction_is_reported_where_it_arises_and_not_where_it_is_inherited() -> None:
    (mistake,) = mistakes("""
defaults: {chunking: {overlap: 900}}
collections:
  acme/*: {chunking: {size: 800}}
  acme/x: {shards: 2}
""")
    assert mistake.startswith("collections.yaml:4:29: collections.acme/*.chunking.size: overlap 900 is not below size")


def test_long_chunks_are_allowed_where_the_model_reads_them() -> None:
    text = "collections: {a/b: {embedder: {kind: static}, chunking: {max_tokens: 600}}, a/c: {chunking: {mode: fixed}}}"
    assert Collections.parse(text).of("a", "b").chunking.max_tokens == 600


@given(st.binary(max_size=200) | st.text(alphabet="defaults:colin/*{}[]&!|>-# \n\t'\"?,1.", max_size=120))
def test_any_content_is_read_or_refused_with_a_place(content: bytes | str) -> None:
    try:
        Collections.parse(content)
    except ConfigError as e:
        for line in str(e).splitlines():
            name, row, column, _ = line.split(":", 3)
            assert name == "collections.yaml"
            assert int(row) >= 1
            assert int(column) >= 1


@given(st.integers(1, 100_000), st.integers(0, 10), st.booleans(), st.floats(0, 1))
def test_what_is_written_is_what_holds(size: int, exponent: int, vector: bool, share: float) -> None:
    text = (
        f"collections: {{t/c: {{chunking: {{size: {size}, overlap: {size - 1}}}, shards: {2**exponent}, "
        f"publications: {{vector: {str(vector).lower()}}}, thresholds: {{quarantine_share: {share:.6f}}}}}}}"
    )
    read, standard = Collections.parse(text).of("t", "c"), CollectionSettings()
    assert read == replace(
        standard,
        chunking=replace(standard.chunking, size=size, overlap=size - 1),
        publications=replace(standard.publications, vector=vector),
        thresholds=replace(standard.thresholds, quarantine_share=float(f"{share:.6f}")),
        shards=2**exponent,
    )
