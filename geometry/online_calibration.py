"""The mount while driving: slow angles from long averages, the suspension frame by frame, and when to believe them.

Cues: the camera's motion between frames (``geometry.flow``: heading, turn, road plane) and how the lane's boundaries
run (``LaneCue``). Slow angles are averaged only while driving straight and fast enough, in blocks of seconds whose
scatter tells how sure they are (comma.ai's openpilot, calibrationd, does likewise); the profile's mount is the prior.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.camera import Camera
from geometry.flow import CameraMotion
from geometry.height_belief import believed_height
from geometry.mount_cues import NAN, CalibrationConfig, Kept, LaneCue, MountReport, State
from geometry.mount_filter import Block, SlowEstimate, SlowMount, SuspensionPitch
from geometry.vehicle_heights import HeightFound, VehicleHeights

__all__ = ["CalibrationConfig", "Kept", "LaneCue", "MountReport", "OnlineCalibration", "State"]

_PITCH, _YAW, _ROLL, _LOG_HEIGHT = range(4)
_LOOK_S = 0.09
"""Boxes nearer in time say the same (``geometry.vehicle_heights``): every third frame of 25 or 30 a second."""


class OnlineCalibration:
    """Follows the mount of one camera through a drive; ``step`` once a frame, then use the camera it returns.

    Args:
        camera: intrinsics of the clip's size, and the mount believed at first.
        seen: mount of an earlier drive and what it rests on (``geometry.calibration_store`` keeps them).
    """

    def __init__(
        self,
        camera: Camera,
        config: CalibrationConfig | None = None,
        *,
        seen: Kept | tuple[np.ndarray, int] | None = None,
    ) -> None:
        self.config = config or CalibrationConfig()
        self._base = camera
        self._slow = SlowMount(self.config.blocks_kept)
        before = Kept(np.full(4, NAN), 0) if seen is None else Kept(*seen)
        for _ in range(min(before.blocks, self.config.blocks_kept // 2)):
            self._slow.add(np.array(before.mount, dtype=np.float64))
        self._heights = VehicleHeights(before.vehicles)
        self._asked_s = self._looked_s = NAN
        self._block = Block()
        self._tilted = 0  # how many more planes of this block were tilted too much than were not
        self._suspension = SuspensionPitch(self.config.rest_s, self.config.suspension_sigma_rad)
        self._mount, self._sigma = self._believed(self._measured())
        self._state: State = "uncalibrated"
        self._moved = False
        self._swing = self._lean_radps = 0.0
        self._last_s = NAN
        self._settle(self._measured())
        self.camera = self._current()

    # -- what is believed ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """uncalibrated, calibrating, calibrated or invalid."""
        return self._state

    @property
    def progress(self) -> float:
        """Share of the blocks needed, the one being filled included, 0 to 1."""
        have = len(self._slow.blocks) + min(self._block.seconds / self.config.block_s, 0.99)
        return min(1.0, have / self.config.blocks_needed)

    @property
    def moved(self) -> bool:
        """The alarm: the mount has moved, and the new one is not calibrated yet."""
        return self._moved

    @property
    def suspension_rad(self) -> float:
        """Pitch of this frame against the mount's."""
        return self._suspension.pitch_rad

    @property
    def suspension_sigma_rad(self) -> float:
        """Standard deviation of ``suspension_rad``."""
        return self._suspension.sigma_rad

    @property
    def blocks(self) -> int:
        """How many blocks the slow angles rest on."""
        return len(self._slow.blocks)

    @property
    def height_by_vehicles(self) -> HeightFound | None:
        """What the heights of the vehicles met tell; None for too few of them."""
        return self._heights.found()

    def report(self) -> MountReport:
        """The slow mount and how sure it is."""
        pitch, yaw, roll, log_height = (float(v) for v in self._mount)
        height = self._base.height_m * math.exp(log_height)
        s = [float(v) for v in self._sigma]
        return MountReport(
            pitch, yaw, roll, height, s[0], s[1], s[2], height * s[3], self._state, self.progress, self._moved
        )

    # -- one frame ----------------------------------------------------------------------------------------------

    def step(
        self,
        t_s: float,
        *,
        flow: CameraMotion | None = None,
        lanes: LaneCue | None = None,
        speed_mps: float = NAN,
        yaw_rate_radps: float = NAN,
        speed_is_given: bool = False,
    ) -> Camera:
        """The camera to use for this frame.

        Args:
            t_s: time of the frame.
            flow: camera motion since the last frame, computed with any mount of this camera with the same roll.
            lanes: measured with the camera that the last step returned.
            speed_mps, yaw_rate_radps: of the vehicle; NaN where unknown (the yaw rate then follows from the flow).
            speed_is_given: the speed is from outside, not from the height believed: it can tell the height.
        """
        dt_s = t_s - self._last_s if math.isfinite(self._last_s) else 0.0
        if not 0.0 < dt_s < 1.0:  # the first frame, or a jump in the clip: nothing moved from one to the other
            flow, dt_s = None, 0.0
        self._last_s = t_s
        self._sway(dt_s, flow)
        if not math.isfinite(yaw_rate_radps) and flow is not None and dt_s > 0:
            yaw_rate_radps = float(flow.turn_rad[2]) / dt_s
        # What is unknown counts as good driving: the flow has a gate of its own.
        turning = abs(yaw_rate_radps)
        drives = not (speed_mps < self.config.min_speed_mps or turning > self.config.max_turning_radps)
        straight = drives and not turning > self.config.max_yaw_rate_radps
        learned = False
        if flow is not None:
            learned |= self._by_flow(flow, (drives, straight), speed_mps, yaw_rate_radps)
            if speed_is_given and drives:
                self._height_by_speed(flow, speed_mps * dt_s)
        if lanes is not None:
            learned |= self._by_lanes(lanes, straight)
        if learned:
            self._block.seconds += dt_s
        if self._block.seconds >= self.config.block_s:
            self._finish_block()
        self.camera = self._current()
        return self.camera

    def see_vehicles(self, track_id: np.ndarray, class_id: np.ndarray, xyxy_px: np.ndarray) -> None:
        """Boxes (N, 4) of tracked vehicles in the frame of the last step: they tell the height once the pitch is sure.

        May be called every frame; some of them are looked at, with the mount at rest: the body sways to both sides,
        an error of the sway seen may last, and a tenth of a degree is 1 % of height at 10 m.

        Args:
            track_id, class_id: (N,), classes as in ``perception.types.CLASSES``.
        """
        t_s = self._last_s
        if self._sigma[_PITCH] > self.config.vehicles_pitch_rad or not math.isfinite(t_s):
            return
        if 0.0 <= t_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = t_s
        self._heights.see(self._mounted(0.0), track_id, class_id, xyxy_px, t_s)
        if not t_s - self._asked_s < self.config.vehicles_every_s:  # the first time, too
            self._asked_s = t_s
            self._mount, self._sigma = self._believed(self._measured())

    def _sway(self, dt_s: float, flow: CameraMotion | None) -> None:
        """Moves the body by the turn seen, less the mean turn; without one, how it sways is forgotten."""
        if flow is None:
            self._suspension.predict(dt_s)
            self._swing = 0.0
            return
        turn_rad = float(flow.turn_rad[1])
        if dt_s > 0.0 and math.isfinite(turn_rad):
            self._lean_radps += dt_s / self.config.lean_s * (turn_rad / dt_s - self._lean_radps)
            turn_rad -= self._lean_radps * dt_s
        self._suspension.predict(dt_s, turn_rad, float(flow.turn_sigma_rad[1]))
        self._swing = self._swing * math.exp(-dt_s / self.config.swing_s) + turn_rad

    def _by_flow(self, flow: CameraMotion, gates: tuple[bool, bool], speed_mps: float, yaw_rate_radps: float) -> bool:
        if flow.pitch_sigma_rad > 2 * self.config.max_heading_sigma_rad:
            return False
        self._suspension.update(flow.pitch_rad - self._mount[_PITCH], flow.pitch_sigma_rad)
        drives, straight = gates
        if not drives or flow.pitch_sigma_rad > self.config.max_heading_sigma_rad:
            return False
        slip = 0.0
        if math.isfinite(speed_mps) and math.isfinite(yaw_rate_radps):
            slip = self.config.axle_to_camera_m * yaw_rate_radps / max(speed_mps, self.config.min_speed_mps)
        # Within a block suspension and steering move more than one frame's noise: no frame may count for all.
        self._block.add(_PITCH, flow.pitch_rad - self._swing, math.hypot(flow.pitch_sigma_rad, math.radians(0.3)))
        if straight:
            self._block.add(_YAW, flow.yaw_rad + slip, math.hypot(flow.yaw_sigma_rad, math.radians(0.3)))
        if abs(flow.roll_rad - self._base.roll_rad) <= self.config.max_roll_rad:
            self._block.add(_ROLL, flow.roll_rad, math.hypot(flow.roll_sigma_rad, math.radians(0.5)))
            self._tilted -= 1
        elif math.isfinite(flow.roll_rad):
            self._tilted += 1
        return True

    def _height_by_speed(self, flow: CameraMotion, travelled_m: float) -> None:
        if flow.travel_per_height > 0 and travelled_m > 0:
            share = flow.travel_per_height_sigma / flow.travel_per_height
            log_height = math.log(travelled_m / flow.travel_per_height / self._base.height_m)
            self._block.add(_LOG_HEIGHT, log_height, math.hypot(share, 0.05))

    def _by_lanes(self, lanes: LaneCue, gate: bool) -> bool:
        used, c = self.camera, self.config
        pitch = used.pitch_rad + math.atan(lanes.spread_pm * used.height_m)
        # Slopes and crests of the road ahead move where its boundaries meet: 0.3 degrees a kilometre's bend of 2000 m.
        sigma = math.hypot(lanes.spread_sigma_pm * used.height_m, math.radians(0.3))
        if not math.isfinite(pitch) or sigma > c.max_heading_sigma_rad:
            return False
        self._suspension.update(pitch - self._mount[_PITCH], sigma)
        if not gate:
            return False
        self._block.add(_PITCH, pitch - self._swing, math.hypot(sigma, math.radians(0.3)))
        yaw = used.yaw_rad - math.atan(lanes.heading)
        self._block.add(_YAW, yaw, math.hypot(lanes.heading_sigma, math.radians(1.0)))
        if math.isfinite(lanes.width_m) and math.isfinite(c.lane_width_m) and lanes.width_m > 0:
            log_height = math.log(used.height_m / self._base.height_m * c.lane_width_m / lanes.width_m)
            self._block.add(_LOG_HEIGHT, log_height, 0.05)
        return True

    # -- the slow mount -----------------------------------------------------------------------------------------

    def _finish_block(self) -> None:
        mean = self._block.mean
        if self._tilted > 0:
            mean[_ROLL] = NAN
        self._slow.add(mean)
        self._block, self._tilted = Block(), 0
        c = self.config
        if self._slow.moved(c.moved_blocks, self._floor(), c.moved_rad):
            self._slow.keep_last(c.moved_blocks - 1)  # the first of them may be half old
            self._heights = VehicleHeights()
            self._moved = True
            before, self._state = self._mount[_PITCH], "invalid"
            self._mount, self._sigma = self._believed(self._measured())
            self._suspension.shift(self._mount[_PITCH] - before)
            return
        measured = self._measured()
        before = self._mount[_PITCH]
        self._mount, self._sigma = self._believed(measured)
        self._suspension.shift(self._mount[_PITCH] - before)
        self._settle(measured)

    def _floor(self) -> np.ndarray:
        """Least scatter of one block: steering and slopes of the road, over some seconds."""
        return np.array([math.radians(0.1), math.radians(0.15), math.radians(1.0), 0.02])

    def _measured(self) -> SlowEstimate:
        return self._slow.estimate(self._floor())

    def _believed(self, measured: SlowEstimate) -> tuple[np.ndarray, np.ndarray]:
        """Prior and measurement by inverse variance: (4,) and (4,)."""
        c, camera = self.config, self._base
        prior = np.array([camera.pitch_rad, camera.yaw_rad, camera.roll_rad, 0.0])
        prior_sigma = np.array([c.prior_sigma_rad, c.prior_sigma_rad, c.prior_roll_sigma_rad, 1.0])
        have = np.isfinite(measured.mean)
        doubt = np.hypot(measured.sigma, [0.0, 0.0, c.roll_doubt_rad, 0.0])
        weight = np.where(have, np.where(have, doubt, 1.0) ** -2.0, 0.0)
        total = prior_sigma**-2.0 + weight
        mean = (prior * prior_sigma**-2.0 + np.where(have, measured.mean, 0.0) * weight) / total
        sigma = total**-0.5
        mean[_LOG_HEIGHT], sigma[_LOG_HEIGHT] = self._height(measured)
        return mean, sigma

    def _height(self, measured: SlowEstimate) -> tuple[float, float]:
        """Log of the height over the profile's: lane width, given speed and vehicles, against the profile."""
        c, vehicles = self.config, self._heights.found()
        said = [(float(measured.mean[_LOG_HEIGHT]), float(measured.sigma[_LOG_HEIGHT]))]
        if vehicles is not None:
            said.append((vehicles.log_m - math.log(self._base.height_m), vehicles.sigma))
        return believed_height(said, c.prior_height_sigmas, c.prior_height_share)

    def _settle(self, measured: SlowEstimate) -> None:
        """The state that follows from the blocks."""
        c = self.config
        if measured.blocks == 0:
            self._state = "uncalibrated"
            return
        off = np.abs(self._mount[:2] - [self._base.pitch_rad, self._base.yaw_rad]).max()
        doubt = float(np.max(np.nan_to_num(measured.sigma[:2], nan=math.inf)))
        limit = c.lost_sigma_rad if self._state == "calibrated" else c.good_sigma_rad
        if off > c.max_mount_rad:
            self._state = "invalid"
        elif measured.blocks >= c.blocks_needed and doubt <= limit:
            self._state, self._moved = "calibrated", False
        else:
            self._state = "calibrating"

    def _current(self) -> Camera:
        return self._mounted(self._suspension.pitch_rad)

    def _mounted(self, suspension_rad: float) -> Camera:
        """The camera as its mount is believed, the body pitched by ``suspension_rad``."""
        pitch, yaw, roll, log_height = (float(v) for v in self._mount)
        return self._base.mounted(
            pitch_rad=pitch + suspension_rad,
            yaw_rad=yaw,
            roll_rad=roll,
            height_m=self._base.height_m * math.exp(log_height),
        )

    def seen(self) -> Kept:
        """What was measured so far, to be kept."""
        return Kept(self._measured().mean, len(self._slow.blocks), self._heights.found())
