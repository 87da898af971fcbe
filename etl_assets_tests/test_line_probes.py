"""Probes see the lines that coverage's own tracer sees."""

import ast
import importlib.util
from pathlib import Path

import coverage
import pytest

from etl_assets_tests import line_probes

SAMPLE = '''"""What a module may hold."""

from __future__ import annotations

import functools
import os


@functools.cache
def chosen(
    number: int,
) -> str:
    """A docstring is no line that runs."""
    try:
        if number == 0:
            raise KeyError(number)
        elif number == 1:
            raise ValueError(number)
        else:
            word = {
                n: str(n)
                for n in range(number)
            }
    except (OSError, KeyError):
        word = "zero"
    except ValueError as e:
        return str(e)
    except RuntimeError:
        return "never"
    else:
        pass
    finally:
        os.getpid()
    return str(word)


class Box:
    """A docstring."""

    held: int = 1
    """What an attribute is for."""

    def unused(self):
        return self.held

    @property
    @functools.cache
    def kind(self) -> str:
        match self.held:
            case 0:
                return "none"
            case 1 if not self:
                return "never"
            case _:
                return "some"


def numbers():
    for n in range(3):
        if n: continue
        yield n
    while True:
        with open(os.devnull) as file, open(os.devnull) as other:
            if file is other: break
            return


async def never():
    async with never():
        await never()


SAID = [chosen(0), chosen(1), chosen(2), Box().kind, *numbers(), (lambda: 7)()]
'''


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(line_probes, "reached", {})
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE)
    return path


def test_the_lines_that_say_they_ran_are_those_that_coverage_sees(sample: Path) -> None:
    tracer = coverage.Coverage(data_file=None, include=[str(sample)], config_file=False)
    with tracer.collect():
        exec(compile(SAMPLE, str(sample), "exec"), {"__name__": "sample"})
    _, lines, _, missing, _ = tracer.analysis2(str(sample))
    loader = line_probes.ProbedLoader("sample", str(sample))
    spec = importlib.util.spec_from_file_location("sample", sample, loader=loader)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = {line for line, hit in enumerate(bytes(line_probes.reached[str(sample)])) if hit}
    assert module.SAID == ["zero", "1", "{0: '0', 1: '1'}", "some", 0, 7]
    assert set(lines) - told == set(missing) and len(missing) > 5


def test_probes_take_nothing_from_a_module(sample: Path) -> None:
    tree = ast.parse(SAMPLE)
    documented = {node.name: ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    probed = line_probes.Probes().visit(ast.parse(SAMPLE))
    assert ast.get_docstring(probed) == "What a module may hold."
    kept = {node.name: ast.get_docstring(node) for node in ast.walk(probed) if isinstance(node, ast.ClassDef)}
    assert kept == documented
