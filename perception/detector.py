"""Detector = session + preprocess + head: any of the known network files finds objects of the road vocabulary."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from geometry.errors import InputError
from perception.consensus import NO_SAY, overlaps, support, vote
from perception.heads import MODELS, Candidates, Outputs, Query, choose
from perception.metadata import read_metadata
from perception.nms import NMS_IOU, nms
from perception.preprocess import GREY, Fit, Preprocess, check_picture, size_for
from perception.session import Session, TensorSpec, open_session
from perception.types import CLASS_ID, CLASSES, Detections
from perception.vocabulary import COCO_NAMES, road_class, road_classes

WEIGHTS = Path(__file__).parent / "weights"
SHARED_MODELS = Path(__file__).parents[2] / "shared" / "models"
"""Material for developing, beside the checkout; never part of the product."""
STAND_IN = "nanodet_plus_m.onnx"

USUAL_SIZE = (640, 384)
"""Sets the cost of a network that leaves its input size open and says nothing of it."""
RIVAL_IOU = 0.8
"""Vehicles of different classes that overlap by more are one vehicle, and the surer class wins: a van is often found
as a car and as a truck. Pooled vehicles gain 0.9 AP50 points by it on dashcam frames."""
_RIVALS = np.array(
    [CLASS_ID["car"] if name in ("car", "truck", "bus", "train") else CLASS_ID[name] for name in CLASSES]
)
BUS_ODDS = 2.0
"""A bus wins against a rival of up to so many times its odds: few frames have one, so a network that says bus at all
has seen one more often than its score says (the logit adjustment of Menon et al., ICLR 2021, between rivals only)."""
_RIVAL_ODDS = np.array([BUS_ODDS if name == "bus" else 1.0 for name in CLASSES])
VOTE_OVER_NMS = 0.15
"""A box has a vote in the one that suppresses it if it overlaps it by so much more than suppression asks for. On every
third val frame AP50 of people gains 1.9 points by it, of lights 0.3, of cars nothing, and mAP 0.4."""
MOST_CANDIDATES = 1000
"""Suppression looks at so many best boxes at most; a busy frame has some hundred at the usual thresholds."""


@dataclass(frozen=True, eq=False)
class DetectorConfig:
    """What a person may settle instead of the file; None leaves it to the file's metadata and its family."""

    head: str | None = None
    input_size: tuple[int, int] | None = None
    score_threshold: float | None = None
    nms_iou: float | None = None
    rival_iou: float = RIVAL_IOU
    classes: tuple[str, ...] | None = None
    preprocess: Preprocess | None = None


@dataclass(frozen=True, eq=False)
class _Plan:
    """All that is settled once, when the file is opened."""

    head: str
    preprocess: Preprocess
    classes: tuple[str, ...]
    thresholds: np.ndarray
    overlaps: np.ndarray
    road: np.ndarray
    wanted: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wanted", np.flatnonzero(self.road >= 0))


def default_model() -> Path | None:
    """The embedded model: INT8 where both are there, since it is the faster one on a CPU. None without weights."""
    found = sorted(WEIGHTS.glob("*.onnx"), key=lambda path: ("int8" not in path.stem, path.name))
    return found[0] if found else None


def available_models() -> tuple[Path, ...]:
    """The default first, then the other embedded ones, then those of the developers' folder where it is there."""
    first = default_model()
    embedded = [path for path in sorted(WEIGHTS.glob("*.onnx")) if path != first]
    return (*([first] if first else []), *embedded, *sorted(SHARED_MODELS.glob("*.onnx")))


def load_detector(
    path_or_name: Path | str | None = None,
    *,
    device: str = "auto",
    input_size: tuple[int, int] | None = None,
    head: str | None = None,
    score_threshold: float | None = None,
    threads: int | None = None,
) -> Detector:
    """A detector from a file, a name that ``available_models`` lists, or the default.

    Args:
        path_or_name: an .onnx or .pt2 file, or its name without suffix; None for the embedded default.
        device: see ``perception.session.open_session``.
        input_size: (width, height) of a network that leaves it open; by default a size of the same cost as the one
            it was trained for, with the aspect of the frame.
        head: a key of ``perception.heads.MODELS`` where file and shapes do not tell.
        score_threshold: least score; by default the file's own.
        threads: of the CPU.

    Raises:
        InputError: no such model, or it cannot be used; the message names the file and what was expected.
    """
    path, notice = _find(path_or_name)
    config = DetectorConfig(head=head, input_size=input_size, score_threshold=score_threshold)
    return Detector(open_session(path, device, threads), config, notice=notice)


