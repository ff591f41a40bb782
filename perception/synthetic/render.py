"""From a scene to pictures: sky, houses, ground, shadows, bodies from back to front, glare, weather, sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from perception.synthetic import bodies
from perception.synthetic.backdrop import Backdrop
from perception.synthetic.bodies import Facing, Signals
from perception.synthetic.ground import Ground, Rays
from perception.synthetic.light import Light
from perception.synthetic.motion import Poses
from perception.synthetic.scenery import Scenery
from perception.synthetic.truth import FrameTruth, Placed
from perception.synthetic.view import View
from perception.synthetic.weather import Weather
from perception.synthetic.world import Scene
from perception.types import Frame

_HIDDEN = 0.995  # of the outline: what is left would not fill a pixel
_BLINK_HZ = 1.5  # between the 60 and 120 a minute that UN ECE R6 allows
_BRAKE_MPS2 = -0.7  # UN ECE R13-H asks for the stop lamps from 0.7 m/s^2 of regenerative braking on


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered picture, its truth, and where asked which body (track id, 0 none) shows in each pixel."""

    bgr: np.ndarray
    truth: FrameTruth
    ids: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Stage:
    """One frame in the making."""

    canvas: np.ndarray
    view: View
    now: Poses
    t_s: float


class Renderer:
    """Renders the frames of one scene; textures are made once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.light = Light.of(scene)
        self.rays = Rays(scene.camera)
        self.ground = Ground(scene, self.light)
        self.backdrop = Backdrop(scene, self.light)
        self.scenery = Scenery(scene, self.light)
        self.weather = Weather(scene)

    def frame(self, index: int, t_s: float) -> tuple[Frame, FrameTruth]:
        """One frame of a clip with its truth."""
        picture = self.render(index, t_s)
        return Frame(index, t_s, picture.bgr), picture.truth

    def render(self, index: int, t_s: float, *, ids: bool = False) -> Picture:
        """The picture at a time; ``index`` seeds the noise."""
        scene = self.scene
        now = scene.poses(t_s)
        camera = scene.camera_at(t_s)
        view = View(camera)
        placed = scene.placed(t_s, now)
        truth = scene.truth_of(t_s, now, placed)
        canvas = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
        self.backdrop.paint(canvas, self.rays, camera, now)
        self.ground.paint(canvas, self.rays, camera, now)
        self._shadows(canvas, view, placed, now)
        owner = np.zeros(canvas.shape[:2], np.int32) if ids else None
        stage = Stage(canvas, view, now, t_s)
        houses, rails, near = self._layers(placed, now)
        sources = self._paint_bodies(stage, houses, owner)
        self.backdrop.paint_walls(canvas, self.rays, camera, now)
        self.scenery.paint_trees(canvas, view, now)
        sources += self._paint_bodies(stage, rails, owner)
        here = float(now.d_m[0])
        rails_m = sorted(scene.surroundings.rails_m, key=lambda rail: -abs(rail - here))
        self.scenery.paint_rails(canvas, view, now, rails_m)
        sources += self._paint_bodies(stage, near, owner)
        self.weather.glare(canvas, view, sources)
        return Picture(self.weather.finish(canvas, index), truth, owner)

    def _shadows(self, canvas: np.ndarray, view: View, placed: list[Placed], now: Poses) -> None:
        light = self.light
        mask = np.full(canvas.shape[:2], 255, np.uint8)
        sun = light.sun_direction(float(now.heading_rad[0]))
        depth = 0.0 if light.night else 0.85 * (1 - light.sky / light.full)
        bodies.cast_shadows(mask, view, placed, sun, depth)
        rows = np.flatnonzero((mask < 255).any(axis=1))
        if len(rows):
            block = np.s_[max(0, int(rows[0]) - 3) :]
            soft = cv2.GaussianBlur(mask[block], (0, 0), 0.0016 * canvas.shape[1])
            canvas[block] = cv2.multiply(canvas[block], cv2.cvtColor(soft, cv2.COLOR_GRAY2BGR), scale=1 / 255)

    def _layers(self, placed: list[Placed], now: Poses) -> tuple[list[Placed], list[Placed], list[Placed]]:
        """Bodies beyond the house fronts, beyond guard rails, and before both, each in painting order."""
        around, here = self.scene.surroundings, float(now.d_m[0])
        layers: tuple[list[Placed], list[Placed], list[Placed]] = ([], [], [])
        for body in placed:
            d = float(now.d_m[body.row])
            hidden = any(abs(d) > abs(wall) and d * wall > 0 for wall in around.walls_m)
            layers[0 if hidden else 1 if _past(around.rails_m, here, d) else 2].append(body)
        return layers

    def _paint_bodies(self, stage: Stage, group: list[Placed], owner: np.ndarray | None) -> list[bodies.Glow]:
        """Paints bodies in their order; returns the lamps that glare."""
        light, now, sources = self.light, stage.now, []
        eye = np.array([0.0, 0.0, stage.view.camera.height_m])
        sun = light.sun_direction(float(now.heading_rad[0]))
        for body in group:
            if body.occlusion > _HIDDEN:
                continue
            seen = Facing.of(body.vertices, body.surface, eye)
            colour = bodies.shade(seen, body.surface, sun, light, self._open_sky(float(now.s_m[body.row])))
            signals = self._signals(body, stage.t_s)
            sources += bodies.light_lamps(colour, seen, body.surface, signals, night=light.night)
            fog = float(light.fog_share(float(np.hypot(*body.centre_m))))
            colour = colour * (1 - fog) + light.haze_colour * fog
            cover = bodies.draw(stage.canvas, stage.view, body, seen, colour, self.scene.options.supersampling)
            if owner is not None and cover is not None:
                part = owner[bodies.body_window(body, stage.canvas.shape)]
                part[cover >= 128] = body.actor.track_id
        return sources

    def _open_sky(self, s_m: float) -> float:
        """Share of daylight at an arc length: little under a bridge."""
        under = any(place - 6.0 < s_m < place + 8.0 for place in self.scene.surroundings.bridges_m)
        return 0.42 if under else 1.0

    def _signals(self, body: Placed, t_s: float) -> Signals:
        actor = body.actor
        if actor.parked or actor.class_id < 0:
            return Signals()
        travel, lateral = actor.motion.travel, actor.motion.lateral
        direction = -1.0 if travel.speed_mps < 0 else 1.0
        changing = lateral.changing(actor.motion.lateral_clock_s(t_s)) if actor.motion.turned_rad is None else 0
        blink = (t_s * _BLINK_HZ) % 1.0 < 0.5
        return Signals(
            brake=direction * travel.acceleration(t_s) < _BRAKE_MPS2
            or (actor.still and actor.motion.turned_rad is None),
            left=changing > 0 and blink,
            right=changing < 0 and blink,
            driving=True,
        )


def _past(rails_m: tuple[float, ...], here_m: float, d_m: float) -> bool:
    """Whether a guard rail stands between the vehicle and something at ``d_m``."""
    return any(min(here_m, d_m) < rail < max(here_m, d_m) for rail in rails_m)
