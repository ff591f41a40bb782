"""Classes of tracks: a track votes over its life, and a car that flickers to a truck stays the same track."""

from __future__ import annotations

import numpy as np

from geometry.size_priors import size_priors
from perception.types import CLASSES

_ALIKE = (
    ("car", "truck", "bus", "train"),
    ("person", "rider", "bicycle", "motorcycle"),
    ("traffic light",),
    ("traffic sign",),
)
"""Classes that detectors take for one another; a track never joins detections of two groups."""

GROUP = np.array([next(g for g, names in enumerate(_ALIKE) if name in names) for name in CLASSES])
FLICKER_COST = 0.1
"""Likeness lost where the class differs inside a group: a tie-breaker, so that the equal class wins where both fit."""
FADE = 0.95
"""Older votes fade by this factor with each detection: about 20 detections decide."""
TWO_WHEELED = np.array([name in ("bicycle", "motorcycle") for name in CLASSES])
HEIGHT_M = np.exp(size_priors(np.arange(len(CLASSES))).log_mean[:, 0])
"""Height of the objects of each class, metres: how far away one is that stands so high in the picture."""
