"""What an error of ours means to Dagster: whether a step, or a whole run, is worth another attempt."""

import functools
import os
import random
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import dagster as dg

from etl_assets.errors import EtlAssetsError, TransientError
from etl_assets.redaction import redacted

P = ParamSpec("P")
R = TypeVar("R")

STEP_RETRIES = 3
"""How many more attempts a step gets when its error may pass."""

FIRST_DELAY_S = 2.0
"""Before the second attempt; twice as long before each later one, and up to half of that more, at random."""

NO_RUN_RETRIES = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}
"""Tags of a run that the daemon must not start again. ``allow_retries=False`` stops only the step's own policy."""

_USERINFO = re.compile(r"(://)[^/\s@]+@")
_ASSIGNED = re.compile(r"(?i)\b([\w-]*(?:password|passwd|secret|token|api[_-]?key|authorization)[\w-]*)(\s*[=:]\s*)\S+")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|DSN", re.IGNORECASE)
_SHORTEST_SECRET = 8


def reports_failures(body: Callable[P, R]) -> Callable[P, R]:
    """An asset's or check's body whose errors become failures that Dagster may, or may not, try again.

    A TransientError asks for another attempt. Everything else fails at once: another attempt would only repeat it, so
    the run is also tagged for the daemon to leave it alone. The first argument is the context. The step must have no
    retry policy: Dagster would try it again when a person cancels the run (1.13.27).
    """

    @functools.wraps(body)
    def reported(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return body(*args, **kwargs)
        except (dg.Failure, dg.RetryRequested, dg.DagsterError):
            raise
        except TransientError as e:
            _ask_for_another_attempt(_context_of(args, kwargs), e)
            raise dg.Failure(without_secrets(str(e)), metadata=_kind(e), allow_retries=False) from _shown_cause(e)
        except Exception as e:  # noqa: BLE001  # the border to Dagster: whatever it was is recorded, and fails the run
            _forbid_run_retries(_context_of(args, kwargs))
            raise _permanent(e) from _shown_cause(e)

    return reported


def _ask_for_another_attempt(context: "Context | None", error: TransientError) -> None:
    """Raise RetryRequested while there are attempts left."""
    step = context if isinstance(context, dg.OpExecutionContext) else context and context.op_execution_context
    if step is not None and step.retry_number < STEP_RETRIES:
        delay_s = FIRST_DELAY_S * 2.0**step.retry_number * random.uniform(1.0, 1.5)
        raise dg.RetryRequested(STEP_RETRIES, delay_s) from _shown_cause(error)


def without_secrets(text: str) -> str:
    """``text`` with what looks like a credential, or equals one in the environment, replaced by ``***``."""
    text = _ASSIGNED.sub(r"\1\2***", _USERINFO.sub(r"\1***@", text))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name):
            text = redacted(text, value)
    return text


def _permanent(error: Exception) -> dg.Failure:
    message = str(error) if isinstance(error, EtlAssetsError) else f"{type(error).__name__}: {error}"
    return dg.Failure(without_secrets(message), metadata=_kind(error), allow_retries=False)


def _kind(error: Exception) -> dict[str, dg.MetadataValue]:
    return {"error_class": dg.MetadataValue.text(type(error).__name__)}


def _shown_cause(error: Exception) -> Exception | None:
    """The error itself, for its stack trace; nothing when its own text must not be shown, since Dagster stores it."""
    chain: BaseException | None = error
    while chain is not None:
        if without_secrets(str(chain)) != str(chain):
            return None
        chain = chain.__cause__ or chain.__context__
    return error


def _forbid_run_retries(context: "Context | None") -> None:
    if context is not None and context.instance.get_run_by_id(context.run.run_id) is not None:
        context.instance.add_run_tags(context.run.run_id, NO_RUN_RETRIES)


Context = dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext


def _context_of(args: tuple[object, ...], kwargs: dict[str, object]) -> Context | None:
    return next((one for one in [*args, *kwargs.values()] if isinstance(one, Context)), None)
