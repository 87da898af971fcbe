"""Getting servers: Debian packages, wheels, jars and Go programs. What is there already is not installed again.

Wheels, jars and built programs go into a cache folder outside the repository: ``ETL_TEST_SERVERS``, by default
``~/.cache/etl-assets-test-servers``. Each has a folder of its own named by its version, made beside it and renamed
when it is complete, so that a killed installation leaves nothing that looks finished.
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from etl_assets_tests.servers.model import Unavailable

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>servers</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{}</dependencies></project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_NO_SERVICES = Path("/usr/sbin/policy-rc.d")


def cache() -> Path:
    """Where installed servers are kept between runs."""
    return Path(os.environ.get("ETL_TEST_SERVERS") or Path.home() / ".cache" / "etl-assets-test-servers")


def find_program(name: str, *folders: str) -> Path | None:
    """A program on the PATH, in the folders of system programs, or in these."""
    search = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=search)
    return Path(found) if found else None


def debian(program: str, packages: Sequence[str], *folders: str) -> Path:
    """A program from Debian's packages, which are installed where that can be done.

    Raises:
        Unavailable: it is absent, and this is not root on a Debian.
    """
    found = find_program(program, *folders)
    if found is not None:
        return found
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"{program} is not installed; run `{' '.join(command)}` as root, or set its variables")
    with _locked("debian"), _without_services():
        if find_program(program, *folders) is None:
            _run(["apt-get", "update", "-qq"], program)
            _run(command, program, environment={"DEBIAN_FRONTEND": "noninteractive"})
    found = find_program(program, *folders)
    if found is None:
        raise Unavailable(f"{' '.join(packages)} did not bring {program}")
    return found


def wheels(name: str, version: str, *requirements: str) -> Path:
    """A folder for PYTHONPATH that holds these requirements and what they need."""
    if importlib.util.find_spec("pip") is not None:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target"]
    else:
        uv = find_program("uv", str(Path(sys.executable).parent)) or _absent(name, "pip or uv")
        install = [str(uv), "pip", "install", "--quiet", "--python", sys.executable, "--target"]
    return cached(name, version, lambda folder: _run([*install, str(folder), *requirements], name))


def jars(name: str, version: str, *artifacts: str) -> Path:
    """A folder of jars: these artifacts (``group:artifact:version``) and what they need at run time."""

    def make(folder: Path) -> None:
        maven = find_program("mvn") or _absent(name, "Maven (mvn)")
        java()
        pom = folder / "pom.xml"
        pom.write_text(_POM.format("".join(_DEPENDENCY.format(*one.split(":")) for one in artifacts)))
        target = f"-DoutputDirectory={folder}"
        goal = ["org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", "-DincludeScope=runtime"]
        _run([str(maven), "-q", "-B", "-f", str(pom), *goal, target], name)

    return cached(name, version, make)


def java() -> Path:
    """The Java that runs the jars."""
    return find_program("java") or _absent("jars", "Java 17 or newer (java)")


def go(name: str, version: str, package: str, program: str) -> Path:
    """A program built from a Go package. Other modules than the one pinned are pinned by its own go.sum."""

    def make(folder: Path) -> None:
        compiler = find_program("go", "/usr/local/go/bin") or _absent(name, "Go 1.24 or newer (go)")
        _run(
            [str(compiler), "install", f"{package}@{version}"], name, environment={"GOBIN": str(folder), "GOFLAGS": ""}
        )

    return cached(name, version, make) / program


def is_cached(name: str, version: str) -> bool:
    """Whether ``cached`` has nothing left to do."""
    return _place(name, version).is_dir()


def cached(name: str, version: str, make: Callable[[Path], object]) -> Path:
    """The folder of one version, made by ``make`` if it is not there."""
    place = _place(name, version)
    if place.is_dir():
        return place
    with _locked(name):
        if not place.is_dir():
            part = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
            try:
                make(part)
                part.chmod(0o755)
                part.rename(place)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return place


def _place(name: str, version: str) -> Path:
    return cache() / f"{name}-{version}"


def _absent(name: str, what: str) -> Path:
    raise Unavailable(f"{name}: {what} is not installed; install it, or set the server's variables")


def _run(command: Sequence[str], name: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise Unavailable(f"{name}: {' '.join(command[:4])} ... failed: {(done.stderr or done.stdout)[-2000:]}")


@contextmanager
def _locked(name: str) -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / f"{name}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _without_services() -> Iterator[None]:
    """Debian asks this file whether a package may start its service; 101 means no."""
    if _NO_SERVICES.exists():
        yield
        return
    _NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
    _NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        _NO_SERVICES.unlink()
