"""Lane boundaries in metres: ``LaneTracker`` follows them from frame to frame (docs/lanes.md says how)."""

from perception.lanes.lane_tracker import LaneConfig, LaneTracker

__all__ = ["LaneTracker", "LaneConfig"]
