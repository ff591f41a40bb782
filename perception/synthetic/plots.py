"""The plots of the scenes: who drives where on which road."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from perception.synthetic import props, vehicles
from perception.synthetic.cast import Cast
from perception.synthetic.motion import Lateral, Motion, Travel
from perception.synthetic.road import Road, Stretch
from perception.synthetic.roads import bend, highway, road_length, street
from perception.synthetic.world import Options, Surroundings

_VEHICLE_KINDS, _MIX = ("truck", "van", "bus", "car"), (0.15, 0.08, 0.045, 0.725)


def _follow(
    cast: Cast,
    count: int,
    lanes_m: Iterable[float],
    speed_mps: float,
    span_m: tuple[float, float],
    like: Motion | None = None,
) -> None:
    """Traffic in the given lanes, at least 24 m apart in a lane; ``like`` whom it speeds up and slows down, if any."""
    rng = cast.rng
    taken: list[tuple[float, float]] = []
    lanes = list(lanes_m)
    for _ in range(count):
        for _attempt in range(20):
            lane = float(lanes[rng.integers(len(lanes))])
            s = float(rng.uniform(*span_m))
            if all(abs(s - other) > 24.0 or abs(lane - place) > 1.0 for other, place in taken):
                break
        else:
            continue
        taken.append((s, lane))
        kind = str(rng.choice(list(_VEHICLE_KINDS), p=_MIX))
        pace = speed_mps * (1.0 + 0.02 * lane) + rng.uniform(-1.0, 1.0)
        travel = Travel(s, pace)
        if like is not None:  # in lanes of their own speed, so that nobody runs into anybody in minutes
            travel = Travel(s, speed_mps * (1.0 + 0.004 * lane), like.travel.phases)
        cast.vehicle(kind, travel, Lateral(lane + rng.normal(0, 0.12), weave_m=0.08, weave_hz=rng.uniform(0.05, 0.15)))


def _ego(
    options: Options, speed_mps: float, phases: tuple[tuple[float, float], ...] = (), lateral: Lateral | None = None
) -> Motion:
    speed = options.speed_mps if math.isfinite(options.speed_mps) else speed_mps
    if lateral is None:
        lateral = Lateral()
    if options.weave_m:
        lateral = replace(lateral, weave_m=options.weave_m, weave_hz=0.12)
    return Motion(Travel(0.0, speed, phases), lateral)


Plot = tuple[Road, Motion, Cast, Surroundings]
_GREEN = Surroundings("highway", trees=0.5)


def _rails(road: Road) -> tuple[float, ...]:
    return road.left_m + 0.8, road.right_m - 0.8


def _highway_scene(options: Options, seed: int, duration_s: float) -> Plot:
    """A straight motorway with traffic in all lanes."""
    cast, ego = Cast(seed), _ego(options, 28.0)
    speed = ego.travel.speed_mps
    road = highway(options, ((0.0, 0.0),), road_length(options, speed, duration_s))
    width = options.lane_width_m or 3.6
    cast.vehicle("car", Travel(32.0, speed + 0.3), Lateral(0.0, weave_m=0.1))
    count = options.traffic if options.traffic >= 0 else 7
    _follow(cast, count, (width, -width), speed, (10.0, 130.0))
    for s in range(80, int(road.length_m) - 60, 160):
        cast.sign(float(s), road.right_m - 2.2)
    return road, ego, cast, replace(_GREEN, rails_m=_rails(road))


def _cut_in(options: Options, seed: int, duration_s: float) -> Plot:
    """A motorway: a car from the right lane cuts in close ahead and brakes, the vehicle brakes in turn."""
    cast = Cast(seed)
    ego = _ego(options, 27.0, ((4.2, -3.4), (7.0, 0.0)))
    speed = ego.travel.speed_mps
    road = highway(options, ((0.0, 0.0), (90.0, 0.0), (150.0, -0.0007)), road_length(options, speed, duration_s))
    width = options.lane_width_m or 3.6
    cutter = Travel(20.0, speed - 0.8, ((2.8, -2.6), (5.4, 0.0), (7.4, 0.9)))
    cast.vehicle("car", cutter, Lateral(-width, changes=((1.6, 2.6, width),)))
    cast.vehicle("car", Travel(62.0, speed - 0.6, ((3.2, -1.2), (6.5, 0.0))), Lateral(0.1, weave_m=0.1))
    cast.vehicle("truck", Travel(58.0, speed - 6.5), Lateral(-width - 0.1, weave_m=0.08))
    cast.vehicle("car", Travel(16.0, speed + 3.0), Lateral(width, weave_m=0.08))
    cast.vehicle("van", Travel(-16.0, speed + 4.0), Lateral(width))
    count = options.traffic if options.traffic >= 0 else 3
    _follow(cast, count, (width, 0.0), speed + 1.0, (92.0, 150.0))
    for s in range(60, int(road.length_m) - 60, 140):
        cast.sign(float(s), road.right_m - 2.2, "direction" if s % 280 == 60 else "speed")
    return road, ego, cast, replace(_GREEN, rails_m=_rails(road))


def _pavement_people(cast: Cast, count: int, sides: tuple[float, float], span_m: tuple[float, float]) -> None:
    for _ in range(count):
        rng = cast.rng
        d = sides[int(rng.integers(2))] + rng.uniform(-0.9, 0.9)
        along = 1.0 if rng.random() < 0.5 else -1.0
        pace = float(rng.uniform(0.9, 1.6))
        s = float(rng.uniform(*span_m))
        cast.walker(Travel(s, along * pace), Lateral(d), 0.0 if along > 0 else math.pi, pace)


def _parked(cast: Cast, side_m: float, span_m: tuple[float, float], share: float, *, oncoming: bool = False) -> None:
    s = span_m[0]
    while s < span_m[1]:
        if cast.rng.random() < share:
            kind = "van" if cast.rng.random() < 0.15 else "car"
            cast.vehicle(
                kind, Travel(s, 0.0), Lateral(side_m + cast.rng.normal(0, 0.08)), oncoming=oncoming, parked=True
            )
        s += float(cast.rng.uniform(6.2, 8.5))


def _city_road(options: Options, length_m: float, **more: Any) -> Road:
    width = options.lane_width_m or 3.3
    road = street(options, ((0.0, 0.0),), length_m, {"edge": "solid", "verge": 2.4, "dash": (2.0, 4.0)})
    markings = tuple(replace(m, width_m=0.12) for m in road.markings)
    return replace(road, markings=markings, left_m=1.5 * width + 2.4, right_m=-0.5 * width - 2.4, **more)


def _city(options: Options, seed: int, duration_s: float) -> Plot:
    """A city street with people; a car stands in the lane ahead and the vehicle brakes late towards it."""
    cast = Cast(seed)
    ego = _ego(options, 12.0, ((4.6, -3.43), (8.15, 0.0)))
    speed = ego.travel.speed_mps
    length = road_length(options, speed, duration_s)
    stop = ego.travel.at(1e3) + 8.5
    crossing = Stretch(stop + 8.0, stop + 12.0)
    road = _city_road(
        options,
        length,
        junctions=(Stretch(stop + 14.0, stop + 26.0),),
        unpainted=(Stretch(stop + 7.0, stop + 27.0),),
        crossings=(crossing,),
    )
    width = options.lane_width_m or 3.3
    cast.vehicle("car", Travel(stop + 2.3, 0.0), Lateral(0.05))
    for k in range(3):
        pace = 1.3 + 0.15 * k
        cast.walker(
            Travel(crossing.from_m + 1.0 + k, 0.0),
            Lateral(-5.5 - 2.0 * k, changes=((1.5, 14.0 / pace, 14.0),)),
            math.pi / 2,
            pace,
        )
    cast.walker(Travel(crossing.from_m + 2.2, 0.0), Lateral(8.0, changes=((2.5, 10.0, -14.0),)), -math.pi / 2, 1.4)
    sides = (road.left_m + 1.7, road.right_m - 1.7)
    _pavement_people(cast, options.people if options.people >= 0 else 9, sides, (10.0, stop + 40.0))
    _parked(cast, road.right_m + 1.05, (14.0, stop - 12.0), 0.55)
    _parked(cast, road.left_m - 1.05, (5.0, stop - 6.0), 0.6, oncoming=True)
    for s, pace in ((70.0, -9.0), (128.0, -10.5)):
        cast.vehicle("car", Travel(s, pace), Lateral(width), oncoming=False)
    cast.cyclist(Travel(24.0, 4.6), Lateral(-1.55))
    for s in (stop + 5.0, stop + 27.5):
        cast.traffic_light(s, road.right_m - 0.6, 0)
    cast.traffic_light(stop + 27.5, road.left_m + 0.6, 0)
    cast.sign(34.0, road.right_m - 0.7, "speed")
    cast.sign(stop - 14.0, road.right_m - 0.7, "warning")
    walls = (road.left_m + 4.5, road.right_m - 4.5)
    return road, ego, cast, Surroundings("city", walls_m=walls, trees=0.35, lamps=True)


def _curve(options: Options, seed: int, duration_s: float) -> Plot:
    """A two-lane road that bends, with a car ahead and oncoming traffic."""
    cast = Cast(seed)
    safe = min(19.0, math.sqrt(2.6 * options.radius_m))
    ego = _ego(options, safe)
    speed = ego.travel.speed_mps
    knots = bend(options.radius_m, options.turn, 35.0)
    road = street(options, knots, road_length(options, speed, duration_s), {"verge": 0.8})
    width = options.lane_width_m or 3.3
    count = options.traffic if options.traffic >= 0 else 3
    if count:
        cast.vehicle("car", Travel(28.0, speed + 0.2), Lateral(0.0, weave_m=0.08))
        for k in range(count - 1):
            kind = "truck" if k == 1 else "car"
            cast.vehicle(kind, Travel(70.0 + 58.0 * k, -speed), Lateral(width))
    for s in range(40, int(road.length_m) - 60, 90):
        cast.sign(float(s), road.right_m - 1.6, "warning" if s == 40 else None)
    outside = road.right_m - 0.9 if options.turn == "left" else road.left_m + 0.9
    return road, ego, cast, Surroundings("rural", rails_m=(outside,), trees=0.7, lamps=options.night)


def _lane_change(options: Options, seed: int, duration_s: float) -> Plot:
    """The vehicle itself changes to the left lane and back."""
    cast = Cast(seed)
    width = options.lane_width_m or 3.6
    there = 0.2 * duration_s
    ego = _ego(
        options, 25.0, lateral=Lateral(0.0, changes=((there, 4.0, width), (there + 0.45 * duration_s, 4.0, -width)))
    )
    speed = ego.travel.speed_mps
    road = highway(options, ((0.0, 0.0),), road_length(options, speed, duration_s))
    cast.vehicle("truck", Travel(42.0, speed - 2.5), Lateral(0.0))
    count = options.traffic if options.traffic >= 0 else 3
    _follow(cast, count, (width, -width), speed, (40.0, 130.0))
    return road, ego, cast, replace(_GREEN, rails_m=_rails(road))


def _junction(options: Options, seed: int, duration_s: float) -> Plot:
    """A street that crosses wide junctions without any paint; a car crosses."""
    cast, ego = Cast(seed), _ego(options, 11.0)
    speed = ego.travel.speed_mps
    gaps = tuple(Stretch(s - 32.0, s + 32.0) for s in (70.0, 210.0, 350.0))
    crossed = tuple(Stretch(g.from_m + 20.0, g.to_m - 20.0) for g in gaps)
    length = road_length(options, speed, duration_s)
    road = _city_road(options, length, unpainted=gaps, junctions=crossed)
    cast.vehicle("car", Travel(30.0, speed), Lateral(0.0, weave_m=0.05))
    for number, gap in enumerate(crossed):
        start = float(1.5 + number * 140.0 / max(speed, 1.0))
        motion = Motion(Travel(gap.from_m + 15.0, 0.0), Lateral(45.0, changes=((start, 9.0, -90.0),)), -math.pi / 2)
        mesh = vehicles.car(cast.rng)
        cast._add("car", motion, mesh, mesh.size_m)
        cast.traffic_light(gap.from_m - 3.0, road.right_m - 0.6, 2)
    _pavement_people(
        cast, options.people if options.people >= 0 else 4, (road.left_m + 1.7, road.right_m - 1.7), (10.0, 150.0)
    )
    walls = (road.left_m + 5.0, road.right_m - 5.0)
    return road, ego, cast, Surroundings("city", walls_m=walls, trees=0.3, lamps=True)


def _lead_braking(options: Options, seed: int, duration_s: float) -> Plot:
    """A car ahead brakes to a stop; the vehicle follows suit a second late."""
    cast = Cast(seed)
    ego = _ego(options, 22.0, ((3.4, -4.8),))
    speed = ego.travel.speed_mps
    road = highway(options, ((0.0, 0.0),), road_length(options, speed, duration_s), (1, 0))
    width = options.lane_width_m or 3.6
    cast.vehicle("car", Travel(36.0, speed, ((2.0, -4.5),)), Lateral(0.0))
    count = options.traffic if options.traffic >= 0 else 2
    _follow(cast, count, (width,), speed, (30.0, 120.0))
    return road, ego, cast, replace(_GREEN, rails_m=_rails(road))


def _crowd(options: Options, seed: int, duration_s: float) -> Plot:
    """The vehicle waits at a zebra crossing while many people cross both ways and cover each other."""
    cast = Cast(seed)
    ego = _ego(options, 0.0)
    crossing = Stretch(9.0, 14.0)
    road = _city_road(options, 450.0, unpainted=(Stretch(7.0, 16.0),), crossings=(crossing,))
    rng = cast.rng
    for _ in range(options.people if options.people >= 0 else 14):
        side = 1.0 if rng.random() < 0.5 else -1.0
        pace = float(rng.uniform(0.9, 1.7))
        start = float(rng.uniform(-6.0, 0.4 * duration_s))
        far = 11.0
        # The quintic's middle runs at 1.875 times the mean, so the time makes the middle speed the pace.
        lateral = Lateral(side * far, changes=((start, 1.875 * 2 * far / pace, -2 * side * far),))
        cast.walker(
            Travel(float(rng.uniform(crossing.from_m + 0.3, crossing.to_m - 0.3)), 0.0),
            lateral,
            -side * math.pi / 2,
            pace,
        )
    cast.vehicle("car", Travel(30.0, -5.0, ((0.5, 2.4),)), Lateral(options.lane_width_m or 3.3))
    cast.vehicle("car", Travel(40.0, 6.0), Lateral(0.0))
    cast.traffic_light(crossing.from_m - 1.0, road.right_m - 0.6, 0)
    _pavement_people(cast, 4, (road.left_m + 1.7, road.right_m - 1.7), (12.0, 60.0))
    walls = (road.left_m + 4.5, road.right_m - 4.5)
    return road, ego, cast, Surroundings("city", walls_m=walls, trees=0.4, lamps=True)


def _oncoming(options: Options, seed: int, duration_s: float) -> Plot:
    """A country road with much oncoming traffic."""
    cast, ego = Cast(seed), _ego(options, 22.0)
    speed = ego.travel.speed_mps
    road = street(
        options, ((0.0, 0.0), (80.0, 0.0), (160.0, 0.0012)), road_length(options, speed, duration_s), {"verge": 0.9}
    )
    width = options.lane_width_m or 3.3
    cast.vehicle("car", Travel(40.0, speed), Lateral(0.0, weave_m=0.1))
    count = options.traffic if options.traffic >= 0 else 6
    for k in range(count):
        kind = ("car", "truck", "car", "van")[k % 4]
        cast.vehicle(kind, Travel(60.0 + 55.0 * k + float(cast.rng.uniform(0, 15)), -speed - 1.0), Lateral(width))
    for s in range(50, int(road.length_m) - 60, 120):
        cast.sign(float(s), road.right_m - 1.6)
    return road, ego, cast, Surroundings("rural", trees=0.7)


def _bridges(options: Options, seed: int, duration_s: float) -> Plot:
    """A motorway under bridges: bands of deep shade across the lanes."""
    road, ego, cast, around = _highway_scene(options, seed, duration_s)
    spots = tuple(float(s) for s in range(60, int(road.length_m) - 60, 110))
    for s in spots:
        cast.still("", props.bridge(road.left_m - road.right_m + 5.0, 14.0, 5.6), s, (road.left_m + road.right_m) / 2)
    return road, ego, cast, replace(around, bridges_m=spots, trees=0.3)


def _mixed(options: Options, seed: int, duration_s: float) -> Plot:
    """Long mixed driving: straights and gentle bends both ways, speed changes, traffic (for calibration)."""
    cast = Cast(seed)
    rng = cast.rng
    phases: list[tuple[float, float]] = []
    t = 8.0
    while t < duration_s - 6.0:
        rate = float(rng.choice([-1.2, 1.2]) if not phases or phases[-1][1] == 0 else 0.0)
        rate = -rate if phases and len(phases) % 4 == 2 and rate == phases[-2][1] else rate
        phases.append((t, rate))
        t += 3.0 if rate else float(rng.uniform(4.0, 9.0))
    if phases and phases[-1][1]:
        phases.append((phases[-1][0] + 3.0, 0.0))
    ego = _ego(options, 22.0, tuple(phases), Lateral(weave_m=0.12, weave_hz=0.09))
    speed = ego.travel.speed_mps
    length = road_length(options, speed * 1.4, duration_s)
    knots: list[tuple[float, float]] = [(0.0, 0.0)]
    s = 180.0
    while s < length:
        kappa = float(rng.choice([-1, 1])) / float(rng.uniform(350.0, 900.0))
        hold = float(rng.uniform(60.0, 140.0))
        knots += [(s, 0.0), (s + 60.0, kappa), (s + 60.0 + hold, kappa), (s + 120.0 + hold, 0.0)]
        s += 120.0 + hold + float(rng.uniform(200.0, 380.0))
    road = highway(options, tuple(knots), length)
    width = options.lane_width_m or 3.6
    count = options.traffic if options.traffic >= 0 else 6
    cast.vehicle("car", Travel(34.0, speed, ego.travel.phases), Lateral(0.0, weave_m=0.1))
    _follow(cast, count, (width, -width), speed, (-20.0, 150.0), like=ego)
    return road, ego, cast, replace(_GREEN, rails_m=_rails(road))


PLOTS: dict[str, Callable[[Options, int, float], Plot]] = {
    "highway": _highway_scene,
    "highway_cut_in": _cut_in,
    "city": _city,
    "curve": _curve,
    "lane_change": _lane_change,
    "junction": _junction,
    "lead_braking": _lead_braking,
    "crowd": _crowd,
    "oncoming": _oncoming,
    "bridges": _bridges,
    "mixed": _mixed,
}
