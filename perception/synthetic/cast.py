"""Who and what plays in a scene: vehicles, people, two-wheelers, signs and lights, numbered and put on paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from perception.synthetic import lorries, props, vehicles
from perception.synthetic import people as figures
from perception.synthetic.mesh import Mesh
from perception.synthetic.motion import Lateral, Motion, Travel
from perception.synthetic.world import Actor
from perception.types import CLASS_ID

_VEHICLES: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "car": vehicles.car,
    "van": lorries.van,
    "truck": lorries.truck,
    "bus": lorries.bus,
}
_VEHICLE_CLASS = {"car": "car", "van": "car", "truck": "truck", "bus": "bus"}  # as BDD100K labels vans


class Cast:
    """Collects the bodies of a scene, numbering them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 1])
        self.actors: list[Actor] = []

    def _add(
        self, name: str, motion: Motion, shape: Mesh | Callable[[float], Mesh], size: tuple[float, ...], **rest: bool
    ) -> None:
        class_id = CLASS_ID[name] if name else -1
        h, w, length = size
        self.actors.append(Actor(len(self.actors) + 1, class_id, motion, (h, w, length), shape, **rest))

    def vehicle(
        self, kind: str, travel: Travel, lateral: Lateral, *, oncoming: bool = False, parked: bool = False
    ) -> None:
        """A car, van, truck or bus; ``travel`` of an oncoming one runs backwards along the road."""
        mesh = _VEHICLES[kind](self.rng)
        turned = math.pi if oncoming and travel.speed_mps == 0 else None
        self._add(_VEHICLE_CLASS[kind], Motion(travel, lateral, turned), mesh, mesh.size_m, parked=parked)

    def walker(self, travel: Travel, lateral: Lateral, turned_rad: float, speed_mps: float) -> None:
        """A person on foot; ``turned_rad`` is where they look against the road's direction."""
        stature = float(np.clip(self.rng.normal(1.71, 0.09), 1.45, 1.95))
        wear, phase = figures.clothes(self.rng), float(self.rng.uniform(0, 2 * math.pi))
        cadence = 2 * math.pi * speed_mps / (0.83 * stature)  # two steps of 0.415 statures (Winter)
        stride = min(1.0, speed_mps / 1.4)
        size = (stature, 0.55, 0.5)
        figure = figures.Figure(stature, wear)

        def shape(t_s: float) -> Mesh:
            return figures.walk(figure, phase + cadence * t_s, stride)

        self._add("person", Motion(travel, lateral, turned_rad), shape, size)

    def cyclist(self, travel: Travel, lateral: Lateral, *, motor: bool = False) -> None:
        """A bicycle or motorcycle with its rider: two objects on one path."""
        stature = float(np.clip(self.rng.normal(1.74, 0.07), 1.55, 1.92))
        wear = figures.clothes(self.rng)
        if motor or self.rng.random() < 0.6:
            wear = replace(wear, helmet=vehicles.paint(self.rng))
        paint = vehicles.paint(self.rng)
        machine = figures.motorcycle(paint) if motor else figures.bicycle(paint)
        self._add("motorcycle" if motor else "bicycle", Motion(travel, lateral), machine, machine.size_m)
        cadence = travel.speed_mps / 0.8
        figure = figures.Rider(stature, wear, motor=motor)

        def shape(t_s: float) -> Mesh:
            return figure.mesh(cadence * t_s)

        height = float(figure.mesh(0.0).vertices[:, 2].max())
        self._add("rider", Motion(travel, lateral), shape, (height, 0.62, 1.0))

    def still(self, name: str, mesh: Mesh, s_m: float, d_m: float, *, turned_rad: float = 0.0) -> None:
        """Something that stands; ``name`` empty for what is no object of interest."""
        motion = Motion(Travel(s_m, 0.0), Lateral(d_m), turned_rad)
        self._add(name, motion, mesh, mesh.size_m, grounded=name not in ("traffic light", "traffic sign"))

    def sign(self, s_m: float, d_m: float, kind: str | None = None) -> None:
        """A traffic sign on its pole."""
        kind = kind or props.SIGNS[int(self.rng.integers(len(props.SIGNS)))]
        height = float(self.rng.uniform(1.9, 2.6))
        self.still("", props.pole(height + 0.5), s_m + 0.05, d_m)
        self.still("traffic sign", props.traffic_sign(kind, height, float(self.rng.uniform(0.6, 0.9))), s_m, d_m)

    def traffic_light(self, s_m: float, d_m: float, state: int) -> None:
        """A traffic light on its pole."""
        self.still("", props.pole(3.8, 0.08, (70, 74, 72)), s_m + 0.3, d_m)
        self.still("traffic light", props.traffic_light(state, 2.7), s_m, d_m)
