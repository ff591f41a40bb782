"""How loops are compiled: once for one signature, kept on disk, without Python's lock.

Modules of compiled loops (``kernels``) import this, and numba with it, at their top; they are themselves imported only
by the constructor or function that uses them, so that ``import geometry`` stays light.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(signature: str) -> Callable[[Any], Any]:
    """Decorator that compiles a function for one signature when its module is imported, or reads it from the cache.

    Divisions by zero give infinities and NaN as in NumPy. Numba looks for changes in the function's own file only, but
    constants from other modules are compiled in: where one of those is newer than what is kept, it is compiled afresh.
    """

    def decorate(function: Any) -> Any:
        loop = numba.njit(cache=True, nogil=True, error_model="numpy")(function)  # nothing is compiled or read yet
        code = function.__code__
        name = f"{Path(code.co_filename).stem}.{function.__name__}-{code.co_firstlineno}.*.nbi"  # Numba's name for it
        for kept in Path(loop.stats.cache_path).glob(name):
            with suppress(FileNotFoundError):  # another process may do the same
                if _changed_s(function.__module__) > kept.stat().st_mtime:
                    kept.unlink()
        loop.compile(signature)
        loop.disable_compile()
        return loop

    return decorate


@cache
def _changed_s(module: str) -> float:
    """When the newest of the modules whose names a module imports was written; 0 without any."""
    tree = ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    files = (getattr(sys.modules.get(name), "__file__", None) for name in names - {__name__})
    return max((Path(file).stat().st_mtime for file in files if file), default=0.0)
