"""Short reports to classify, and the frames that the stage is given."""

import polars as pl

from etl_assets.documents.classification.evidence import Page
from etl_assets.documents.classification.label_sets import sectors, threats
from etl_assets.documents.classification.labelling import labels_of
from etl_assets.documents.model import pages_columns
from etl_assets.protocols.classifier import LabelSet
from etl_assets.stages.spec import Task

BANKS = (
    "Attackers hit three banks in Latin America\n\n"
    "A group has breached the networks of banks and a payment processor. The intruders issued fraudulent wire "
    "transfers through the interbank system and emptied ATMs of two financial institutions.\n\n"
    "The ransomware was deployed on the last day: it encrypted the servers of one bank, and the ransom note "
    "demanded two million dollars. The ransomware operators published stolen customer data on their leak site."
)
ELSEWHERE = (
    "A gardener's year\n\nTomatoes are sown in March and planted out in May, when the nights are mild. "
    "Beans follow a fortnight later. Prune the apple trees before the sap rises, and cover the roses in November. "
) * 3


def task(document: str = "d1") -> Task:
    """One document version of no particular content."""
    return Task(document, "acme", "reports", f"{document}.txt", "0" * 64, 10)


def frame(*texts: str, document: str = "d1") -> pl.DataFrame:
    """Pages of one document."""
    rows = [{"document_id": document, "page": number, "text": text} for number, text in enumerate(texts, 1)]
    return pl.DataFrame(rows, schema={"document_id": pl.String(), **pages_columns()})


def scores(text: str, labels: LabelSet) -> dict[str, float]:
    """Scores of a text by label."""
    return {one.label: one.score for one in labels_of((Page(1, text),), labels)}


def accepted(text: str) -> set[str]:
    """The threats and sectors that a text is said to have."""
    return {
        name for one in (threats(), sectors()) for name, score in scores(text, one).items() if score >= one.threshold
    }
