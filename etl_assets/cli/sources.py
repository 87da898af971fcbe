"""Which files a command line names, and under which paths they go into a collection."""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from etl_assets.cli.output import printable
from etl_assets.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Source:
    """One file to take in: ``path`` is what it will be called inside its collection."""

    file: Path
    path: str


@dataclass(slots=True)
class Found:
    """What the arguments named. ``skipped`` is (file, why); a person asked for none of these by its own name."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def find_sources(arguments: Sequence[str], *, home: Path, under: str = "") -> Found:
    """Files named one by one keep their last name; those of a folder or a glob keep their path below it.

    ``under`` is a folder inside the collection to put all of them in. Hidden files, links to folders, and what is no
    regular file are skipped inside folders, and so is ``home`` itself.

    Raises:
        ConfigError: an argument names nothing, or two files would get the same path.
    """
    found = Found()
    for argument in arguments:
        before = len(found.sources) + len(found.skipped)
        for file, path in _files_of(argument, found, home.resolve()):
            found.sources.append(Source(file, "/".join(filter(None, (under.strip("/"), path)))))
        if len(found.sources) + len(found.skipped) == before and not os.path.isdir(argument):
            raise ConfigError(f"{printable(argument)}: there is no such file, folder or match")
    _refuse_twins(found.sources)
    return found


def _files_of(argument: str, found: Found, home: Path) -> Iterator[tuple[Path, str]]:
    if os.path.isdir(argument):
        yield from _below(Path(argument), found, home)
    elif os.path.lexists(argument):
        yield Path(argument), os.path.basename(argument)
    elif glob.has_magic(argument):
        base = _fixed_part(argument)
        for name in sorted(glob.iglob(argument, recursive=True)):
            if os.path.isdir(name):
                continue  # what is in it has a match of its own, or was not asked for
            inner = PurePath(os.path.relpath(name, base)).parents
            if home in Path(name).resolve().parents:
                found.skipped.append((name, "it is part of ETL_HOME"))
            elif any((Path(base) / folder).is_symlink() for folder in inner[:-1]):
                found.skipped.append((name, "below a link to a folder"))
            elif _is_usable(Path(name), found):
                yield Path(name), os.path.relpath(name, base)


def _below(folder: Path, found: Found, home: Path) -> Iterator[tuple[Path, str]]:
    def refuse(error: OSError) -> None:
        raise ConfigError(f"{printable(str(error.filename))}: {error.strerror}; make it readable") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        here = Path(place)
        if home == here.resolve():
            folders.clear()
            found.skipped.append((place, "it is ETL_HOME"))
            continue
        for name in sorted(folders):
            if name.startswith(".") or (here / name).is_symlink():
                found.skipped.append((str(here / name), "hidden" if name.startswith(".") else "a link to a folder"))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (here / name).is_symlink())
        for name in sorted(names):
            if name.startswith("."):
                found.skipped.append((str(here / name), "hidden"))
            elif _is_usable(here / name, found):
                yield here / name, (here / name).relative_to(folder).as_posix()


def _is_usable(file: Path, found: Found) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        found.skipped.append((str(file), error.strerror or "cannot be read"))
        return False
    if stat.S_ISREG(mode):
        return True
    found.skipped.append((str(file), "not a regular file"))
    return False


def _fixed_part(pattern: str) -> str:
    """The folders of a glob before its first wild part: matches keep their path below it."""
    parts = pattern.split("/")
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else ".")


def _refuse_twins(sources: Sequence[Source]) -> None:
    taken: dict[str, Path] = {}
    for source in sources:
        other = taken.setdefault(source.path, source.file)
        if other != source.file and other.resolve() != source.file.resolve():
            raise ConfigError(
                f"{printable(str(other))} and {printable(str(source.file))} would both be called "
                f"{printable(source.path)}; add the folder above them, or one of them with --under FOLDER"
            )
