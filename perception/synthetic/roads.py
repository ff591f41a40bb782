"""Roads of the scenes: motorways, two-lane roads and streets, and their bends."""

from __future__ import annotations

from typing import Any

from perception.synthetic.road import Marking, Road
from perception.synthetic.world import Options


def road_length(options: Options, speed_mps: float, duration_s: float) -> float:
    return max(speed_mps, 5.0) * duration_s * 1.3 + 420.0


def _markings(
    options: Options, *, left_lanes: int, right_lanes: int, width_m: float, plan: dict[str, Any]
) -> tuple[Marking, ...]:
    """Lines of a road whose d = 0 is the middle of the vehicle's lane, with that many lanes beside it."""
    inner, edge = options.marking or plan.get("inner", "dashed"), options.edge_marking or plan.get("edge", "solid")
    lines = []
    for k in range(-right_lanes - 1, left_lanes + 1):
        d = (k + 0.5) * width_m
        at_edge = k in (-right_lanes - 1, left_lanes)
        kind, colour, wide = (edge if at_edge else inner), "white", (0.18 if at_edge else 0.13)
        if k == 0 and plan.get("left"):
            kind = options.marking or plan["left"]
        if k == 0:
            colour = options.colour or plan.get("left_colour", "white")
        lines.append(Marking(d, kind, colour, wide))  # type: ignore[arg-type]
    return tuple(lines)


def highway(
    options: Options, curvature: tuple[tuple[float, float], ...], length_m: float, lanes: tuple[int, int] = (1, 1)
) -> Road:
    """Lanes in one direction with hard shoulders; ``lanes`` left and right of the vehicle's."""
    width = options.lane_width_m or 3.6
    left, right = lanes
    if options.lanes:
        right = min(right, options.lanes - 1)
        left = options.lanes - 1 - right
    plan = {"inner": "dashed", "edge": "solid"}
    return Road(
        curvature=curvature,
        length_m=length_m,
        markings=_markings(options, left_lanes=left, right_lanes=right, width_m=width, plan=plan),
        dash_m=(4.0, 8.0),
        left_m=(left + 0.5) * width + 1.2,
        right_m=-(right + 0.5) * width - 2.6,
    )


def street(
    options: Options, curvature: tuple[tuple[float, float], ...], length_m: float, plan: dict[str, Any] | None = None
) -> Road:
    """One lane in each direction, the oncoming one on the left."""
    width = options.lane_width_m or 3.3
    base = {"inner": "dashed", "edge": "solid", "dash": (3.0, 6.0)} | (plan or {})
    return Road(
        curvature=curvature,
        length_m=length_m,
        markings=_markings(options, left_lanes=1, right_lanes=0, width_m=width, plan=base),
        dash_m=base["dash"],
        left_m=1.5 * width + base.get("verge", 0.5),
        right_m=-0.5 * width - base.get("verge", 0.5),
    )


def bend(radius_m: float, turn: str, start_m: float, *, clothoid_m: float = 40.0) -> tuple[tuple[float, float], ...]:
    """Curvature of a straight, a clothoid and a circle."""
    kappa = (1.0 if turn == "left" else -1.0) / radius_m
    return ((start_m, 0.0), (start_m + clothoid_m, kappa))
