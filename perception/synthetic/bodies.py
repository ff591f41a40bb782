"""Paints bodies: faces shaded by sun, sky and lamps, drawn at several times the resolution, then averaged down."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from perception.synthetic.light import Light
from perception.synthetic.mesh import Lamp, Surface, centroids, normals
from perception.synthetic.truth import Placed
from perception.synthetic.view import View

_SHIFT = 4
_ONE = 1 << _SHIFT
_MAX_SPRITE_PX = 1200.0  # of the enlarged drawing's longer side; nearer bodies are enlarged less
_LAMP_ON = {
    Lamp.TAIL: (40.0, 36.0, 235.0),
    Lamp.BRAKE: (60.0, 56.0, 255.0),
    Lamp.LEFT: (30.0, 160.0, 255.0),
    Lamp.RIGHT: (30.0, 160.0, 255.0),
    Lamp.HEAD: (250.0, 252.0, 255.0),
}


@dataclass(frozen=True)
class Signals:
    """Which lamps of a vehicle are on; ``dim`` ones burn by night only."""

    brake: bool = False
    left: bool = False
    right: bool = False
    driving: bool = False


@dataclass(frozen=True)
class Glow:
    """A lamp as a source of glare: vehicle point (3,), colour, strength."""

    point: np.ndarray
    colour: tuple[float, float, float]
    power: float


def shade(
    vertices: np.ndarray, surface: Surface, eye: np.ndarray, sun: np.ndarray, light: Light, open_sky: float
) -> np.ndarray:
    """(F, 3) colours of faces: diffuse sky and sun, and a mirrored sky by gloss and angle.

    Args:
        eye: (3,) camera. sun: (3,) direction towards it. open_sky: share of daylight here (under a bridge less).
    """
    normal, middle = normals(vertices, surface), centroids(vertices, surface)
    view = middle - eye
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    facing = -(view * normal).sum(axis=1)
    if light.night:
        beam = light.beam(middle[:, 0], middle[:, 1]) * np.exp(-np.maximum(middle[:, 2] - 0.9, 0) / 0.9)
        power = light.sky * (0.7 + 0.5 * normal[:, 2]) + 1.1 * beam * np.clip(facing, 0, 1)
        mirror_light = 0.15
    else:
        sky = light.sky * (0.72 + 0.30 * normal[:, 2])
        power = (sky + light.sun * np.clip(normal @ sun, 0, None)) * open_sky
        mirror_light = open_sky
    colour = surface.colour * power[:, None]
    mirror = view + 2 * facing[:, None] * normal
    up = np.clip(mirror[:, 2] * 2.2 + 0.25, 0, 1)[:, None]
    seen = light.sky_colour * up + np.array([70.0, 72.0, 74.0]) * light.full * (1 - up)
    share = surface.gloss * (0.3 + 0.7 * (1 - np.clip(facing, 0, 1)) ** 3)
    glint = surface.gloss * light.sun * np.clip(mirror @ sun, 0, 1) ** 40 * open_sky
    colour = colour * (1 - share[:, None]) + seen * share[:, None] * mirror_light + 200 * glint[:, None]
    if light.night:
        retro = surface.lamp == Lamp.RETRO
        back = np.minimum(1.0, 4.0 * light.beam(middle[:, 0], middle[:, 1]) * np.clip(facing, 0, 1))
        colour[retro] += (surface.colour * back[:, None] * 0.8)[retro]
    return colour


def light_lamps(colour: np.ndarray, surface: Surface, signals: Signals, *, night: bool) -> None:
    """Sets the colours of lamps that are on, in place."""
    on = {
        Lamp.LEFT: signals.left,
        Lamp.RIGHT: signals.right,
        Lamp.BRAKE: signals.brake,
        Lamp.TAIL: signals.brake or (signals.driving and night),
        Lamp.HEAD: signals.driving and night,
    }
    for lamp, burning in on.items():
        if burning:
            dim = 0.75 if lamp == Lamp.TAIL and not signals.brake else 1.0
            colour[surface.lamp == lamp] = np.array(_LAMP_ON[lamp]) * dim
    lit = surface.lamp == Lamp.LIT
    colour[lit] = np.minimum(surface.colour[lit] * 1.08, 255)


def glows(body: Placed, surface: Surface, signals: Signals, *, night: bool) -> list[Glow]:
    """Sources of glare of a body."""
    strength = {
        Lamp.TAIL: 1.0 * signals.brake + 0.35 * (signals.driving and night),
        Lamp.BRAKE: 0.7 * signals.brake,
        Lamp.LEFT: 0.7 * signals.left,
        Lamp.RIGHT: 0.7 * signals.right,
        Lamp.HEAD: 3.0 * (signals.driving and night),
        Lamp.LIT: 1.0 if night else 0.25,
    }
    out = []
    middle = centroids(body.vertices, surface)
    normal = normals(body.vertices, surface)
    facing = -(middle * normal).sum(axis=1) / np.maximum(np.linalg.norm(middle, axis=1), 1e-6)
    for row in np.flatnonzero(surface.lamp != Lamp.NONE):
        power = strength.get(Lamp(int(surface.lamp[row])), 0.0) * max(0.0, float(facing[row]))
        if power > 0.02:
            lamp = Lamp(int(surface.lamp[row]))
            colour = _LAMP_ON.get(lamp) or tuple(float(v) for v in surface.colour[row])
            out.append(Glow(middle[row], colour, power))  # type: ignore[arg-type]
    return out


def draw(
    canvas: np.ndarray, view: View, body: Placed, surface: Surface, colour: np.ndarray, scale: int = 0
) -> np.ndarray | None:
    """Paints a body over canvas (H, W, 3) uint8, in place.

    Args:
        colour: (F, 3) of its faces. scale: enlargement of the drawing, 0 chosen by the body's size.

    Returns:
        (h, w) uint8 coverage in the window of ``body_window``, None where nothing is in the picture.
    """
    window = body_window(body, canvas.shape)
    top, left = window[0].start, window[1].start
    height, width = window[0].stop - top, window[1].stop - left
    if height <= 0 or width <= 0:
        return None
    if not scale:
        scale = int(np.clip(_MAX_SPRITE_PX / max(height, width), 1, 4))
    sprite = np.zeros((height * scale, width * scale, 4), np.uint8)
    polygons = _polygons(view, body.vertices, surface)
    for face, px in polygons:
        points = np.rint((((px - (left, top)) + 0.5) * scale - 0.5) * _ONE).astype(np.int32)
        b, g, r = colour[face]
        cv2.fillConvexPoly(sprite, points, (b, g, r, 255.0), cv2.LINE_8 if scale > 1 else cv2.LINE_AA, _SHIFT)
    if scale > 1:
        sprite = cv2.resize(sprite, (width, height), interpolation=cv2.INTER_AREA)
    cover = sprite[..., 3]
    part = canvas[window]
    alpha = cover[..., None].astype(np.float32) * np.float32(1 / 255)
    rgb = sprite[..., :3].astype(np.float32)
    part[:] = np.minimum(rgb + part * (1 - alpha), 255).astype(np.uint8)
    return cover


def body_window(body: Placed, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the picture that a body's box touches, with a pixel to spare."""
    x0, y0, x1, y1 = body.outline.xyxy_px
    rows = slice(max(0, math.floor(y0) - 1), min(shape[0], math.ceil(y1) + 2))
    return rows, slice(max(0, math.floor(x0) - 1), min(shape[1], math.ceil(x1) + 2))


