"""The frames on which a detector does worst, drawn: figures say how often it fails, pictures say at what."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from app.evaluation.contact_sheet import contact_sheet
from app.evaluation.detect import COUNTED_SCORE, Pairing, pair, read_picture
from app.evaluation.detection_data import LabelledImage
from app.palette import GREEN, ORANGE, VERMILLION, bgr, put_text
from perception.types import CLASSES, Detections

_LEAST_SIDE_PX = 6.0  # a missed box shorter than this is no surprise to anybody
_TEXT_PX = 15


def failure(image: LabelledImage, found: Detections, pairing: Pairing) -> float:
    """How bad a frame is: missed objects, weighing more the larger they are, and what was found where nothing is.

    A missed object weighs the root of its area over that of a 32 x 32 box, at most 4; a false one weighs its score.
    """
    missed = image.xyxy_px[pairing.missed]
    sides = missed[:, 2:] - missed[:, :2]
    weight = np.minimum(np.sqrt(sides.prod(axis=1)) / 32.0, 4.0) * (sides.min(axis=1, initial=np.inf) >= _LEAST_SIDE_PX)
    return float(weight.sum() + found.score[pairing.extra].sum())


def worst_frames(images: Sequence[LabelledImage], found: Sequence[Detections], count: int = 10) -> np.ndarray:
    """(H, W, 3) uint8 contact sheet of the ``count`` frames with the greatest ``failure``.

    Found objects are green, missed ones vermillion, boxes where nothing is orange with what they were taken for.
    """
    pairings = [pair(image, one, COUNTED_SCORE) for image, one in zip(images, found, strict=True)]
    badness = [failure(image, one, p) for image, one, p in zip(images, found, pairings, strict=True)]
    pictures, captions = [], []
    for index in np.argsort(badness)[::-1][:count].tolist():
        pairing = pairings[index]
        pictures.append(_draw(images[index], found[index], pairing))
        captions.append(f"{images[index].path.name}: {len(pairing.missed)} missed, {len(pairing.extra)} false")
    return contact_sheet(pictures, captions)


def _draw(image: LabelledImage, found: Detections, pairing: Pairing) -> np.ndarray:
    picture = read_picture(image)
    groups = (
        (image.xyxy_px[pairing.true], image.class_id[pairing.true], GREEN, False),
        (found.xyxy_px[pairing.extra], found.class_id[pairing.extra], ORANGE, True),
        (image.xyxy_px[pairing.missed], image.class_id[pairing.missed], VERMILLION, True),
    )
    for boxes, kinds, colour, named in groups:
        for (left, top, right, bottom), kind in zip(np.rint(boxes).astype(int).tolist(), kinds.tolist(), strict=True):
            cv2.rectangle(picture, (left, top), (right, bottom), bgr(colour), 1 if colour == GREEN else 2)
            if named and right - left >= _TEXT_PX:
                put_text(picture, CLASSES[kind], (left, max(top - 3, _TEXT_PX)), _TEXT_PX, colour)
    return picture
