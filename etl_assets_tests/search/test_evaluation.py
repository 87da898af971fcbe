"""Measures against values worked out by hand, files against their formats, and the real collections."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from etl_assets.errors import ConfigError
from etl_assets.search.evaluation import Ranking, evaluate, judged_id, read_qrels, read_queries, trec_run


def searching(**sources: Mapping[str, Ranking]) -> Callable[[str], Mapping[str, Ranking]]:
    return lambda text: {source: of_text.get(text, ()) for source, of_text in sources.items()}


def test_the_measures_are_those_of_the_textbook() -> None:
    ranking = [("x", 9.0), ("b", 8.0), ("y", 7.0), ("a", 6.0)]
    done = evaluate({"1": "text"}, {"1": {"a": 1, "b": 2, "c": 1, "y": 0}}, searching(hybrid={"text": ranking}))
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    metrics = done.metrics["hybrid"]
    assert metrics["nDCG@10"] == pytest.approx((2 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert metrics["recall@10"] == metrics["recall@100"] == pytest.approx(2 / 3)
    assert metrics["MRR"] == 0.5
    assert [*metrics] == ["nDCG@10", "recall@10", "recall@100", "MRR"]
    assert done.per_query["hybrid"]["1"] == metrics


def test_each_source_has_its_own_figures_and_silence_counts_zero() -> None:
    search = searching(vector={"one": [("a", 1.0)]}, keyword={"one": [("b", 1.0)], "two": [("c", 1.0)]})
    done = evaluate({"1": "one", "2": "two"}, {"1": {"a": 1}, "2": {"c": 1}}, search)
    assert done.metrics["vector"]["MRR"] == 0.5
    assert done.metrics["keyword"]["MRR"] == 0.5
    assert done.empty_queries == {"vector": ("2",), "keyword": ()}


def test_equal_scores_keep_the_order_of_the_ranking() -> None:
    for order in (["a", "b"], ["b", "a"]):
        done = evaluate({"1": "text"}, {"1": {"a": 1}}, searching(one={"text": [(d, 0.5) for d in order]}))
        assert done.metrics["one"]["MRR"] == 1 / (1 + order.index("a"))


def test_recall_counts_to_ten_and_to_a_hundred() -> None:
    ranking = [(f"{n:03d}", 1.0 - n / 1000) for n in range(200)]
    grades = {"009": 1, "010": 1, "099": 1, "100": 1}
    done = evaluate({"1": "text"}, {"1": grades}, searching(one={"text": ranking}))
    assert (done.metrics["one"]["recall@10"], done.metrics["one"]["recall@100"]) == (0.25, 0.75)


def test_what_is_left_out_is_reported() -> None:
    asked: list[str] = []
    progress: list[tuple[int, int]] = []

    def search(text: str) -> Mapping[str, Ranking]:
        asked.append(text)
        return {"one": [("a", 1.0)]}

    qrels = {"1": {"a": 1, "gone": 1, "junk": -1, "bad": 0}, "3": {"a": 1}}
    done = evaluate(
        {"1": "one", "2": "two"},
        qrels,
        search,
        documents=["a", "b"],
        progress=lambda n, total: progress.append((n, total)),
    )
    assert asked == ["one"]
    assert progress == [(1, 1)]
    assert (done.query_count, done.judgement_count) == (1, 4)
    assert (done.unjudged_queries, done.unknown_queries, done.missing_documents) == (("2",), ("3",), ("gone",))
    assert done.metrics["one"]["recall@10"] == 0.5


def test_queries_and_judgements_that_do_not_meet_are_an_error() -> None:
    with pytest.raises(ConfigError, match="do not meet"):
        evaluate({"q1": "text"}, {"1": {"a": 1}}, searching())


def test_a_document_twice_in_a_ranking_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'1'.*twice"):
        evaluate({"1": "text"}, {"1": {"a": 1}}, searching(one={"text": [("a", 1.0), ("a", 0.5)]}))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("12.txt", "12"), ("deep/er/12.pdf", "deep/er/12"), ("12", "12"), ("a.tar.gz", "a.tar"), (".env", ".env"),
        ("a.b/12", "a.b/12"), ("a/.env", "a/.env"), ("a b.c d", "a b"),
    ],
)  # fmt: skip
def test_a_judged_document_is_called_by_its_path_without_the_extension(path: str, name: str) -> None:
    assert judged_id(path) == name


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\n1\ta b\t2\n2\tc\t0\n",
        "1\t0\ta b\t2\n2\t0\tc\t0\n",
        "\ufeffquery-id\tcorpus-id\tscore\r\n1\ta b\t2\r\n\r\n1\ta b\t2\r\n2\tc\t0",
    ],
)
def test_judgements_are_read_in_both_formats(tmp_path: Path, text: str) -> None:
    (tmp_path / "qrels").write_text(text)
    assert read_qrels(tmp_path / "qrels") == {"1": {"a b": 2}, "2": {"c": 0}}


def test_judgements_of_trec_may_stand_between_blanks(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("301 0 FR940202-2-00150 1\n301  Q0  b   -2\n")
    assert read_qrels(tmp_path / "qrels") == {"301": {"FR940202-2-00150": 1, "b": -2}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1\ta\t1\n1\ta\n", "line 2: 2 columns"),
        ("1\ta\t1\n1\tb\tgood\n", "line 2: grade 'good"),
        ("1\ta\t1\n1\tb\t0.5\n", "line 2: grade '0.5"),
        ("1\ta\t1\n\n1\ta\t2\n", "line 3: .*two grades"),
        ("1\t\t1\n", "line 1: .*empty"),
        ("query-id\tcorpus-id\tscore\n", "holds no judgement"),
        ("", "holds no judgement"),
    ],
)
def test_malformed_judgements_are_refused_by_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "qrels").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_qrels(tmp_path / "qrels")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n', "line 2: query '1' stands"),
        ('{"_id": "1", "text": "a"}\nnot json\n', "line 2: is not JSON"),
        ("[1]\n", "line 1: is not a JSON object"),
        ('{"text": "a"}\n', "line 1: has no _id"),
        ('{"_id": true, "text": "a"}\n', "line 1: has no _id"),
        ('{"_id": "1", "text": " "}\n', "line 1: query '1' has no text"),
        ('{"_id": "1"}\n', "line 1: query '1' has no text"),
        ("\n", "holds no query"),
    ],
)
def test_malformed_queries_are_refused_by_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "queries").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_queries(tmp_path / "queries")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: No such file"):
        read_queries(tmp_path / "nowhere")
    (tmp_path / "latin").write_bytes(b'{"_id": "1", "text": "caf\xe9"}\n')
    with pytest.raises(ConfigError, match="latin: is not UTF-8"):
        read_queries(tmp_path / "latin")


def test_a_run_file_gives_trec_eval_the_order_of_the_ranking() -> None:
    run = {
        "1": [("b", 0.5), ("a", 0.25)],
        "2": [("a", 1.0), ("b", 1.0), ("c d", 3.0)],
        "3": [("a", 1.0), ("b", 1.0 - 1e-12)],  # equal as 32-bit floats
        "4": [],
    }
    assert "".join(trec_run(run, tag="etl hybrid")).splitlines() == [
        "1 Q0 b 1 0.5 etl%20hybrid",
        "1 Q0 a 2 0.25 etl%20hybrid",
        "2 Q0 a 1 3.0 etl%20hybrid",
        "2 Q0 b 2 2.0 etl%20hybrid",
        "2 Q0 c%20d 3 1.0 etl%20hybrid",
        "3 Q0 a 1 2.0 etl%20hybrid",
        "3 Q0 b 2 1.0 etl%20hybrid",
    ]


def test_a_run_file_read_back_by_the_library_gives_the_same_figures(tmp_path: Path) -> None:
    import ir_measures

    qrels = {"1": {"a": 1, "b": 0}, "2": {"c": 2}}
    run = {"1": [("b", 0.5), ("a", 0.5)], "2": [("a", 3.0), ("b", 2.0), ("c", 1.0)]}
    done = evaluate({"1": "1", "2": "2"}, qrels, searching(one=run))
    (tmp_path / "run").write_text("".join(trec_run(done.runs["one"], tag="one")))
    read_back = ir_measures.calc_aggregate(
        [ir_measures.nDCG @ 10, ir_measures.RR],
        qrels,
        ir_measures.read_trec_run(str(tmp_path / "run")),  # type: ignore[no-untyped-call]
    )
    assert {str(m): v for m, v in read_back.items()} == pytest.approx(
        {"nDCG@10": done.metrics["one"]["nDCG@10"], "RR": done.metrics["one"]["MRR"]}
    )


@pytest.mark.parametrize(("name", "query_count", "judgement_count"), [("ir-med", 30, 696), ("ir-npl", 93, 2083)])
def test_the_shared_collections_are_read_whole(
    shared_data: Callable[..., Path], name: str, query_count: int, judgement_count: int
) -> None:
    folder = shared_data(name)
    queries, qrels = read_queries(folder / "queries.jsonl"), read_qrels(folder / "qrels.tsv")
    ideal = {queries[q]: [(d, 1.0) for d in grades] for q, grades in qrels.items() if q in queries}
    done = evaluate(queries, qrels, searching(ideal=ideal))
    assert (done.query_count, done.judgement_count) == (query_count, judgement_count)
    assert (done.unjudged_queries, done.unknown_queries) == ((), ())
    assert done.metrics["ideal"]["nDCG@10"] == done.metrics["ideal"]["MRR"] == 1.0


def test_evaluating_touches_no_network_and_no_dataset_catalogue() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
        "from etl_assets.search.evaluation import evaluate\n"
        "assert 'ir_measures' not in sys.modules\n"
        "evaluate({'1': 'a'}, {'1': {'a': 1}}, lambda text: {'one': [('a', 1.0)]})\n"
        "assert not {'ir_datasets', 'requests', 'urllib3'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_figures_are_plain_numbers_that_json_holds() -> None:
    done = evaluate({"1": "text"}, {"1": {"a": 1}}, searching(one={"text": [("a", 1.0)]}))
    assert json.loads(json.dumps(done.metrics)) == done.metrics
