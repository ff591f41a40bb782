"""The compiled loops of all packages, loaded together before the first frame is waited for.

The first time on a machine they are compiled, which takes about half a minute of one core; then they are read from
numba's cache on disk, in about two seconds.
"""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "app.picture_kernels",
    "app.shape_kernels",
    "geometry.flow_kernels",
    "geometry.ground_kernels",
    "perception.lanes.fit_kernels",
    "perception.lanes.kernels",
    "tracking.box_kernels",
    "tracking.kernels",
    "tracking.motion_kernels",
    "tracking.point_kernels",
    "tracking.score_kernels",
    "tracking.shared_kernels",
)


def load_kernels() -> None:
    """Loads them, so that no frame has to wait for a compiler."""
    for name in MODULES:
        import_module(name)
