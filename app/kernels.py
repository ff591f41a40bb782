"""The compiled loops of all packages, loaded together before the first frame is waited for.

The first time on a machine they are compiled, which takes about half a minute of one core; then they are read from
numba's cache on disk, in about two seconds.
"""

from __future__ import annotations

import gc
from functools import cache
from importlib import import_module

MODULES = (
    "app.picture_kernels",
    "app.shape_kernels",
    "geometry.flow_kernels",
    "geometry.ground_kernels",
    "geometry.road_kernels",
    "geometry.solve_kernels",
    "perception.lanes.fit_kernels",
    "perception.lanes.kernels",
    "tracking.box_kernels",
    "tracking.kernels",
    "tracking.life_kernels",
    "tracking.match_kernels",
    "tracking.motion_kernels",
    "tracking.point_kernels",
    "tracking.score_kernels",
    "tracking.shared_kernels",
)


_COLLECT_AFTER = 10_000  # containers more than were let go; a frame makes and lets go about a thousand


@cache
def load_kernels() -> None:
    """Loads them, so that no frame has to wait for a compiler.

    What is there then stays until the process ends: the garbage collector, which would go through the compiler's
    hundred thousands of objects every few hundred frames, leaves it alone, and looks at the rest more seldom.
    """
    for name in MODULES:
        import_module(name)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
