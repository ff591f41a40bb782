"""Settings of the tracker, checked when made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from geometry.errors import InputError
from tracking.motion import MotionConfig


@dataclass(frozen=True)
class TrackerConfig:
    """Times in seconds, lengths in box sizes: nothing depends on the frame rate or the picture's size.

    Attributes:
        acceleration, size_acceleration: square root of the spectral density of the white acceleration of a box's centre
            and of its size, in box sizes / s^1.5.
        noise: standard deviation of a detected edge, in box sizes.
        speed, size_speed: standard deviation of the unknown first velocities, box sizes / s.
        widen: boxes are widened by this share of their size on each side before they are compared, at 10 frames a
            second; at fewer in proportion to the time between frames (buffered IoU:
            Yang et al., Hard to Track Objects with Irregular Motions and Similar Appearances, WACV 2023).
        mahalanobis: weight of the likeness by the filter's own uncertainty beside the overlap, 0 to 1.
        least_likeness: pairs less alike are never joined.
        score_drop: so much more likeness is asked of a detection that is far less sure than the track usually is (in
            proportion for less): a poor box near a sure object is more often clutter or another object than the object
            itself. It opens or shuts a pair, but does not weigh between two open ones.
        again_widen: tracks and detections left over are compared a second time, with boxes widened by this share, where
            the tracks are predicted to be and then where they were last observed (observation-centric recovery: Cao et
            al., Observation-Centric SORT, CVPR 2023, 4.3), 0: not; ``again_least``: likeness asked there, and
            ``again_doubt``: so much more of a detection that is surely false, in proportion to the probability.
        evidence_offset, evidence_slope: what a detection adds to the log-odds of existence: offset + slope times the
            log-odds that it is real; between ``evidence_low`` and ``evidence_high``.
        raw_odds: weight of the score's own log-odds, counted from ``usual_share`` of those that real objects usually
            get in this stream.
        seen_share: probability that an object in view is detected in a frame, believed at first and then learned.
        hide_s, return_s, stay_s: mean times until an object gets hidden, until a hidden one is back in view, and
            until it leaves the scene.
        show, hide: a track is reported from the probability ``show`` on, until it falls under ``hide``.
        show_unseen: a believed track without a detection is reported above this probability to be in view and where it
            is predicted.
        drop: tracks less probable, in view or hidden, are forgotten; none is kept unseen longer than ``max_unseen_s``.
        birth_odds: odds that a detection of even evidence that joins no track is a new object, at 10 frames a second;
            at fewer with the square of the time, for more objects come in between frames while clutter stays as it is,
            and waiting for one frame more costs more.
        birth: detections less probable begin no track; nor do those that overlap a track more than ``duplicate``.
        smooth: reported box = smooth * filtered + (1 - smooth) * detected.
        doubt_show, doubt_hide, doubt_unseen: the same three of a detector whose middling scores do not continue tracks
            (``ScoreModel.trust``): there persistence proves little, and the scores must:
        doubt_best_odds, doubt_mean_odds: log-odds that the best score of a track must reach once, and the fading mean
            of its scores must keep. 4.0 is a score of 0.982, 2.5 one of 0.92.
        reupdate: seen again after a gap, a track's filter runs again along the straight line between its two
            observations (``tracking.reupdate``).
        direction: weight of the velocity direction where more than one pair is possible (``tracking.direction``), 0:
            not used; ``direction_s``: a track's direction is that of its last so many seconds of observations.
        score_noise: share of the measurement noise that a score of 1 takes away: variance times 1 - score_noise *
            score, 0: the same noise for all. 1 is the NSA filter of Du et al., GIAOTracker, ICCVW 2021, as in
            StrongSORT (Du et al., IEEE Transactions on Multimedia 25, 2023).
        leave_inside: an unseen track that moves outwards is forgotten once less than this share of its predicted box is
            in the picture, 0: only time ends it. Needs the picture's size.
        reid_weight: weight of 1 - cosine between embeddings where more than one pair is possible; used only by a
            tracker that was given an embedder and pictures (``tracking.appearance``).
        reid_least: there, pairs of a smaller cosine are not joined at all.
        reid_memory_s: time constant of a track's mean embedding.
        metric: settings of the state in metres.
    """

    acceleration: float = 2.0
    size_acceleration: float = 0.5
    noise: float = 0.04
    speed: float = 1.2
    size_speed: float = 0.4
    widen: float = 0.1
    mahalanobis: float = 0.2
    least_likeness: float = 0.2
    score_drop: float = 0.4
    again_widen: float = 0.3
    again_least: float = 0.3
    again_doubt: float = 0.8
    evidence_offset: float = 2.5
    evidence_slope: float = 1.2
    evidence_low: float = -2.0
    evidence_high: float = 4.0
    raw_odds: float = 1.2
    usual_share: float = 0.8
    seen_share: float = 0.9
    hide_s: float = 5.0
    return_s: float = 1.0
    stay_s: float = 8.0
    show: float = 0.8
    hide: float = 0.5
    show_unseen: float = 0.1
    drop: float = 0.05
    max_unseen_s: float = 2.5
    birth_odds: float = 0.05
    birth: float = 0.02
    duplicate: float = 0.9
    smooth: float = 0.8
    doubt_show: float = 0.2
    doubt_hide: float = 0.3
    doubt_unseen: float = 0.7
    doubt_best_odds: float = 4.0
    doubt_mean_odds: float = 2.5
    reupdate: bool = False
    direction: float = 0.0
    direction_s: float = 0.3
    score_noise: float = 0.0
    leave_inside: float = 0.7
    reid_weight: float = 1.0
    reid_least: float = 0.3
    reid_memory_s: float = 1.0
    metric: MotionConfig = field(default_factory=MotionConfig)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "metric":
                continue
            if not math.isfinite(value):
                raise InputError(f"tracker setting {entry.name} is {value}, must be a finite number")
            if entry.name in _SHARES and not 0 <= value <= 1:
                raise InputError(f"tracker setting {entry.name} is {value}, must be between 0 and 1")
            if entry.name in _POSITIVE and value <= 0:
                raise InputError(f"tracker setting {entry.name} is {value}, must be positive")


_SHARES = frozenset(
    {"mahalanobis", "seen_share", "show", "hide", "show_unseen", "drop", "birth", "duplicate", "smooth"}
    | {"doubt_show", "doubt_hide", "doubt_unseen", "score_noise", "leave_inside", "direction"}
    | {"score_drop", "again_least", "again_doubt"}
)
_POSITIVE = frozenset(
    {"acceleration", "size_acceleration", "noise", "speed", "size_speed", "max_unseen_s", "birth_odds"}
    | {"evidence_slope", "hide_s", "return_s", "stay_s", "direction_s", "reid_memory_s"}
)
