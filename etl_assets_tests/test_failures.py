"""What Dagster may try again and what it may not, and what a message must not show."""

from collections.abc import Iterator

import dagster as dg
import pytest

from etl_assets import failures
from etl_assets.errors import ConfigError, DataError, EtlAssetsError, PermanentError, TransientError
from etl_assets.failures import NO_RUN_RETRIES, reports_failures, without_secrets

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_DELAY_S", 0.0)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def attempts(
    error: Exception | None, instance: dg.DagsterInstance, *, passes: int = 99
) -> tuple[int, dg.DagsterRun, str]:
    """(times the body ran, the run, the failure as it is stored) of an asset that raises on its first ``passes``."""
    calls: list[int] = []

    @dg.asset
    @reports_failures
    def fragile(context: dg.AssetExecutionContext) -> None:
        calls.append(1)
        if error is not None and len(calls) <= passes:
            raise error

    result = dg.materialize([fragile], instance=instance, raise_on_error=False, run_config=QUIET)
    failure = [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return len(calls), run, failure[0] if failure else ""


def test_what_may_pass_is_tried_again(instance: dg.DagsterInstance) -> None:
    calls, run, _ = attempts(TransientError("the store did not answer"), instance, passes=2)
    assert calls == 3 and run.is_success


def test_what_may_pass_is_not_tried_for_ever(instance: dg.DagsterInstance) -> None:
    calls, run, failure = attempts(TransientError("the store did not answer"), instance)
    assert calls == 4 and run.is_failure and "the store did not answer" in failure
    assert not set(NO_RUN_RETRIES) & set(run.tags)


@pytest.mark.parametrize(
    "error",
    [
        PermanentError("no space left"), ConfigError("ETL_HOME is a file"), DataError("page 3", reason="unreadable"),
        KeyError("a mistake of ours"),
    ],
)  # fmt: skip
def test_what_will_not_pass_is_tried_once_by_the_step_and_by_the_daemon(
    instance: dg.DagsterInstance, error: Exception
) -> None:
    calls, run, failure = attempts(error, instance)
    assert calls == 1 and run.is_failure
    assert {name: run.tags.get(name) for name in NO_RUN_RETRIES} == NO_RUN_RETRIES
    message = str(error) if isinstance(error, EtlAssetsError) else f"{type(error).__name__}: {error}"
    assert message in failure or repr(message)[1:-1] in failure


def test_failures_that_the_body_itself_decides_on_pass_untouched(instance: dg.DagsterInstance) -> None:
    assert "as I say" in attempts(dg.Failure("as I say"), instance)[2]
    assert attempts(dg.RetryRequested(max_retries=1), instance)[0] == 2


def test_no_secret_reaches_the_event_log(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_API_KEY", "canary-in-the-environment")
    inner = ValueError("GET https://me:canary-in-the-url@host/ with api_key=canary-in-the-query")
    try:
        raise RuntimeError("canary-in-the-environment was refused") from inner
    except RuntimeError as e:
        _, run, failure = attempts(e, instance)
    assert "canary" not in failure
    assert "RuntimeError: (not shown) was refused" in failure
    for record in instance.all_logs(run.run_id):
        assert "canary" not in str(record)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://user:pass@host/key", "s3://***@host/key"),
        ("password=hunter2 and more", "password=*** and more"),
        ("Authorization: Bearer", "Authorization: ***"),
        ("the token of the lease is 7", "the token of the lease is 7"),
        ("acme/reports/tokens.txt: page 3", "acme/reports/tokens.txt: page 3"),
    ],
)
def test_what_looks_like_a_credential_is_replaced(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
