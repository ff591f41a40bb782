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
from perception.types import Detections, Lanes
from tracking.appearance import Embedder, Gallery, covered
from tracking.assign import Pairs, assign, contested
from tracking.classes import HEIGHT_M
from tracking.config import TrackerConfig
from tracking.direction import direction_likeness, moved_anchors
from tracking.existence import Presence, ScoreModel
from tracking.frame import (
    D_BOX,
    D_CLASS,
    D_ODDS,
    D_ROW,
    D_XYXY,
    EVIDENCE_PERIOD_S,
    Scene,
    Seen,
    check_detections,
)
from tracking.motion import MetricFilter
from tracking.report import tracks_from
from tracking.reupdate import reupdated
from tracking.table import (
    ANCHORS,
    BELIEVED,
    BOX,
    CLASS,
    DETECTION,
    HIDDEN,
    KEPT,
    KEPT_S,
    LAST,
    MISSED,
    PRESENT,
    SEEN,
    STATE,
    XYXY,
    TrackTable,
)
from tracking.types import EgoMotion, Tracks

_SCORE_MEMORY_S = 0.45  # time constant of the mean of a track's scores
_LONGEST_STEP_S = 1.0  # over a longer pause velocities say nothing any more
_TRIED_SCORE = 0.6  # detections of this score always begin a track, so that it shows whether they are found again
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
        from tracking import kernels, life_kernels, match_kernels

        self._kernels, self._matching, self._life = kernels, match_kernels, life_kernels
        self.config = config = config or TrackerConfig()
        self._size_px = size_px
        self._embedder = embedder
        self._bgr: np.ndarray | None = None
        self._lanes: Lanes | None = None
        self._gallery = None if embedder is None else Gallery(embedder.length)
        self._table = TrackTable()
        self._scores = ScoreModel()
        self._presence = Presence(config.hide_s, config.return_s, config.stay_s, config.seen_share)
        self._metric: MetricFilter | None = None
        self._t_s: float | None = None
        self._next_id = 1
        self._evidence = (
            config.evidence_offset,
            config.evidence_slope,
            config.raw_odds,
            config.evidence_low,
            config.evidence_high,
        )

    def __len__(self) -> int:
        """Tracks kept, believed or not."""
        return len(self._table)

    def show(self, bgr: np.ndarray, lanes: Lanes | None = None) -> None:
        """What else there is to be seen in the frame of the next ``update``: its picture (H, W, 3) uint8, for the
        embedder (without one it costs nothing), and its lanes: what stands points along the road at its place."""
        self._bgr = bgr if bgr.size else None
        self._lanes = lanes

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
        seen = self._read(detections)
        scene = Scene(t_s, self._step_s(t_s), ranges, camera, self._lanes, self._picture(camera))
        if detected:
            seen = self._weigh(seen)
        self._bgr = self._lanes = None
        self._move_on(scene, ego)
        rows, columns, overlap = self._match(seen, scene, detected)
        if detected:
            self._believe(rows, columns, seen, scene)
            self._scores.learn(seen.data[:, D_ODDS], columns, scene.stretch)
        if len(rows):
            self._learn(rows, columns, seen, scene, detected)
        self._forget(scene)
        if detected:
            self._begin(columns, overlap, seen, scene)
        return tracks_from(self._table, self._metric, scene, self.config, self._scores.trust)

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
            self._metric.predict(scene.dt_s, ego, scene.lanes)
        table.column(DETECTION)[:] = -1.0
        if not len(table) or scene.dt_s == 0.0:
            return
        config = self.config
        dt_s = min(scene.dt_s, _LONGEST_STEP_S)
        self._kernels.predict(table.data, dt_s, config.acceleration**2, config.size_acceleration**2)
        if ego is not None and ego.image_from_previous is not None:
            self._kernels.warp(table.data, np.array(ego.image_from_previous, np.float64, order="C"))

    def _picture(self, camera: Camera | None) -> tuple[float, float]:
        width, height = (self._size_px or (0, 0)) if camera is None else (camera.width_px, camera.height_px)
        return float(width), float(height)

    # -- comparing --------------------------------------------------------------------------------------------

    def _read(self, detections: Detections) -> Seen:
        xyxy = np.array(detections.xyxy_px, np.float64, order="C")
        score, class_id = np.array(detections.score, np.float64), np.array(detections.class_id)
        data, valid = self._kernels.read_detections(xyxy, score, class_id)
        if not valid:
            check_detections(detections)
        return Seen(data)

    def _weigh(self, seen: Seen) -> Seen:
        """What scores are worth, and what the objects look like."""
        data = seen.data
        if not len(data):
            return seen
        self._scores.weigh(data, self.config.usual_share, self._evidence)
        if self._embedder is None or self._bgr is None:
            return seen
        look = self._embedder.embed(self._bgr, data[:, D_XYXY])
        look[covered(data[:, D_XYXY])] = np.nan
        return seen._replace(look=look)

    def _match(self, seen: Seen, scene: Scene, detected: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of tracks and of detections that belong together, and how far each detection overlaps any track."""
        table, config = self._table, self.config
        shape = len(table), len(seen.data)
        if not shape[0] or not shape[1]:
            return _NOTHING, _NOTHING, np.zeros(shape[1])
        drop = config.score_drop if detected else 0.0
        setting = config.noise**2, config.mahalanobis, config.least_likeness, 0.0, drop
        i, j, gain, overlap = self._compare((table.data, seen.data), config.widen * scene.stretch, setting, scene)
        if config.direction > 0.0 or seen.look is not None:
            self._tell_apart((i, j), gain, seen, shape)
        chosen = assign((i, j), gain, shape)
        i, j = i[chosen], j[chosen]
        if detected and config.again_widen > 0.0 and len(i) < min(shape):
            i, j = self._match_rest((i, j), seen.data, scene)
        return i, j, overlap

    def _match_rest(self, pairs: Pairs, found: np.ndarray, scene: Scene) -> Pairs:
        """Join what is left over by wider boxes, where tracks should be and then where they were last observed."""
        config, data, (i, j) = self.config, self._table.data, pairs
        setting = config.noise**2, 0.0, config.again_least, config.again_doubt, config.score_drop
        rows, columns = _left_of(len(data), i), _left_of(len(found), j)
        for place in (BOX, LAST):
            if not len(rows) or not len(columns):
                break
            tracks = data[rows]
            tracks[:, BOX] = tracks[:, place]
            a, b, gain, _ = self._compare((tracks, found[columns]), config.again_widen * scene.stretch, setting, scene)
            if not len(gain):
                continue
            chosen = assign((a, b), gain, (len(rows), len(columns)))
            a, b = a[chosen], b[chosen]
            i, j = np.concatenate((i, rows[a])), np.concatenate((j, columns[b]))
            rows, columns = rows[_left_of(len(rows), a)], columns[_left_of(len(columns), b)]
        return i, j

    def _compare(
        self,
        both: tuple[np.ndarray, np.ndarray],
        widen: float,
        setting: tuple[float, float, float, float, float],
        scene: Scene,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """``match_kernels.compare`` of tracks and detections, widened by a share of their size on each side."""
        half, found = 0.5 + widen, both[1]
        order = (found[:, D_BOX.start] - half * found[:, D_BOX.start + 2]).argsort()
        return self._matching.compare(*both, order, half, setting, scene.picture)

    def _tell_apart(self, pairs: Pairs, gain: np.ndarray, seen: Seen, shape: tuple[int, int]) -> None:
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
        last, start, box = self._table.data[i, LAST], self._table.data[i, ANCHORS], seen.data[j, D_BOX]
        noise2 = self.config.noise**2
        was2, is2 = (noise2 * (size * size).sum(axis=1) for size in (last[:, 2:], box[:, 2:]))  # of both coordinates
        return direction_likeness(last[:, :2] - start[:, :2], box[:, :2] - last[:, :2], (2.0 * was2, was2 + is2))

    # -- believing and learning -------------------------------------------------------------------------------

    def _believe(self, rows: np.ndarray, columns: np.ndarray, seen: Seen, scene: Scene) -> None:
        data, presence = self._table.data, self._presence
        if not len(data):
            return
        sure = rows[data[rows, BELIEVED] > 0]
        presence.count(data[sure, MISSED], scene.t_s - data[sure, SEEN], scene.dt_s)
        share = min(scene.dt_s / EVIDENCE_PERIOD_S, 1.0)
        once, again = (1.0 - presence.seen_share) ** share, presence.missed_again**share
        missed = once, again
        ratio = self._life.likelihood_ratios(data, rows, columns, seen.data, share, missed)
        presence.step(data[:, PRESENT], data[:, HIDDEN], ratio, scene.dt_s)

    def _learn(self, rows: np.ndarray, columns: np.ndarray, seen: Seen, scene: Scene, detected: bool) -> None:
        """Filter the matched boxes, vote on classes, range them."""
        data, found, config = self._table.data, seen.data, self.config
        newest = -math.expm1(-scene.dt_s / _SCORE_MEMORY_S)
        back, state = self._after_gaps(rows, found[columns, D_BOX], scene) if config.reupdate else (_NOTHING, None)
        if config.direction > 0.0:
            centre = found[columns, D_BOX][:, :2]
            data[rows, ANCHORS] = moved_anchors(data[rows, ANCHORS], centre, scene.t_s, config.direction_s)
        setting = config.noise**2, config.score_noise, newest
        self._kernels.learn(data, (rows, columns), found, (scene.t_s, detected), setting, scene.picture)
        if len(back):
            data[back, STATE] = data[back, KEPT] = state
        if not detected:
            return
        if self._gallery is not None and seen.look is not None:
            self._gallery.learn(rows, seen.look[columns], -math.expm1(-scene.dt_s / config.reid_memory_s))
        if self._metric is not None:
            at, class_id = found[columns, D_ROW].astype(np.int64), data[rows, CLASS].astype(np.int64)
            xyxy = found[columns, D_XYXY]
            self._metric.update(rows, scene.ranges_of(at), xyxy, class_id, scene.camera, scene.t_s)

    def _after_gaps(self, rows: np.ndarray, box: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Tracks that were not seen in the last frame, and their states by way of the virtual path."""
        config, kept_s = self.config, self._table.data[rows, KEPT_S]
        late = np.flatnonzero(kept_s < scene.t_s - scene.dt_s - 1e-9)
        old, new = self._table.data[rows[late]], box[late]
        size2 = np.square(new[:, [2, 3, 2, 3]])
        drift = size2 * np.square([config.acceleration] * 2 + [config.size_acceleration] * 2)
        gap_s = scene.t_s - kept_s[late]
        return rows[late], reupdated(old[:, KEPT], (old[:, LAST], new), gap_s, size2 * config.noise**2, drift)

    # -- birth and death --------------------------------------------------------------------------------------

    def _forget(self, scene: Scene) -> None:
        table, config = self._table, self.config
        inside = config.leave_inside if scene.picture[0] > 0.0 else 0.0
        keep = self._life.kept(table.data, scene.t_s, config.drop, config.max_unseen_s, (*scene.picture, inside))
        if not keep.all():
            table.keep(keep)
            if self._gallery is not None:
                self._gallery.keep(keep)
            if self._metric is not None:
                self._metric.keep(keep)

    def _begin(self, taken: np.ndarray, overlap: np.ndarray, seen: Seen, scene: Scene) -> None:
        """Begin tracks from detections that belong to none."""
        config, data = self.config, seen.data
        log_odds = math.log(config.birth_odds * scene.stretch**2)
        setting = config.birth, config.duplicate, _TRIED_SCORE, config.drop
        born = self._life.born(data, taken, overlap, log_odds, setting)
        if not len(born):
            return
        variances = config.noise**2, config.speed**2, config.size_speed**2
        new = self._life.newborn(data, born, scene.t_s, self._next_id, variances)
        if scene.picture[0] > 0.0:
            self._life.start_rates(new, self._table.data, scene.t_s, HEIGHT_M, scene.picture)
        self._next_id += len(born)
        self._table.append(new)
        if self._gallery is not None:
            self._gallery.append(None if seen.look is None else seen.look[born], len(born))
        if self._metric is not None:
            at, class_id = scene.ranges_of(data[born, D_ROW].astype(np.int64)), data[born, D_CLASS].astype(np.int64)
            self._metric.birth(at, new[:, XYXY], class_id, scene.camera, scene.t_s)


def _left_of(count: int, taken: np.ndarray) -> np.ndarray:
    """Indices of ``count`` that are not taken; ``np.delete`` costs five times as much on few."""
    free = np.ones(count, bool)
    free[taken] = False
    return free.nonzero()[0]