def _find(path_or_name: Path | str | None) -> tuple[Path, str]:
    if path_or_name is None:
        path = default_model()
        if path is not None:
            return path, ""
        path = SHARED_MODELS / STAND_IN
        if path.is_file():
            return path, f"no embedded weights here: {path.name} of the developers' folder stands in"
        raise InputError(f"no weights in {WEIGHTS} and no model named; give one with --detector FILE.onnx")
    path = Path(path_or_name)
    if not path.is_file() and path.parent == Path():
        for known in available_models():
            if str(path_or_name) in (known.stem, known.name):
                return known, ""
        if not path.suffix:
            names = ", ".join(known.stem for known in available_models()) or "none"
            raise InputError(f"no model named {path_or_name!r}; there are {names}; or give a file")
    return path, ""


class Detector:
    """Finds objects of the road vocabulary in pictures of any size. Holds no state between pictures."""

    def __init__(self, session: Session, config: DetectorConfig | None = None, *, notice: str = "") -> None:
        self._session = session
        self._config = config or DetectorConfig()
        self._name = session.path.name
        self.notice = "; ".join(text for text in (notice, session.notice) if text)
        self._sha256 = hashlib.sha256(session.path.read_bytes()).hexdigest()
        self._image_input = _image_input(session)
        self._static_size = _static_size(session, self._image_input, self._config.input_size)
        self._sizes: dict[tuple[int, int], tuple[int, int]] = {}
        try:
            self._metadata = read_metadata(session.metadata)
            self._least_say = 1.0 if self._metadata.support is None else NO_SAY
            self._plan = self._settle()
        except InputError as error:
            raise _named(self._name, error) from error

    @property
    def description(self) -> dict[str, str]:
        """Name, file, sha256, provider, head and input size, for the records and the screen."""
        if self._static_size:
            size = "{}x{}".format(*self._static_size)
        else:
            size = ", ".join(sorted({f"{w}x{h}" for w, h in self._sizes.values()})) or "follows the frame"
        told = {
            "name": self._session.path.stem,
            "file": self._name,
            "sha256": self._sha256,
            "provider": self._session.provider,
            "head": self._plan.head,
            "input_size": size,
            "version": self._metadata.version,
            "notice": self.notice,
        }
        return {key: value for key, value in told.items() if value}

    @property
    def session(self) -> Session:
        """The network itself, for measurements."""
        return self._session

    @property
    def road_classes(self) -> tuple[str, ...]:
        """The classes of the road vocabulary that this network knows."""
        known = set(self._plan.road.tolist())
        return tuple(name for index, name in enumerate(CLASSES) if index in known)

    def detect(self, bgr: np.ndarray) -> Detections:
        """Objects of one (H, W, 3) uint8 picture, best score first, boxes in pixels of that picture.

        Raises:
            InputError: no such picture, or the network gave NaN.
        """
        feeds, placed = self.prepare(bgr)
        return self.finish(self._session.run(feeds), placed)

    def prepare(self, bgr: np.ndarray) -> tuple[dict[str, np.ndarray], Fit]:
        """What the network is fed for a picture, and how the picture lies in it."""
        check_picture(bgr)
        return self._feeds(bgr, self.input_size((bgr.shape[1], bgr.shape[0])), self._plan.preprocess)

    def finish(self, outputs: Outputs, placed: Fit) -> Detections:
        """Boxes in pixels of the picture from what the network gave."""
        plan = self._plan
        size_px = self.input_size(placed.image_size_px)
        query = Query(size_px, len(plan.classes), float(plan.thresholds.min()) * self._least_say, plan.wanted)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
                found = MODELS[plan.head].decode(outputs, query)
            if not np.isfinite(found.xyxy).all():
                raise InputError("the network's boxes hold NaN or infinity; the file is damaged")
        except InputError as error:
            raise _named(self._name, error) from error
        return self._suppress(found, placed)

    def input_size(self, image_size_px: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the network's input for pictures of a (width, height)."""
        if self._static_size:
            return self._static_size
        if image_size_px not in self._sizes:
            self._sizes[image_size_px] = self._follow(image_size_px)
        return self._sizes[image_size_px]

    def _follow(self, image_size_px: tuple[int, int]) -> tuple[int, int]:
        width, height = self._metadata.input_size or USUAL_SIZE
        return size_for(image_size_px, width * height, self._metadata.stride)

    def _suppress(self, found: Candidates, placed: Fit) -> Detections:
        class_id = self._plan.road[found.label]
        over = found.score >= self._plan.thresholds[class_id] * self._least_say
        boxes = placed.boxes_to_image(found.xyxy)
        rows = np.flatnonzero(over & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
        rows = rows[np.argsort(-found.score[rows], kind="stable")[:MOST_CANDIDATES]]
        boxes, score, class_id = boxes[rows], found.score[rows], class_id[rows]
        if not found.unique:
            boxes, score, class_id = self._agreed(boxes, score, class_id, placed)
        odds = _RIVAL_ODDS[class_id] * score / np.maximum(1.0 - score, 1e-6)
        kept = nms(boxes, odds, _RIVALS[class_id], self._config.rival_iou)
        kept = kept[np.argsort(-score[kept], kind="stable")]
        kept = kept[score[kept] >= self._plan.thresholds[class_id[kept]]]
        return Detections(boxes[kept], score[kept], class_id[kept])

    def _agreed(
        self, boxes: np.ndarray, score: np.ndarray, class_id: np.ndarray, placed: Fit
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What suppression keeps, moved and made surer or less sure by what it drops, and as large as it should be."""
        limit = self._plan.overlaps[class_id]
        kept = nms(boxes, score, class_id, limit)
        overlap = overlaps(boxes, class_id, kept)
        agreeing = np.minimum(limit[kept] + VOTE_OVER_NMS, 1.0)
        voted = vote(overlap, boxes.astype(np.float64), score, kept, agreeing)
        sure = score[kept]
        area = np.prod((voted[:, 2:] - voted[:, :2]) * placed.scale, axis=1)
        if self._metadata.support is not None:
            sure = self._metadata.support.adjusted(sure, support(overlap, score, kept, limit[kept]), area)
        if self._metadata.oversize is not None:
            voted = self._metadata.oversize.mended(voted, area)
        return voted.astype(np.float32), sure, class_id[kept]

    def _feeds(
        self, bgr: np.ndarray, size_px: tuple[int, int], preprocess: Preprocess
    ) -> tuple[dict[str, np.ndarray], Fit]:
        channels_last = _channels_last(self._image_input)
        blob, placed = preprocess(bgr, size_px, np.dtype(self._image_input.dtype), channels_last=channels_last)
        width, height = size_px
        # Asked with the size of the input itself, every family answers in its pixels, and one inverse serves all.
        sides: dict[str, np.ndarray] = {
            "orig_target_sizes": np.array([[width, height]], np.int64),
            "im_shape": np.array([[height, width]], np.float32),
            "scale_factor": np.ones((1, 2), np.float32),
        }
        feeds = {spec.name: sides[spec.name] for spec in self._session.inputs if spec is not self._image_input}
        return feeds | {self._image_input.name: blob}, placed

    def _settle(self) -> _Plan:
        """Run one grey picture, so that shapes are those the network really gives, and choose the head by them."""
        config, told = self._config, self._metadata
        size_px = self._static_size or self._follow((16, 9))
        grey = np.full((size_px[1], size_px[0], 3), GREY, np.uint8)
        outputs = self._session.run(self._feeds(grey, size_px, config.preprocess or Preprocess())[0])
        names = config.classes or told.classes
        head = config.head or told.head
        if head is None:
            inputs = [spec.name for spec in self._session.inputs]
            head = choose(inputs, outputs, size_px, len(names) if names else None)
        elif head not in MODELS:
            raise InputError(f"head is {head!r}; must be one of {', '.join(MODELS)}")
        classes, road = _settle_classes(head, outputs, names)
        _try_head(head, outputs, Query(size_px, len(classes), -1.0, np.flatnonzero(road >= 0)))
        family = MODELS[head]
        thresholds = _thresholds(config.score_threshold, told.score_threshold, family.score_threshold)
        overlaps = _by_class(config.nms_iou or told.nms_iou, NMS_IOU)
        preprocess = config.preprocess or replace(family.preprocess, **told.preprocess)
        return _Plan(head, preprocess, classes, thresholds, overlaps, road)


def _named(name: str, error: InputError) -> InputError:
    text = str(error)
    return error if text.startswith(name) else InputError(f"{name}: {text}")


def _try_head(head: str, outputs: Outputs, query: Query) -> None:
    """Decode every anchor once, so that arrays that do not fit together are found when the file is opened."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            MODELS[head].decode(outputs, query)
    except (ValueError, IndexError, StopIteration) as error:  # arrays that do not unpack, broadcast or index
        if isinstance(error, InputError):
            raise
        raise InputError(f"outputs {_shapes(outputs)} do not fit the head {head} ({error})") from error


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in outputs.items())


def _settle_classes(head: str, outputs: Outputs, names: tuple[str, ...] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names in column order, and the road class of each."""
    try:
        count_of = MODELS[head].class_count
        count = count_of(outputs) if count_of else None
    except (ValueError, IndexError) as error:
        raise InputError(f"outputs {_shapes(outputs)} do not fit the head {head} ({error})") from error
    if names is None:
        if count not in (None, len(COCO_NAMES)):
            raise InputError(f"head {head} shows {count} classes, but the file has no names (80 would be COCO's)")
        names = COCO_NAMES
    elif count is not None and head != "nanodet-plus" and count != len(names):
        raise InputError(f"head {head} shows {count} classes, but {len(names)} names are given")
    road = road_classes(names)
    if not (road >= 0).any():
        raise InputError(f"none of its classes ({', '.join(names[:5])}, ...) is of the road: {', '.join(CLASSES)}")
    return names, road


def _thresholds(asked: float | None, told: float | dict[str, float] | None, usual: float) -> np.ndarray:
    """(classes of the vocabulary,) least scores: those asked for, else the file's, else the family's."""
    if asked is not None:
        if not 0 <= asked < 1:
            raise InputError(f"score threshold is {asked}; must be 0 or more and below 1")
        return np.full(len(CLASSES), asked)
    return _by_class(told, usual)


def _by_class(told: float | dict[str, float] | None, usual: float) -> np.ndarray:
    """(classes of the vocabulary,) numbers: those told, where they are, else the usual one."""
    if not isinstance(told, dict):
        return np.full(len(CLASSES), usual if told is None else told)
    by_class = {road_class(name): value for name, value in told.items()}
    return np.array([by_class.get(index, usual) for index in range(len(CLASSES))])


def _image_input(session: Session) -> TensorSpec:
    name = session.path.name
    listed = ", ".join(f"{spec.name} {spec.dtype}{spec.shape}" for spec in session.inputs)
    pictures = [spec for spec in session.inputs if len(spec.shape) == 4]
    others = {spec.name for spec in session.inputs} - {"orig_target_sizes", "im_shape", "scale_factor"}
    if len(pictures) != 1 or others != {pictures[0].name}:
        raise InputError(
            f"{name} has inputs {listed}; wanted one picture (1, 3, height, width): no detector known here"
        )
    picture = pictures[0]
    if picture.shape[0] not in (1, None) or (picture.shape[1] not in (3, None) and not _channels_last(picture)):
        raise InputError(f"{name} has input {listed}; wanted (1, 3, height, width): export it with batch 1 or free")
    if picture.dtype not in ("float32", "float16", "uint8"):
        raise InputError(f"{name} takes {picture.dtype} pictures; wanted float32, float16 or uint8")
    return picture


def _channels_last(picture: TensorSpec) -> bool:
    """Whether a network takes (1, height, width, 3), as pictures lie in memory."""
    return picture.shape[3] == 3 and picture.shape[1] != 3


def _static_size(session: Session, picture: TensorSpec, asked: tuple[int, int] | None) -> tuple[int, int] | None:
    """(width, height) that never changes: the file's own, else the one asked for; None where it follows the frame."""
    height, width = picture.shape[1:3] if _channels_last(picture) else picture.shape[2:]
    if asked is not None and min(asked) < 1:
        raise InputError(f"input size is {asked[0]}x{asked[1]}; both must be positive")
    if width and height:
        if asked not in (None, (width, height)):
            raise InputError(
                f"{session.path.name} takes {width}x{height} only, {asked[0]}x{asked[1]} was asked for; "
                "leave the size away or export the model with free height and width"
            )
        return width, height
    return asked
