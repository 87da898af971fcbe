"""``python -m etl_assets_tests.servers install|start|versions [NAME...]``: servers for the tests, without a test."""

import argparse
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from etl_assets_tests.servers.model import Unavailable
from etl_assets_tests.servers.registry import RECIPES
from etl_assets_tests.servers.sharing import given_variables, variables_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m etl_assets_tests.servers", description=__doc__)
    parser.add_argument("action", choices=("install", "start", "versions"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(RECIPES)}")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in RECIPES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(RECIPES)}")
    names = asked.names or list(RECIPES)
    return {"install": _install, "start": _start, "versions": _versions}[asked.action](names)


def _versions(names: list[str]) -> int:
    for name in names:
        recipe = RECIPES[name]
        print(f"{name:12} {recipe.version:40} {'installed' if recipe.is_installed() else 'absent'}")
    return 0


def _install(names: list[str]) -> int:
    """Several at a time: one builds while another is downloaded."""

    def one(name: str) -> str | None:
        began = time.monotonic()
        if given_variables(name) is not None:
            print(f"{name:12} is yours, by {RECIPES[name].variables[0]}", flush=True)
            return None
        try:
            there = RECIPES[name].is_installed()
            RECIPES[name].install()
        except Unavailable as e:
            return f"{name}: {e}"
        print(f"{name:12} {'was there' if there else f'installed in {time.monotonic() - began:.0f} s'}", flush=True)
        return None

    with ThreadPoolExecutor(4) as pool:
        problems = [problem for problem in pool.map(one, names) if problem]
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


def _start(names: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="etl-assets-servers-"))
    folder.chmod(0o711)
    problems = 0
    for name in names:
        try:
            for variable, value in variables_of(name, folder, install=True, remove=False).items():
                print(f"export {variable}={value}", flush=True)
        except Unavailable as e:
            problems += 1
            print(f"{name}: {e}", file=sys.stderr)
    print(f"# their folders and logs are in {folder}; they end with this command (Ctrl-C)", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
