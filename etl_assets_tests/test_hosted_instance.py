"""Dagster's own storage and logs on hosted backends: what is written into the home, and what is not."""

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from etl_assets.errors import ConfigError
from etl_assets.serving import START_WITHIN_S, STORAGE_VARIABLE, render_instance
from etl_assets.settings import Settings


def test_the_password_of_dagsters_database_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, "")
    settings = Settings.from_environment(
        {
            "ETL_HOME": str(tmp_path / "home"), "ETL_POSTGRES_URL": "postgresql://u:canary@h/ledger",
            "ETL_DAGSTER_POSTGRES_URL": "postgresql://u:canary@h/dagster",
        }
    )  # fmt: skip
    text = (render_instance(settings) / "dagster.yaml").read_text()
    assert "canary" not in text
    assert yaml.safe_load(text)["storage"]["custom"]["config"] == {"postgres_url": {"env": STORAGE_VARIABLE}}


def test_compute_logs_go_to_the_bucket_when_they_are_asked_for(tmp_path: Path) -> None:
    env = {
        "ETL_HOME": str(tmp_path / "home"), "ETL_S3_BUCKET": "reports", "ETL_S3_PREFIX": "prod",
        "ETL_S3_SSE": "aws:kms",
        "ETL_S3_KMS_KEY_ID": "a-key",
    }  # fmt: skip
    without = yaml.safe_load((render_instance(Settings.from_environment(env)) / "dagster.yaml").read_text())
    assert without["compute_logs"]["class"] == "NoOpComputeLogManager"
    wanted = Settings.from_environment({**env, "ETL_S3_COMPUTE_LOGS": "true"})
    logs = yaml.safe_load((render_instance(wanted) / "dagster.yaml").read_text())["compute_logs"]
    assert logs["class"] == "S3ComputeLogManager"
    assert logs["config"] == {
        "bucket": "reports", "prefix": "prod/logs", "skip_empty_files": True,
        "upload_extra_args": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "a-key"},
    }  # fmt: skip


def test_the_limits_and_the_queue_of_the_settings_are_in_the_instance(tmp_path: Path) -> None:
    own = yaml.safe_load(files("etl_assets").joinpath("dagster.yaml").read_text())
    env = {"ETL_HOME": str(tmp_path / "home"), "ETL_MAX_RUNS": "7", "ETL_TENANT_RUNS": "3", "ETL_POOL_LIMIT": "4"}
    alone = yaml.safe_load((render_instance(Settings.from_environment(env)) / "dagster.yaml").read_text())
    assert alone["concurrency"]["runs"]["max_concurrent_runs"] == 7
    assert [one["limit"] for one in alone["concurrency"]["runs"]["tag_concurrency_limits"]] == [3, 0]
    assert alone["concurrency"]["pools"] == {"granularity": "op", "default_limit": 4}
    assert alone["run_monitoring"] == own["run_monitoring"] and "run_launcher" not in alone
    assert {*alone} == {*own, "event_log_storage", "compute_logs"}, "nothing else of the package's file is lost"
    celery = {"ETL_CELERY_BROKER_URL": "amqp://u:canary@h//"}
    with pytest.raises(ConfigError, match="ETL_DAGSTER_POSTGRES_URL"):
        render_instance(Settings.from_environment({**env, **celery}))


def test_runs_wait_for_workers_for_as_long_as_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, "")
    env = {
        "ETL_HOME": str(tmp_path / "home"), "ETL_CELERY_BROKER_URL": "amqp://u:canary@h//",
        "ETL_POSTGRES_URL": "postgresql://u:canary@h/ledger",
        "ETL_DAGSTER_POSTGRES_URL": "postgresql://u:canary@h/dagster",
    }  # fmt: skip
    text = (render_instance(Settings.from_environment(env)) / "dagster.yaml").read_text()
    assert "canary" not in text
    instance = yaml.safe_load(text)
    assert instance["run_launcher"]["class"] == "QueuedRuns"
    assert instance["run_monitoring"]["start_timeout_seconds"] == START_WITHIN_S