def _polygons(view: View, vertices: np.ndarray, surface: Surface) -> list[tuple[int, np.ndarray]]:
    """(face, pixels (K, 2)) of the faces that look at the camera, from back to front."""
    points = view.in_camera(vertices)
    middle, normal = centroids(points, surface), normals(points, surface)
    towards = (middle * normal).sum(axis=1) < 0
    order = np.argsort(surface.lift - np.linalg.norm(middle, axis=1), kind="stable")
    inside = (view.sides(points) >= 0).all(axis=1)
    px = view.px(points) if inside.all() else None
    if px is None:
        px = np.full((len(points), 2), np.nan)
        px[inside] = view.px(points[inside])
    whole = inside.all()
    out = []
    for face in order[towards[order]]:
        index = surface.faces[face]
        if whole or inside[index].all():
            out.append((int(face), px[index]))
            continue
        cut = view.clip_polygon(points[index])
        if len(cut) >= 3:
            out.append((int(face), view.px(cut)))
    return out


def cast_shadows(mask: np.ndarray, view: View, bodies: list[Placed], sun: np.ndarray, depth: float) -> None:
    """Darkens mask (H, W) uint8 where bodies keep sun (by ``depth``, 0 to 1) and sky off the ground, in place."""
    for body in bodies:
        if not body.actor.grounded or body.centre_m[0] > 110.0:
            continue
        if depth > 0.05 and sun[2] > 0.05:
            flat = body.vertices[:, :2] - body.vertices[:, 2:] * (sun[:2] / sun[2])
            hull = cv2.convexHull(flat.astype(np.float32))[:, 0]
            _fill_ground(mask, view, hull, 255 * (1 - depth), None)
    for body in bodies:
        if not body.actor.grounded or body.centre_m[0] > 110.0:
            continue
        middle = body.footprint.mean(axis=0)
        for grow, keep in ((0.38, 0.84), (0.24, 0.68), (0.10, 0.5)):
            arm = body.footprint - middle
            grown = middle + arm * (1 + grow / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 0.2))
            _fill_ground(mask, view, grown, 0, keep)


def _fill_ground(mask: np.ndarray, view: View, polygon_m: np.ndarray, value: float, factor: float | None) -> None:
    """Fills a road polygon (K, 2) in the mask with the lower of what is there and a value, or scales what is there."""
    dense = np.concatenate([polygon_m + (np.roll(polygon_m, -1, axis=0) - polygon_m) * t for t in (0.0, 0.5)])
    dense = dense.reshape(2, -1, 2).transpose(1, 0, 2).reshape(-1, 2)
    cut = view.clip_polygon(view.in_camera(np.column_stack([dense, np.zeros(len(dense))])))
    if len(cut) < 3:
        return
    px = view.px(cut)
    low, high = np.floor(px.min(axis=0)).astype(int) - 1, np.ceil(px.max(axis=0)).astype(int) + 2
    low, high = np.maximum(low, 0), np.minimum(high, mask.shape[1::-1])
    if (low >= high).any():
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    stamp = np.zeros((high - low)[::-1], np.uint8)
    cv2.fillPoly(stamp, [np.rint((px - low) * _ONE).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    part = mask[window]
    if factor is None:
        shadow = 255 - cv2.convertScaleAbs(stamp, alpha=1 - value / 255)
        np.minimum(part, shadow, out=part)
    else:
        part[:] = (part * (1 - stamp.astype(np.float32) * np.float32((1 - factor) / 255))).astype(np.uint8)
