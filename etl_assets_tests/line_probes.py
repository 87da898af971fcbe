"""Tells coverage which lines of the product ran: ``-p etl_assets_tests.line_probes``, then ``coverage combine``.

Before 3.12, coverage learns of lines by a trace function, under which Python runs every instruction of every library
the slow way: measured, that was 40 % of the CPU seconds of tests (decision 032). Here each statement of ``etl_assets``
says by itself that it was reached, and all other code runs as it does without. What counts as a line, what is left out
and how much has to be reached is still said by coverage's own report and settings.
"""

import ast
import importlib.abc
import importlib.machinery
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from coverage import CoverageData

PACKAGE = "etl_assets"
_NAME = "_lines_reached"
_HEADER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

reached: dict[str, mmap.mmap] = {}
"""By the path of a module's source: a byte for each line. Processes that are forked write into the same bytes."""


class Probes(ast.NodeTransformer):
    """Puts before each statement one that marks its line; into each handler and case, for those tried before it too."""

    def visit(self, node: ast.AST) -> ast.AST:
        """The node, its blocks of statements with probes."""
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, field, None), list):
                setattr(node, field, _probed(block, keeps_docstring=isinstance(node, (ast.Module, *_HEADER))))
        if isinstance(node, (ast.Try, ast.TryStar)):
            _mark_tried([(one.lineno, one.body) for one in node.handlers])
        elif isinstance(node, ast.Match):
            _mark_tried([(one.pattern.lineno, one.body) for one in node.cases])
        return node


def _mark_tried(branches: list[tuple[int, list[ast.stmt]]]) -> None:
    for number, (_, body) in enumerate(branches):
        body[:0] = [_probe(line, body[0]) for line, _ in branches[: number + 1]]


def _probed(block: list[ast.stmt], *, keeps_docstring: bool) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for number, one in enumerate(block):
        decorators = one.decorator_list if isinstance(one, _HEADER) else []
        probes = [_probe(line, one) for line in dict.fromkeys((one.lineno, *(d.lineno for d in decorators)))]
        if keeps_docstring and number == 0 and isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
            found.append(one)
        elif isinstance(one, ast.ImportFrom) and one.module == "__future__":  # it comes before all that runs
            found += [one, *probes]
        else:
            found += [*probes, one]
    return found


def _probe(line: int, place: ast.stmt) -> ast.stmt:
    """``_lines_reached[line] = 1``, which tracebacks take for what stands there."""
    at = ast.Subscript(ast.Name(_NAME, ast.Load()), ast.Constant(line), ast.Store())
    return ast.fix_missing_locations(ast.copy_location(ast.Assign([at], ast.Constant(1)), place))


class ProbedLoader(importlib.machinery.SourceFileLoader):
    """Runs a module with its probes."""

    def exec_module(self, module: ModuleType) -> None:
        """As the loader of any source, without a compiled copy on disk."""
        source = self.get_data(self.path)
        reached.setdefault(self.path, mmap.mmap(-1, source.count(b"\n") + 2))
        setattr(module, _NAME, reached[self.path])
        code = compile(Probes().visit(ast.parse(source, self.path)), self.path, "exec", dont_inherit=True)
        exec(code, module.__dict__)


class ProbedFinder(importlib.abc.MetaPathFinder):
    """Finds modules of the package as they are found anyway, and has them loaded with probes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """None for what is of another package."""
        if fullname.partition(".")[0] != PACKAGE:
            return None
        others = (one for one in sys.meta_path if one is not self)
        spec = next((found for one in others if (found := one.find_spec(fullname, path, target))), None)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = ProbedLoader(spec.loader.name, spec.loader.path)
        return spec


def pytest_load_initial_conftests() -> None:
    """Before anything of the package is imported."""
    sys.meta_path.insert(0, ProbedFinder())


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Write what this process and those forked from it have reached beside what other processes write."""
    if not reached:  # the process that only hands out the tests
        return
    data = CoverageData(suffix=str(os.getpid()))
    data.add_lines({path: [line for line, hit in enumerate(bytes(lines)) if hit] for path, lines in reached.items()})
    package = Path(sys.modules[PACKAGE].__path__[0])
    data.touch_files([str(path) for path in package.rglob("*.py")])
    data.write()
