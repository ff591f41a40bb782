"""How loops are compiled: once for one signature, kept on disk, without Python's lock.

Modules of compiled loops (``kernels``) import this, and numba with it, at their top; they are themselves imported only
by the constructor or function that uses them, so that ``import geometry`` stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: str) -> Callable[[Any], Any]:
    """Decorator that compiles a function for one signature when its module is imported, or reads it from the cache.

    Divisions by zero give infinities and NaN as in NumPy.
    """
    return numba.njit(signature, cache=True, nogil=True, error_model="numpy")
