"""Drift on hosted backends: PostgreSQL, S3, Pinecone's stand-in and Neo4j, damaged through their own protocols."""

from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from etl_assets.documents.consistency.drift import find_drift
from etl_assets.documents.consistency.repair import repair
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.protocols.graph import Entity, MentionEdge
from etl_assets_tests.real.hosted_homes import hosted_environment, opened, stored
from etl_assets_tests.small_homes import STATIC, TEXTS


def publish(platform: Platform, tenant: str, scratch: Path) -> Partition:
    for path, text in TEXTS.items():
        source = scratch / path
        source.write_text(text)
        platform.arrivals.put(f"{tenant}/reports/{path}", source)
    (place,) = ensure_collection(platform.ledger, tenant, "reports", shards=1)
    with PartitionRun(platform, place.key, run_id="first") as run:
        all_steps(run)
    return place


def damage(platform: Platform, place: Partition) -> None:
    """Everything at once: lost edges, ghosts, an index that is gone, a segment and an original that are."""
    p, file = schema.publications, schema.segments
    with platform.ledger.reading() as connection:
        number, document = connection.execute(
            select(p.c.publication, p.c.document_id).where(p.c.end_seq.is_(None), p.c.path == "bear.txt")
        ).one()
        segment = connection.scalar(select(file.c.key).where(file.c.stage == "chunks"))
    stores = platform.stores
    stores.graph.remove(place.tenant, "reports", [number])
    ghost = MentionEdge(
        place.tenant, "reports", document, 4_000, Entity("malware:ghost", "malware", "Ghost"), 1, 0.5, "", 1, 0, 4
    )
    stores.graph.write([ghost])
    (space,) = [one for one in stores.vector.spaces() if one.tenant == place.tenant]
    stores.vector.drop(space)
    platform.lake.blobs.delete(str(segment))
    for key, _, _ in list(platform.originals.keys(f"{place.tenant}/{document}/")):
        platform.originals.delete(key)


def test_hosted_stores_that_drifted_are_repaired_and_nothing_is_embedded(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "collections.yaml").write_text(STATIC)
    with hosted_environment(home) as env, opened({**env, "ETL_SEARCH_TIME_LIMIT_S": "0.1"}) as platform:
        place = publish(platform, f"t{uuid4().hex[:10]}", tmp_path)
        whole = stored(platform)
        assert not find_drift(platform, place)
        damage(platform, place)
        kinds = find_drift(platform, place).counts()
        assert set(kinds) == {"vector", "graph", "lake", "originals"}
        assert {"missing", "orphaned"} <= set(kinds["graph"])
        report = repair(platform, place, run_id="repair")
        assert report.left == [] and report.embedded == 0 and report.recomputed == {"chunks": 3}
        assert stored(platform) == whole and platform.stores.graph.orphans(place.tenant) == []
