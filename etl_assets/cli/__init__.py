"""The command ``etl-assets``. ``main`` turns every outcome into an exit code and one clear message.

0: done. 1: something failed, or a check did not pass. 2: a wrong command line or setting. 130: interrupted.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with ``arguments`` (those of the process by default) and exit."""
    import gc

    from etl_assets.cli.interrupts import end

    gc.freeze()  # what was imported so far stays; the collector need not walk it again
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A name that the terminal's encoding lacks is shown escaped instead of ending the command.
            reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, lambda number, _frame: end(number))
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command with ``arguments`` and return its exit code; messages of failures go to standard error."""
    import click

    from etl_assets.cli.group import root
    from etl_assets.errors import ConfigError, EtlAssetsError

    debug = "--debug" in arguments[:1]
    try:
        outcome = root.main(list(arguments), prog_name="etl-assets", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; what was finished is kept, run the command again to go on")
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone, as `head` does. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EtlAssetsError as error:
        if debug:
            raise
        _say(str(error))
        return 2 if isinstance(error, ConfigError) else 1


def _say(message: str) -> None:
    from etl_assets.cli.output import printable

    sys.stderr.write("etl-assets: " + "\n".join(printable(line) for line in message.splitlines()) + "\n")
