"""Noise of the metric filter, for the three kinds of boxes it meets."""

from __future__ import annotations

from dataclasses import dataclass, field

from geometry.ground import RangeNoise


@dataclass(frozen=True)
class MotionConfig:
    """Noise of the metric filter: standard deviations, and time constants of what drifts.

    The defaults are for a detector's boxes on real roads; ``outlines`` and ``exact`` for labels and rendered scenes. On
    KITTI's labelled boxes the road under objects departs from a plane by 0.4 degree in common within a drive, with a
    memory of 2 s, and by 0.1 to 0.2 degree (heavy tails) from object to object, with 1 to 2 s. How much of that there
    is on this road is measured while driving: ``rough_*``.

    Attributes:
        noise: of box edges and of the road's surface.
        overhang_m: a detector's box ends at the wheels, this far behind the bumper that is the nearest face of a
            vehicle: the usual overhang of cars (0.8 to 0.95 m) less the length of the tyre before its axle.
        acceleration_mps2: white acceleration of an object, along and across: power over one second.
        braking_mps2, braking_s: acceleration along the road that lasts, and how long (Singer's model).
        speed_mps: of the relative velocity a new track may have.
        mount_pitch_rad, camera_height_rel: error of the camera's mount, fading over mount_s.
        road_pitch_rad, road_pitch_s: grade and suspension that all objects share, on a usual road.
        own_road_rad, own_road_m, own_road_s: slope, and height (camber, kerb), of the road under one object.
        width_drift_rel: change of believed width over one second, for bodies are no cuboids.
        gate: normalised innovation squared from which a box counts as odd and its noise is widened.
        yaw_temper, yaw_now: weight of a frame's evidence on heading, to keep and for the frame itself; turned_noise:
            how much more than white the error is that an unknown heading makes; yaw_s: how long headings last.
        aligned_share, across_share, aligned_rad: share of objects that point along the road at their place, across
            it (parked so, or crossing), and how well.
        measured_ranges: the ranges handed in are of another sensor (stereo, radar) and are measured too; else they
            are taken to come from the same boxes, and passed over.
        whole: boxes are of whole objects, as labels have them; else they end where something nearer begins.
        kerb_m: as own_road_m, of people and riders, of whom half stand on kerbs of 0.1 m.
        kind_road_rad: slope of the road under one object as the choice between body kinds takes it: wider than
            own_road_rad, for it must not see a van in every car on a kerb.
        road_freedom: degrees of freedom of the departures' tails (Student's t).
        flow_speed_rel, speed_s: relative error of an own speed told by the pictures, and how long it lasts: 5 % rms on
            KITTI's street with the camera's height known; a height found while driving adds a tenth.
        rough_first, rough_limits, rough_rate: roughness of the road against a usual one: at first, least and most,
            and the speed of its adaptation (1/s).
    """

    noise: RangeNoise = field(default_factory=lambda: RangeNoise(edge_px=2.0, edge_share=0.03, road_m=0.02))
    overhang_m: float = 0.6
    acceleration_mps2: tuple[float, float] = (4.0, 3.0)
    braking_mps2: float = 2.0
    braking_s: float = 2.0
    speed_mps: tuple[float, float] = (12.0, 3.0)
    mount_pitch_rad: float = 0.012
    mount_s: float = 80.0
    camera_height_rel: float = 0.015
    road_pitch_rad: float = 0.007
    road_pitch_s: float = 2.0
    own_road_rad: float = 0.006
    own_road_m: float = 0.08
    own_road_s: float = 2.0
    width_drift_rel: float = 0.01
    gate: float = 12.0
    yaw_temper: float = 0.2
    yaw_now: float = 1.0
    yaw_s: float = 4.0
    turned_noise: float = 50.0
    aligned_share: float = 0.6
    across_share: float = 0.1
    aligned_rad: float = 0.06
    measured_ranges: bool = False
    whole: bool = False
    kerb_m: float = 0.07
    kind_road_rad: float = 0.010
    road_freedom: float = 5.0
    flow_speed_rel: float = 0.15
    speed_s: float = 3.0
    rough_first: float = 1.0
    rough_limits: tuple[float, float] = (0.22, 2.5)
    rough_rate: float = 0.3

    @classmethod
    def outlines(cls) -> MotionConfig:
        """For boxes that are outlines of 3D boxes, as labels are, and a camera whose pitch is known to a degree."""
        return cls(
            noise=RangeNoise(edge_px=0.5, edge_share=0.006, road_m=0.02),
            whole=True,
            overhang_m=0.0,
            mount_pitch_rad=0.004,
            road_pitch_rad=0.009,
            camera_height_rel=0.02,
            own_road_m=0.03,
            own_road_s=1.5,
            road_freedom=3.0,
            flow_speed_rel=0.05,
            turned_noise=66.0,
        )

    @classmethod
    def exact(cls) -> MotionConfig:
        """For a known mount, a plane road and boxes without error, as rendered scenes have them."""
        return cls(
            noise=RangeNoise(edge_px=0.45, edge_share=0.009, road_m=0.005),
            whole=True,
            overhang_m=0.0,
            acceleration_mps2=(0.3, 0.6),
            braking_mps2=4.0,
            braking_s=2.0,
            mount_pitch_rad=0.0002,
            camera_height_rel=0.001,
            road_pitch_rad=0.0003,
            own_road_rad=0.0005,
            own_road_m=0.005,
            own_road_s=5.0,
            kerb_m=0.005,
            kind_road_rad=0.003,
            road_freedom=30.0,
            rough_limits=(0.2, 15.0),
        )
