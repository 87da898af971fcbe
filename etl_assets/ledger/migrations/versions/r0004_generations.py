"""What defines an index generation and how it compared; a document held at one stage by several generations."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
HELD = (
    "document_id", "stage", "cid", "tenant", "collection", "path", "version", "producer_id", "input_digest",
    "reason", "error_class", "message", "fingerprint", "attempts", "first_at", "last_at",
)  # fmt: skip
DEFINING = ("chunking", "embedder")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Let generations keep their settings, and quarantine hold a document for several of them."""
    op.add_column("collections", sa.Column("wanted_recipe", string(64), nullable=True))
    for column in (
        sa.Column("settings", sa.JSON(), nullable=True),
        sa.Column("recipe", string(64), nullable=True),
        sa.Column("origin", string(16), nullable=True),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("dropped_at", sa.Float(), nullable=True),
    ):
        op.add_column("generations", column)
    _rebuild_quarantine()
    _recall_settings()


def _rebuild_quarantine() -> None:
    op.drop_index("ix_quarantine_cid", table_name="quarantine")
    op.create_table(
        "quarantine_by_producer",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("stage", string(64), nullable=False),
        sa.Column("cid", BIG, nullable=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("collection", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("producer_id", BIG, nullable=False),
        sa.Column("input_digest", string(200), nullable=False),
        sa.Column("reason", string(64), nullable=False),
        sa.Column("error_class", string(64), nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "stage", "producer_id", "input_digest"),
    )
    names = ", ".join(HELD)
    op.execute(f"INSERT INTO quarantine_by_producer ({names}) SELECT {names} FROM quarantine")
    op.drop_table("quarantine")
    op.rename_table("quarantine_by_producer", "quarantine")
    op.create_index("ix_quarantine_cid", "quarantine", ["cid"], unique=False)


def _recall_settings() -> None:
    """Enter what each generation in use was made by, from the settings that runs noted."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT g.generation_id, g.cid, g.state, r.begin_seq FROM generations g "
            "LEFT JOIN reigns r ON r.generation_id = g.generation_id AND r.end_seq IS NULL WHERE g.state <> 'retired'"
        )
    ).all()
    for generation_id, cid, state, begin in rows:
        noted = connection.execute(
            sa.text("SELECT begin_seq, settings FROM collection_settings WHERE cid = :cid ORDER BY begin_seq"),
            {"cid": cid},
        ).all()
        history = [(int(row[0]), json.loads(row[1]) if isinstance(row[1], str) else row[1]) for row in noted]
        settings = _made_by(history, begin if state == "live" else None)
        if settings is not None:
            connection.execute(
                sa.text("UPDATE generations SET settings = :settings, origin = 'settings' WHERE generation_id = :id"),
                {"settings": json.dumps(settings), "id": generation_id},
            )


def _made_by(history: list[tuple[int, Mapping[str, Any]]], begin: int | None) -> dict[str, Any] | None:
    """The newest settings with the embedder under which a reign began; those of today when none did.

    A change of chunking was recomputed in place until now, so the newest of one embedder are what its rows are by.
    """
    if not history:
        return None
    embedder = history[-1][1].get("embedder")
    if begin is not None:
        before = [settings for at, settings in history if at <= begin]
        embedder = (before[-1] if before else history[0][1]).get("embedder")
    settings = [one for _, one in history if one.get("embedder") == embedder][-1]
    return {name: settings[name] for name in DEFINING if name in settings}
