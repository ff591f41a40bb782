"""The tracker: detections of one frame after another become tracks with lasting identities.

``Tracker.update`` reads as the algorithm does: move on, compare and assign, believe, learn, forget, begin, report. All
tracks are rows of one array (``tracking.table``); there is no loop over tracks or detections.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import Detections
from tracking.appearance import Embedder, Gallery, covered
from tracking.assign import Pairs, assign, candidate_pairs, contested, pair_iou
from tracking.boxes import corners, warped, warped_points
from tracking.classes import APART, FADE, class_cost
from tracking.config import TrackerConfig
from tracking.departure import leaving
from tracking.direction import direction_likeness, moved_anchors
from tracking.existence import Presence, ScoreModel, log_odds, sigmoid
from tracking.frame import EVIDENCE_PERIOD_S, Scene, Seen, check_detections
from tracking.kalman import predict_axes, update_axes
from tracking.motion import MetricFilter
from tracking.report import tracks_from
from tracking.reupdate import reupdated
from tracking.table import (
    ANCHORS,
    BELIEVED,
    BEST,
    BORN,
    BOX,
    CLASS,
    DETECTION,
    HIDDEN,
    ID,
    KEPT,
    KEPT_S,
    LAST,
    MEAN,
    PP,
    PRESENT,
    PV,
    RATE,
    SCORE,
    SEEN,
    STATE,
    VOTES,
    VV,
    WIDTH,
    XYXY,
    TrackTable,
)
from tracking.types import EgoMotion, Tracks

_SMALLEST_PX = 1.0  # predicted boxes never shrink below
_SCORE_MEMORY_S = 0.45  # time constant of the mean of a track's scores
_LONGEST_STEP_S = 1.0  # over a longer pause velocities say nothing any more
_TRIED_SCORE = 0.6  # detections of this score always begin a track, so that it shows whether they are found again
_LEAST_NOISE = 0.05  # of the variance: no detection is exact, however sure
_LEAST_GAIN = 1e-6  # the direction decides between pairs, not whether one is joined
_NOTHING = np.empty(0, np.int64)


class Tracker:
    """Follows the objects of one clip; make a new one for the next clip.

    Identities are positive and never used twice.

    Args:
        size_px: width and height of the pictures, where no camera will tell.
        embedder: tells objects apart by their looks, where pictures are shown (``show``).
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        size_px: tuple[int, int] | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self.config = config = config or TrackerConfig()
        self._size_px = size_px
        self._embedder = embedder
        self._bgr: np.ndarray | None = None
        self._gallery = None if embedder is None else Gallery(embedder.length)
        self._table = TrackTable()
        self._scores = ScoreModel()
        self._presence = Presence(config.hide_s, config.return_s, config.stay_s, config.seen_share)
        self._metric: MetricFilter | None = None
        self._t_s: float | None = None
        self._next_id = 1
        # The centre of a box moves more freely than its size changes: x, y, width, height.
        self._acceleration2 = np.square([config.acceleration] * 2 + [config.size_acceleration] * 2)
        self._speed2 = np.square([config.speed] * 2 + [config.size_speed] * 2)

    def __len__(self) -> int:
        """Tracks kept, believed or not."""
        return len(self._table)

    def show(self, bgr: np.ndarray) -> None:
        """The picture (H, W, 3) uint8 of the next ``update``, for the embedder; without one it costs nothing."""
        self._bgr = bgr if bgr.size else None

    def update(
        self,
        detections: Detections,
        t_s: float,
        *,
        ranges: GroundPoints | None = None,
        ego: EgoMotion | None = None,
        camera: Camera | None = None,
        detected: bool = True,
    ) -> Tracks:
        """Tracks at t_s, those believed to be real.

        Args:
            detections: of this frame; boxes without area are passed over.
            t_s: time of the frame in seconds, not before the last.
            ranges: road positions of the detections, row by row.
            ego: the vehicle's own motion since the last frame: moves the predicted boxes along with the picture.
            camera: of this frame; with one, tracks have a state in metres.
            detected: False where no detector looked at this frame: nothing was missed, nothing is new, and
                ``detections`` are boxes followed in the picture (``tracking.follow``), or none.

        Raises:
            InputError: time that runs back or is no number; boxes, scores or classes that are none.
        """
        check_detections(detections)
        scene = Scene(t_s, self._step_s(t_s), ranges, camera)
        seen = self._read(detections, detected)
        if self._embedder is not None and self._bgr is not None and detected and len(seen.row):
            look = self._embedder.embed(self._bgr, seen.xyxy)
            look[covered(seen.xyxy)] = np.nan
            seen = seen._replace(look=look)
        self._bgr = None
        self._move_on(scene, ego)
        rows, columns, overlap = self._match(seen, self.config.widen * scene.stretch)
        if detected:
            self._believe(rows, seen.evidence[columns], scene)
            self._scores.learn(seen.odds, columns, scene.stretch)
        if len(rows):
            self._learn(rows, columns, seen, scene, detected)
        self._forget(scene)
        if detected:
            self._begin(columns, overlap, seen, scene)
        return tracks_from(self._table, self._metric, t_s, self.config, self._scores.trust)

    # -- time -------------------------------------------------------------------------------------------------

    def _step_s(self, t_s: float) -> float:
        if not math.isfinite(t_s):
            raise InputError(f"frame time is {t_s}, must be a finite number of seconds")
        last = self._t_s
        if last is not None and t_s < last:
            raise InputError(f"frame time runs back from {last:.6f} to {t_s:.6f} s; make a new tracker for a new clip")
        self._t_s = t_s
        return 0.0 if last is None else t_s - last

    def _move_on(self, scene: Scene, ego: EgoMotion | None) -> None:
        table = self._table
        if scene.camera is not None and self._metric is None:
            self._metric = MetricFilter(self.config.metric)
            if len(table):
                known = table.column(CLASS).astype(np.int64)
                self._metric.birth(scene.ranges_of(_NOTHING), table.data[:, XYXY], known, None, scene.t_s)
        if self._metric is not None:
            self._metric.predict(scene.dt_s, ego)
        table.column(DETECTION)[:] = -1.0
        if not len(table) or scene.dt_s == 0.0:
            return
        box = table.box
        noise = self._spread(box[:, 2:], self._acceleration2)
        predict_axes(box, table.rate, table.cov, min(scene.dt_s, _LONGEST_STEP_S), noise)
        if ego is not None and ego.image_from_previous is not None:
            box[:] = warped(box, ego.image_from_previous)
            self._move_memory(ego.image_from_previous)
        np.maximum(box[:, 2:], _SMALLEST_PX, out=box[:, 2:])

    def _move_memory(self, homography: np.ndarray) -> None:
        """What is remembered of past observations, in pixels of the new picture."""
        data = self._table.data
        for kept in (LAST, slice(KEPT.start, KEPT.start + 4)):
            data[:, kept] = warped(data[:, kept], homography)
        for anchor in (slice(ANCHORS.start, ANCHORS.start + 2), slice(ANCHORS.start + 3, ANCHORS.start + 5)):
            data[:, anchor] = warped_points(data[:, anchor], homography)

    @staticmethod
    def _spread(size: np.ndarray, relative2: np.ndarray | float) -> np.ndarray:
        """Variances (N, 4) of centre and size from variances relative to the size (N, 2)."""
        size2 = size * size
        return np.concatenate((size2, size2), axis=1) * relative2

    # -- comparing --------------------------------------------------------------------------------------------

    def _read(self, detections: Detections, detected: bool) -> Seen:
        config = self.config
        xyxy = detections.xyxy_px.astype(np.float64)
        score, class_id = detections.score.astype(np.float64), detections.class_id
        row = np.arange(len(xyxy))
        size = xyxy[:, 2:] - xyxy[:, :2]
        good = (size > 0).all(axis=1)
        if not good.all():
            row, xyxy, size, score, class_id = row[good], xyxy[good], size[good], score[good], class_id[good]
        if not len(row):
            return Seen(row, xyxy, xyxy, xyxy, score, class_id, score, score)
        box = np.concatenate((xyxy[:, :2] + 0.5 * size, size), axis=1)
        noise = self._spread(size, config.noise**2)
        if not detected:
            return Seen(row, xyxy, box, noise, score, class_id, np.zeros(len(row)), np.zeros(len(row)))
        odds = log_odds(score)
        worth = self._scores.read(odds)
        evidence = config.evidence_offset + config.evidence_slope * worth
        evidence += config.raw_odds * (odds - config.usual_share * self._scores.usual)
        evidence = np.minimum(np.maximum(evidence, config.evidence_low), config.evidence_high)
        return Seen(row, xyxy, box, noise, score, class_id, evidence, odds)

    def _match(self, seen: Seen, widen: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of tracks and of detections that belong together, and how far each detection overlaps any track."""
        table, config = self._table, self.config
        shape = len(table), len(seen.box)
        overlap = np.zeros(shape[1])
        if not shape[0] or not shape[1]:
            return _NOTHING, _NOTHING, overlap
        a, b = corners(table.box, 0.5 + widen), corners(seen.box, 0.5 + widen)
        i, j = pairs = candidate_pairs(a, b)
        iou = pair_iou(a[i], b[j])
        cost = class_cost(table.column(CLASS)[i].astype(np.int64), seen.class_id[j])
        np.maximum.at(overlap, j, np.where(cost < APART, iou, 0.0))
        gain = self._likeness(iou, pairs, seen) - config.least_likeness - cost
        if config.direction > 0.0 or seen.look is not None:
            self._weigh(gain, pairs, seen, shape)
        chosen = assign(pairs, gain, shape)
        return i[chosen], j[chosen], overlap

    def _likeness(self, iou: np.ndarray, pairs: Pairs, seen: Seen) -> np.ndarray:
        share = self.config.mahalanobis
        if share == 0.0:
            return iou
        i, j = pairs
        residual = seen.box[j] - self._table.box[i]
        distance2 = (residual * residual / (self._table.data[i, PP] + seen.noise[j])).sum(axis=1)
        return (1.0 - share) * iou + share * np.exp(distance2 * -0.125)

    def _weigh(self, gain: np.ndarray, pairs: Pairs, seen: Seen, shape: tuple[int, int]) -> None:
        """Where more than one pair is possible, weigh in what else is known of them, in place."""
        at = contested(pairs, gain, shape)
        if not len(at):
            return
        i, j = pairs[0][at], pairs[1][at]
        if self.config.direction > 0.0:
            gain[at] = np.maximum(gain[at] + self.config.direction * self._direction(i, j, seen), _LEAST_GAIN)
        if self._gallery is not None and seen.look is not None:
            cosine = self._gallery.cosine((i, j), seen.look)
            weighed = np.maximum(gain[at] - self.config.reid_weight * (1.0 - cosine), _LEAST_GAIN)
            weighed[cosine < self.config.reid_least] = 0.0
            gain[at] = np.where(np.isfinite(cosine), weighed, gain[at])

    def _direction(self, i: np.ndarray, j: np.ndarray, seen: Seen) -> np.ndarray:
        last, start = self._table.data[i, LAST], self._table.data[i, ANCHORS]
        heading, step = last[:, :2] - start[:, :2], seen.box[j, :2] - last[:, :2]
        noise2 = self.config.noise**2 * (last[:, 2:] * last[:, 2:]).sum(axis=1)  # of both coordinates of a centre
        return direction_likeness(heading, step, (2.0 * noise2, noise2 + seen.noise[j, :2].sum(axis=1)))

    # -- believing and learning -------------------------------------------------------------------------------

    def _believe(self, rows: np.ndarray, evidence: np.ndarray, scene: Scene) -> None:
        table = self._table
        if not len(table):
            return
        seen_t = table.data[rows, SEEN]
        self._presence.count(scene.t_s - seen_t[table.data[rows, BELIEVED] > 0], scene.dt_s)
        share = min(scene.dt_s / EVIDENCE_PERIOD_S, 1.0)
        ratio = np.full(len(table), (1.0 - self._presence.seen_share) ** share)
        ratio[rows] = np.exp(evidence * share)
        self._presence.step(table.column(PRESENT), table.column(HIDDEN), ratio, scene.dt_s)

    def _learn(self, rows: np.ndarray, columns: np.ndarray, seen: Seen, scene: Scene, detected: bool) -> None:
        """Filter the matched boxes, vote on classes, range them."""
        table, at, score = self._table, seen.row[columns], seen.score[columns]
        old = table.data[rows]
        self._filter(old, seen.box[columns], self._noise(seen, columns, detected), scene)
        if not detected:
            table.data[rows] = old
            return
        old[:, XYXY] = seen.xyxy[columns]
        old[:, SEEN], old[:, SCORE], old[:, DETECTION] = scene.t_s, score, at
        odds = seen.odds[columns]
        old[:, BEST] = np.maximum(old[:, BEST], odds)
        old[:, MEAN] += -math.expm1(-scene.dt_s / _SCORE_MEMORY_S) * (odds - old[:, MEAN])
        votes = old[:, VOTES]
        votes *= FADE
        votes[np.arange(len(at)), seen.class_id[columns]] += score
        old[:, CLASS] = votes.argmax(axis=1)
        table.data[rows] = old
        if self._gallery is not None and seen.look is not None:
            share = -math.expm1(-scene.dt_s / self.config.reid_memory_s)
            self._gallery.learn(rows, seen.look[columns], share)
        if self._metric is not None:
            class_id = old[:, CLASS].astype(np.int64)
            self._metric.update(rows, scene.ranges_of(at), seen.xyxy[columns], class_id, scene.camera, scene.t_s)

    def _noise(self, seen: Seen, columns: np.ndarray, detected: bool) -> np.ndarray:
        """Measurement variances (K, 4): a surer detection is believed more, where the settings say so."""
        noise, share = seen.noise[columns], self.config.score_noise
        if share == 0.0 or not detected:
            return noise
        return noise * np.maximum(1.0 - share * seen.score[columns], _LEAST_NOISE)[:, None]

    def _filter(self, old: np.ndarray, box: np.ndarray, noise: np.ndarray, scene: Scene) -> None:
        """Filter observed boxes (K, 4) into rows (K, WIDTH) of the table, and remember them, in place."""
        p, v, cov = update_axes(old[:, BOX], old[:, RATE], (old[:, PP], old[:, PV], old[:, VV]), box, noise)
        old[:, BOX], old[:, RATE] = p, v
        old[:, PP], old[:, PV], old[:, VV] = cov
        back = np.flatnonzero(old[:, KEPT_S] < scene.t_s - scene.dt_s - 1e-9)  # not seen in the last frame
        if self.config.reupdate and len(back):
            ends, gap_s = (old[back, LAST], box[back]), scene.t_s - old[back, KEPT_S]
            drift = self._spread(box[back, 2:], self._acceleration2)
            old[back, STATE] = reupdated(old[back, KEPT], ends, gap_s, noise[back], drift)
        if self.config.direction > 0.0:
            old[:, ANCHORS] = moved_anchors(old[:, ANCHORS], box[:, :2], scene.t_s, self.config.direction_s)
        old[:, LAST], old[:, KEPT], old[:, KEPT_S] = box, old[:, STATE], scene.t_s

    # -- birth and death --------------------------------------------------------------------------------------

    def _forget(self, scene: Scene) -> None:
        table, config = self._table, self.config
        alive = table.column(PRESENT) + table.column(HIDDEN)
        keep = (alive >= config.drop) & (table.column(SEEN) >= scene.t_s - config.max_unseen_s)
        size_px = self._size_px if scene.camera is None else (scene.camera.width_px, scene.camera.height_px)
        if config.leave_inside > 0.0 and size_px is not None:
            unseen = np.flatnonzero(table.column(KEPT_S) < scene.t_s)
            if len(unseen):
                unseen_data = table.data[unseen]
                keep[unseen] &= ~leaving(unseen_data[:, BOX], unseen_data[:, RATE], size_px, config.leave_inside)
        if not keep.all():
            table.keep(keep)
            if self._gallery is not None:
                self._gallery.keep(keep)
            if self._metric is not None:
                self._metric.keep(keep)

    def _begin(self, taken: np.ndarray, overlap: np.ndarray, seen: Seen, scene: Scene) -> None:
        """Begin tracks from detections that belong to none."""
        present = sigmoid(seen.evidence + math.log(self.config.birth_odds * scene.stretch**2))
        present = np.where(seen.score >= _TRIED_SCORE, np.maximum(present, self.config.drop), present)
        free = (present >= self.config.birth) & (overlap < self.config.duplicate)
        free[taken] = False
        born = np.flatnonzero(free)
        if not len(born):
            return
        new = np.zeros((len(born), WIDTH))
        new[:, BOX], new[:, PP], new[:, XYXY] = seen.box[born], seen.noise[born], seen.xyxy[born]
        new[:, VV] = self._spread(seen.box[born, 2:], self._speed2)
        new[:, PRESENT], new[:, SCORE], new[:, DETECTION] = present[born], seen.score[born], seen.row[born]
        new[:, BORN] = new[:, SEEN] = new[:, KEPT_S] = scene.t_s
        new[:, LAST], new[:, KEPT] = new[:, BOX], new[:, STATE]
        new[:, ANCHORS] = np.column_stack((new[:, :2], new[:, SEEN]))[:, [0, 1, 2, 0, 1, 2]]
        new[:, ID] = np.arange(self._next_id, self._next_id + len(born))
        new[:, BEST] = new[:, MEAN] = seen.odds[born]
        new[:, CLASS] = class_id = seen.class_id[born]
        new[np.arange(len(born)), VOTES.start + class_id] = seen.score[born]
        self._next_id += len(born)
        self._table.append(new)
        if self._gallery is not None:
            self._gallery.append(None if seen.look is None else seen.look[born], len(born))
        if self._metric is not None:
            at = scene.ranges_of(seen.row[born])
            self._metric.birth(at, seen.xyxy[born], class_id, scene.camera, scene.t_s)
