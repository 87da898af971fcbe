"""One server of each kind for everybody who asks: the processes of one test run, or one ``start`` command."""

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import NotReady, Unavailable
from etl_assets_tests.servers.processes import hold, is_alive, let_go
from etl_assets_tests.servers.registry import RECIPES


def required() -> bool:
    """Whether a server that cannot be had is a failure, and is installed when it is absent."""
    return os.environ.get("ETL_TEST_REQUIRE_SERVERS", "") not in ("", "0")


def shared_folder(run: str) -> Path:
    """A folder of one test run, which programs that run as another user may enter."""
    folder = Path(tempfile.gettempdir()) / f"etl-assets-servers-{os.getuid()}-{run}"
    folder.mkdir(mode=0o711, exist_ok=True)
    folder.chmod(0o711)
    return folder


def given_variables(name: str) -> Mapping[str, str] | None:
    """What a person has set for a server, if that is enough to use it."""
    found = {variable: os.environ[variable] for variable in RECIPES[name].variables if os.environ.get(variable)}
    return found if len(found) == len(RECIPES[name].variables) else None


def variables_of(name: str, folder: Path, *, install: bool, remove: bool = True) -> Mapping[str, str]:
    """The variables of a running server of this kind: the person's own, or one shared by all who use ``folder``.

    It runs until the last process that asked for it has ended.

    Raises:
        Unavailable: it is absent, and may not or cannot be installed; or it does not come up.
    """
    given = given_variables(name)
    if given is not None:
        return given
    recipe = RECIPES[name]
    needed: dict[str, str] = {}
    for other in recipe.needs:
        needed.update(variables_of(other, folder, install=install, remove=remove))
    if not recipe.is_installed():
        if not install:
            raise Unavailable(
                f"{name} is not installed; `make test-backends` installs it, or set {recipe.variables[0]}"
            )
        recipe.install()
    place, state = folder / name, folder / f"{name}.json"
    with open(folder / f"{name}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if state.exists() and hold(place):
            known = json.loads(state.read_text())
            if is_alive(known["pid"]):
                return dict(known["variables"])
            let_go(place)
        try:
            server = recipe.start(place, needed, remove=remove)
        except NotReady as e:
            raise Unavailable(str(e)) from e
        state.write_text(json.dumps({"pid": server.pid, "variables": dict(server.variables)}))
        return server.variables
