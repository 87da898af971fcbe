"""Importing LanceDB without the client of a service that is never asked: it is two thirds of what the import costs.

LanceDB imports ``lance_namespace_urllib3_client``, generated code for its REST catalogue, of which it needs the names
of some records. Measured: 1.1 to 1.5 CPU seconds with all of it, 0.5 to 0.6 with the records alone, in each command.
"""

import importlib.util
import sys
from types import ModuleType

CLIENT = "lance_namespace_urllib3_client"


class Unopened(ModuleType):
    """A package whose modules can be imported, and that runs its own code when something in it is first asked for."""

    def __getattr__(self, name: str) -> object:
        """What the package has by this name.

        Raises:
            AttributeError: it has nothing so named.
        """
        spec = self.__spec__
        if spec is None or spec.loader is None or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def leave_unopened(package: str) -> None:
    """Have a package run its code when it is first needed. Nothing happens where it is absent or imported already."""
    if package in sys.modules or (spec := importlib.util.find_spec(package)) is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = Unopened
    sys.modules[package] = module
