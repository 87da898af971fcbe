"""A purge on hosted backends: nothing of the document is in the database, the bucket, the indexes or the home."""

from pathlib import Path
from uuid import uuid4

import boto3
import psycopg

from etl_assets_tests.byte_search import found_in
from etl_assets_tests.real.hosted_homes import command, hosted_environment, opened, stored
from etl_assets_tests.small_homes import STATIC, TEXTS

SECRET = "The qwumblefrotz committee told qzbank.example.com about CVE-2019-77777. " * 20
WORDS = ("qwumblefrotz", "qzbank", "cve-2019-77777", "qzsecret")


def _ran(env: dict[str, str], *arguments: str) -> str:
    done = command(env, *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def _in_bucket(env: dict[str, str]) -> set[str]:
    client = boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL"], aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1",
    )  # fmt: skip
    found = set()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=env["ETL_S3_BUCKET"]):
        for one in page.get("Contents", []):
            body = client.get_object(Bucket=env["ETL_S3_BUCKET"], Key=one["Key"])["Body"].read()
            found |= {
                one["Key"].split("/")[0] for word in WORDS if word.encode() in (one["Key"].encode() + body).lower()
            }
    client.close()
    return found


def _in_database(url: str) -> set[str]:
    with psycopg.connect(url) as db:
        names = [row[0] for row in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        rows = {name: str(db.execute(f'SELECT t::text FROM "{name}" t').fetchall()).lower() for name in names}
    return {name for name, text in rows.items() if any(word in text for word in WORDS)}


def test_a_purged_document_is_on_no_server_and_not_in_the_home(tmp_path: Path) -> None:
    tenant, home = f"t{uuid4().hex[:10]}", tmp_path / "hosted"
    documents = tmp_path / "documents"
    documents.mkdir()
    for name, text in {**TEXTS, "qzsecret.txt": SECRET}.items():
        (documents / name).write_text(text)
    with hosted_environment(home) as env:
        home.mkdir()
        (home / "collections.yaml").write_text(STATIC)
        env = {**env, "ETL_SEARCH_TIME_LIMIT_S": "1"}
        _ran(env, "document", "add", str(documents), "--tenant", tenant, "--collection", "reports")
        _ran(env, "sync")
        with opened(env) as platform:
            before = stored(platform)
        assert {"arrivals", "originals", "indexes"} & _in_bucket(env) and _in_database(env["SUPABASE_DB_URL"])
        _ran(env, "document", "delete", f"{tenant}/reports/qzsecret.txt", "--purge", "--yes")
        assert (_in_bucket(env), _in_database(env["SUPABASE_DB_URL"]), found_in(home, WORDS)) == (set(), set(), [])
        assert _in_database(env["ETL_DAGSTER_POSTGRES_URL"]) == set()
        with opened(env) as platform:
            after = stored(platform)
        assert all(after[store] < before[store] for store in after)
