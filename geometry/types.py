"""Points on the road with their uncertainty, and the one way result types are checked and frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np


def frozen_array(value: Any, dtype: Any, shape: Sequence[int | None], what: str) -> np.ndarray:
    """``value`` as a read-only view of the wanted type and shape (None: any length).

    Raises:
        ValueError: another shape; the message says what was got and what was wanted.
    """
    array = np.asarray(value, dtype=dtype)
    have = array.shape
    fits = len(have) == len(shape)
    if fits:  # a plain loop: this runs for every column of every frame, and a generator costs twice the rest
        for length, want in zip(have, shape, strict=True):
            fits &= want is None or length == want
    if not fits:
        wanted = ", ".join("N" if want is None else str(want) for want in shape)
        raise ValueError(f"{what} has shape {array.shape}, must be ({wanted},)")
    view = array.view()
    view.flags.writeable = False
    return view


class Rows:
    """Mix-in for frozen dataclasses whose every field is an array with one row per object."""

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.__dataclass_fields__))))  # type: ignore[attr-defined]

    def __getitem__(self, rows: Any) -> Self:
        """The rows picked by a boolean mask, an index array or a slice.

        Rows of arrays that were checked need no check: it would take most of the time.

        Raises:
            ValueError: a single number, which is no selection of rows.
        """
        if isinstance(rows, np.ndarray) and rows.dtype == np.bool_ and rows.shape == (len(self),):
            rows = rows.nonzero()[0]  # once for all columns
        picked = object.__new__(type(self))
        by_index = isinstance(rows, np.ndarray) and rows.dtype == np.int64 and rows.ndim == 1
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            array = getattr(self, name)
            part = array.take(rows, axis=0) if by_index else array[rows]  # of few rows in half the time
            if part.ndim != array.ndim:
                raise ValueError(f"{rows} picks no rows of {type(self).__name__}; give a mask, indices or a slice")
            part.setflags(write=array.flags.writeable)
            picked.__dict__[name] = part
        return picked


@dataclass(frozen=True, eq=False)
class GroundPoints(Rows):
    """Road positions of N objects in the vehicle frame.

    Attributes:
        xy_m: (N, 2) metres forward and left; NaN where invalid.
        cov_m2: (N, 2, 2) covariance; NaN where invalid.
        valid: (N,) bool.
    """

    xy_m: np.ndarray
    cov_m2: np.ndarray
    valid: np.ndarray

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "xy_m", frozen_array(self.xy_m, np.float64, (None, 2), "GroundPoints.xy_m"))
        count = len(self.xy_m)
        set_field(self, "cov_m2", frozen_array(self.cov_m2, np.float64, (count, 2, 2), "GroundPoints.cov_m2"))
        set_field(self, "valid", frozen_array(self.valid, np.bool_, (count,), "GroundPoints.valid"))

    @classmethod
    def empty(cls) -> GroundPoints:
        return cls(np.empty((0, 2)), np.empty((0, 2, 2)), np.empty(0, bool))
