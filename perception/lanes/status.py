"""What the vehicle does in its lane: keeping, drifting, changing."""

from __future__ import annotations

from itertools import pairwise

from perception.types import Lanes, LaneStatus

HALF_VEHICLE_M = 0.95  # half the width of a passenger car
_WINDOW_S = 0.6  # over which the lateral speed is taken
_DRIFT_MPS = 0.25  # slower is how people steer within a lane
_CROSSING_SOON_S = 1.5  # a drift is told when a wheel would be on the line within that


def lane_status(memory: list[tuple[float, float, float]], t_s: float, lanes: Lanes) -> LaneStatus:
    """Status from the offsets of late; ``memory`` holds (t_s, offset_m, width_m) and is kept here."""
    memory.append((t_s, lanes.offset_m, lanes.width_m))
    while memory[-1][0] - memory[0][0] > _WINDOW_S:
        memory.pop(0)
    free_m = 0.5 * lanes.width_m - HALF_VEHICLE_M - abs(lanes.offset_m)
    if free_m < -0.5 * HALF_VEHICLE_M:
        return LaneStatus.CHANGING
    jump_m = max((abs(b[1] - a[1]) for a, b in pairwise(memory)), default=0.0)
    if memory[-1][0] - memory[0][0] < 0.5 * _WINDOW_S or jump_m > 1.0:
        return LaneStatus.KEEPING
    mean_s = sum(seconds for seconds, *_ in memory) / len(memory)
    moved = sum((seconds - mean_s) * offset_m for seconds, offset_m, _ in memory)
    speed = moved / sum((seconds - mean_s) ** 2 for seconds, *_ in memory)  # slope of the line through them
    if abs(speed) > _DRIFT_MPS and speed * lanes.offset_m > 0 and free_m < abs(speed) * _CROSSING_SOON_S:
        return LaneStatus.DRIFTING_LEFT if speed > 0 else LaneStatus.DRIFTING_RIGHT
    return LaneStatus.KEEPING
