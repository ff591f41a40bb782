"""What the mount is found by while driving, and what is told of it: limits and rates, the lane's cue, the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from geometry.vehicle_heights import HeightFound

NAN = math.nan
State = Literal["uncalibrated", "calibrating", "calibrated", "invalid"]


@dataclass(frozen=True)
class CalibrationConfig:
    """Limits and rates, in SI units and radians.

    Attributes:
        min_speed_mps: slower, the heading is too uncertain.
        max_yaw_rate_radps: faster turns slip sideways and bend the lanes: no yaw is learned in them, and no lanes used.
        max_turning_radps: faster still, the body leans: nothing is learned.
        max_heading_sigma_rad: a flow less sure of its heading teaches nothing slow.
        block_s, blocks_needed, blocks_kept: seconds of good driving a block; how many to be calibrated; how many count.
        good_sigma_rad, lost_sigma_rad: standard error of pitch and yaw below which the mount is calibrated, and above
            which it no longer is (hysteresis).
        moved_rad, moved_blocks: the newest blocks this far from the others mean that the mount has moved.
        roll_doubt_rad: barriers and kerbs at one side tilt the road plane seen, however long one looks.
        max_roll_rad: a plane tilted by more than this from the profile's is no road (a slope beside it, a wall, rain on
            the lens: 10 to 60 degrees); of a block in which most are, no roll is learned.
        max_mount_rad: farther from the prior than this is no road camera's mount.
        prior_sigma_rad: how sure the profile's pitch and yaw are; prior_roll_sigma_rad likewise.
        prior_height_sigmas, prior_height_share: of the profile's height, as shares of it: measured with a tape, or
            plainly wrong (a guess, another car), and the share of profiles of the first sort.
        vehicles_pitch_rad, vehicles_every_s: heights of vehicles tell the camera's once the pitch is this sure; how
            often they are asked.
        axle_to_camera_m: the camera moves sideways in bends, being ahead of the rear axle; passenger cars: 1.5 m.
        swing_s: sways of the body faster than this are taken out of what the slow pitch learns from.
        rest_s, suspension_sigma_rad: how fast the body comes to rest, and how far it pitches.
        lean_s: turns seen lean to one side (0.2 degree a second on KITTI's street, against its inertial sensor) and so
            do hills; the body does not for as long as this, so the mean turn over it is taken out.
        lane_width_m: known width of the ego lane, to find the height by; NaN where it is not known.
    """

    min_speed_mps: float = 3.0
    max_yaw_rate_radps: float = math.radians(4.0)
    max_turning_radps: float = math.radians(18.0)
    max_heading_sigma_rad: float = math.radians(0.6)
    block_s: float = 1.5
    blocks_needed: int = 6
    blocks_kept: int = 80
    good_sigma_rad: float = math.radians(0.15)
    lost_sigma_rad: float = math.radians(0.4)
    moved_rad: float = math.radians(0.8)
    moved_blocks: int = 5
    roll_doubt_rad: float = math.radians(0.7)
    max_roll_rad: float = math.radians(6.0)
    max_mount_rad: float = math.radians(20.0)
    prior_sigma_rad: float = math.radians(1.5)
    prior_roll_sigma_rad: float = math.radians(0.5)
    prior_height_sigmas: tuple[float, float] = (0.03, 0.2)
    prior_height_share: float = 0.5
    vehicles_pitch_rad: float = math.radians(0.3)
    vehicles_every_s: float = 3.0
    axle_to_camera_m: float = 1.5
    swing_s: float = 1.0
    rest_s: float = 2.0
    lean_s: float = 10.0
    suspension_sigma_rad: float = math.radians(0.7)
    lane_width_m: float = NAN


@dataclass(frozen=True)
class LaneCue:
    """How the lane's boundaries run on the road as the camera of the last step showed them.

    A boundary d metres left of the vehicle starts in the direction heading + d spread (as slope dy / dx). On a plane
    boundaries are parallel: a spread shows a pitch error of spread times height, and the mean heading over time a yaw
    error.
    """

    heading: float
    spread_pm: float
    heading_sigma: float = 0.02
    spread_sigma_pm: float = 0.0015
    width_m: float = NAN

    @classmethod
    def from_lines(cls, coeffs: Sequence[np.ndarray], slope_sigma: float = 0.004) -> LaneCue | None:
        """From two or more boundaries, each (>= 2,) coefficients of y = c0 + c1 x + ...; None where they are one."""
        if len(coeffs) < 2:
            return None
        offset, slope = np.array([c[:2] for c in coeffs], dtype=np.float64).T
        apart = offset - offset.mean()
        spread_of_offsets = float(apart @ apart)
        if not spread_of_offsets > 1.0:
            return None
        spread = float(apart @ slope) / spread_of_offsets
        heading = float(slope.mean() - spread * offset.mean())
        width = float(abs(offset[0] - offset[1])) if len(coeffs) == 2 else NAN
        return cls(heading, spread, max(0.02, slope_sigma), slope_sigma / math.sqrt(spread_of_offsets), width)


@dataclass(frozen=True)
class MountReport:
    """What is believed of the mount: slow angles and height with standard deviations, state, share of the way there."""

    pitch_rad: float
    yaw_rad: float
    roll_rad: float
    height_m: float
    pitch_sigma_rad: float
    yaw_sigma_rad: float
    roll_sigma_rad: float
    height_sigma_m: float
    state: State
    progress: float
    moved: bool


class Kept(NamedTuple):
    """What is kept from drive to drive: (4,) measured pitch, yaw, roll and log of height over the profile's (NaN where
    never measured), the blocks they rest on, and the height by vehicles."""

    mount: np.ndarray
    blocks: int
    vehicles: HeightFound | None = None
