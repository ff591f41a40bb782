"""Pictures in and out: exact times, rotation, odd sizes, odd formats, broken files, live sources."""

import struct
import threading
import time
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from app.video import BufferPool, ReadReport, VideoWriter, frames, probe
from app.video_live import LatestFrame
from geometry.errors import InputError

RATE = Fraction(30000, 1001)


def picture(level: int, size_px: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A picture whose left half says which one it is and whose right half is dark: upright and order can be told."""
    image = np.full((size_px[1], size_px[0], 3), 16, np.uint8)
    image[:, : size_px[0] // 2] = level
    return image


def write_clip(path: Path, times: list[float], size_px: tuple[int, int] = (64, 48)) -> Path:
    with VideoWriter(path, size_px, RATE, crf=5) as writer:
        for number, t_s in enumerate(times):
            writer.write(picture(40 + 8 * (number % 24), size_px), t_s)
    return path


def write_raw(path: Path, codec: str, pixel_format: str, size_px: tuple[int, int], count: int = 5) -> Path:
    """A clip in any codec and pixel format."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = size_px
        stream.pix_fmt = pixel_format
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(60 + 20 * (number % 8), size_px), format="bgr24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def left_level(image: np.ndarray) -> float:
    return float(image[:, : image.shape[1] // 2 - 2].mean())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", [float(n / RATE) for n in range(60)])


# -- writing ----------------------------------------------------------------------------------------------------------


def test_what_is_written_plays_in_browsers(clip: Path) -> None:
    data = clip.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index must come first: +faststart"
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 1  # BT.709, as written
        assert [float(f.time) for f in container.decode(stream)] == pytest.approx([n / float(RATE) for n in range(60)])


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(0, 0, 200), (200, 0, 0), (0, 200, 0), (128, 128, 128)]
    path = tmp_path / "colours.mp4"
    with VideoWriter(path, (64, 64), RATE, crf=5) as writer:
        for number, colour in enumerate(colours):
            writer.write(np.full((64, 64, 3), colour, np.uint8), number / 10)
    for frame, colour in zip(frames(path), colours, strict=True):
        np.testing.assert_allclose(frame.bgr[32, 32], colour, atol=4)


def test_odd_sizes_are_padded_by_the_last_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    with VideoWriter(path, (33, 17), RATE, crf=1) as writer:
        writer.write(np.full((17, 33, 3), 200, np.uint8), 0.0)
    assert probe(path).size_px == (34, 18)
    assert next(frames(path)).bgr.min() > 190


@pytest.mark.parametrize("size", [(64, 50), (62, 54), (480, 270), (64, 48)])
def test_every_row_and_its_colour_survive_at_heights_no_multiple_of_four(tmp_path: Path, size: tuple[int, int]) -> None:
    """4:2:0 planes of such heights are where rows get lost or colours shift."""
    width, height = size
    ramp = np.linspace(40, 210, height).astype(np.uint8)[:, None, None]
    picture = np.broadcast_to(ramp, (height, width, 3)) - np.array([0, 20, 40], np.uint8)
    path = tmp_path / "ramp.mp4"
    with VideoWriter(path, size, RATE, crf=5) as writer:
        writer.write(picture, 0.0)
    back = next(frames(path)).bgr
    assert back.shape == picture.shape
    np.testing.assert_allclose(back.astype(int), picture.astype(int), atol=8)


def test_equal_pictures_give_equal_bytes(tmp_path: Path) -> None:
    """15 macroblocks wide: there x264's macroblock tree reads memory never written, so it must be off."""
    rng = np.random.default_rng(1)
    pictures = [rng.integers(60, 80, (128, 240, 3), dtype=np.uint8) for _ in range(12)]
    files = []
    for number in range(6):
        with VideoWriter(tmp_path / f"{number}.mp4", (240, 128), Fraction(20), preset="veryfast") as writer:
            for position, image in enumerate(pictures):
                writer.write(image, position / 20)
        files.append((tmp_path / f"{number}.mp4").read_bytes())
    assert b" mbtree=0 " in files[0] and b" bframes=3 " in files[0], "x264 writes into the file how it was made"
    assert all(file == files[0] for file in files)


def test_an_exception_leaves_a_playable_partial_file_only(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, (64, 48), RATE) as writer:
        for number in range(7):
            writer.write(picture(100), number / 30)
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["clip.partial.mp4"]
    assert len(list(frames(tmp_path / "clip.partial.mp4"))) == 7


def test_a_writer_without_frames_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frame"), VideoWriter(tmp_path / "clip.mp4", (64, 48), RATE):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file"):
        VideoWriter(tmp_path / "none" / "clip.mp4", (64, 48), RATE)


# -- reading: times and choice of frames ------------------------------------------------------------------------------


def test_probe_says_what_a_clip_is(clip: Path) -> None:
    info = probe(clip)
    assert (info.kind, info.size_px, info.frames, info.codec, info.live) == ("file", (64, 48), 60, "h264", False)
    assert info.rate == RATE
    assert info.duration_s == pytest.approx(60 / float(RATE), abs=1e-3)


def test_times_of_variable_rate_are_the_containers(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.5, 0.52, 1.75]
    read = [frame.t_s for frame in frames(write_clip(tmp_path / "vfr.mp4", times))]
    assert read == pytest.approx(times, abs=1 / 90_000)


@pytest.mark.parametrize(("start_s", "end_s", "every"), [(0, None, 1), (0.5, 1.5, 1), (1.9, None, 1), (0.33, 1.2, 3)])
def test_a_part_of_a_clip_has_the_same_frames_as_the_whole(
    clip: Path, start_s: float, end_s: float | None, every: int
) -> None:
    whole = [(f.index, f.t_s, left_level(f.bgr)) for f in frames(clip)]
    want = [w for w in whole if start_s <= w[1] < (end_s or 99) and w[0] % every == 0]
    part = [(f.index, f.t_s, left_level(f.bgr)) for f in frames(clip, start_s=start_s, end_s=end_s, every=every)]
    assert [p[:2] for p in part] == [w[:2] for w in want]
    assert [p[2] for p in part] == pytest.approx([w[2] for w in want])


def test_seeking_past_many_key_frames_finds_the_right_index(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", [n / 10 for n in range(400)], (32, 32))
    first = next(frames(path, start_s=31.55))
    assert (first.index, first.t_s) == (316, pytest.approx(31.6))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"start_s": 5.0}, "no frame of"),
        ({"start_s": 2.0, "end_s": 1.0}, "start < end"),
        ({"start_s": -1.0}, "0 <= start"),
        ({"every": 0}, "whole number from 1"),
    ],
)
def test_choices_without_frames_are_told(clip: Path, choice: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(frames(clip, **choice))


def test_a_clock_that_falls_back_is_carried_on(tmp_path: Path) -> None:
    """Transport streams glued together: the second starts at zero again."""
    parts = []
    for name in ("a.ts", "b.ts"):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(60):
                frame = av.VideoFrame.from_ndarray(picture(100), format="bgr24").reformat(format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        parts.append((tmp_path / name).read_bytes())
    path = tmp_path / "glued.ts"
    path.write_bytes(b"".join(parts))
    report = ReadReport()
    times = [frame.t_s for frame in frames(path, report=report)]
    assert len(times) >= 115
    assert all(0 < later - earlier < 0.2 for earlier, later in pairwise(times))
    assert report.clock_resets == 1 and "clock" in " ".join(report.notes())


# -- reading: formats -------------------------------------------------------------------------------------------------


def turned(path: Path, matrix: tuple[int, ...]) -> Path:
    """The clip with a display matrix in its track header (ISO/IEC 14496-12, 8.3.2: nine 16.16 / 2.30 numbers)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes of times, id, duration, layer and volume before it
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(bytes(data))
    return path


ONE, W = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    ("matrix", "bright"),
    [
        ((0, ONE, 0, -ONE, 0, 0, 48 * ONE, 0, W), "top"),  # shown a quarter turned clockwise: left becomes top
        ((0, -ONE, 0, ONE, 0, 0, 0, 64 * ONE, W), "bottom"),
        ((-ONE, 0, 0, 0, -ONE, 0, 64 * ONE, 48 * ONE, W), "right"),
    ],
)
def test_rotation_flags_are_applied(tmp_path: Path, matrix: tuple[int, ...], bright: str) -> None:
    path = turned(write_clip(tmp_path / "phone.mp4", [0.0, 0.1]), matrix)
    size = (64, 48) if bright == "right" else (48, 64)
    assert probe(path).size_px == size
    image = next(frames(path, buffers=BufferPool())).bgr
    assert image.shape == (size[1], size[0], 3)
    halves = {
        "top": image[: size[1] // 2 - 2],
        "bottom": image[size[1] // 2 + 2 :],
        "left": image[:, : size[0] // 2 - 2],
        "right": image[:, size[0] // 2 + 2 :],
    }
    assert max(halves, key=lambda half: halves[half].mean()) == bright


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("ten_bit.mkv", "libx264", "yuv420p10le"),
        ("grey.mkv", "libx264", "gray"),
        ("grey_10.mkv", "ffv1", "gray10le"),
        ("full.avi", "mjpeg", "yuvj420p"),
        ("chroma_444.mp4", "libx264", "yuv444p"),
        ("loop.gif", "gif", "rgb8"),
        ("alpha.mov", "png", "rgba"),
    ],
)
def test_odd_formats_become_the_same_pictures(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    path = write_raw(tmp_path / name, codec, pixel_format, (64, 48))
    read = list(frames(path))
    assert [f.t_s for f in read] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=0.011)
    tolerance = {"rgb8": 20, "gray": 10}.get(pixel_format, 4)  # 8 colours; grey says no range
    assert [left_level(f.bgr) for f in read] == pytest.approx([60, 80, 100, 120, 140], abs=tolerance)


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    assert len(list(frames(write_clip(tmp_path / "one.mp4", [0.0])))) == 1


def test_a_folder_of_pictures_is_a_clip_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number * 10))
    (tmp_path / "notes.txt").write_text("not a picture")
    read = list(frames(tmp_path, rate=Fraction(5)))
    assert [f.bgr[0, 0, 0] for f in read] == [10, 20, 100]
    assert [f.t_s for f in read] == pytest.approx([0.0, 0.2, 0.4])


def test_a_folder_takes_its_times_from_kitti_time_stamps(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number:010d}.png"), picture(50))
    stamps = ["2011-09-26 13:02:25.594360375", "2011-09-26 13:02:25.697612345", "2011-09-26 13:02:26.004360375"]
    (tmp_path / "timestamps.txt").write_text("\n".join(stamps) + "\n")
    assert [f.t_s for f in frames(folder)] == pytest.approx([0.0, 0.10325197, 0.41], abs=1e-6)


@pytest.mark.parametrize("stamps", ["0\n0.1\n", "0\n0.2\n0.1\n", "0\nnow\n0.1\n"])
def test_time_stamps_that_do_not_fit_are_told(tmp_path: Path, stamps: str) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(50))
    (tmp_path / "timestamps.txt").write_text(stamps)
    with pytest.raises(InputError, match=r"timestamps\.txt"):
        list(frames(tmp_path))


def test_a_folder_of_two_sizes_is_told(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture(50))
    cv2.imwrite(str(tmp_path / "2.png"), picture(50, (80, 48)))
    with pytest.raises(InputError, match="one size"):
        list(frames(tmp_path))


def test_a_broken_picture_in_a_folder_is_left_out_and_counted(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(50))
    (tmp_path / "1.png").write_bytes(b"")
    report = ReadReport()
    assert [f.index for f in frames(tmp_path, report=report)] == [0, 2]
    assert report.corrupt == 1


# -- reading: what cannot be read -------------------------------------------------------------------------------------


def broken(kind: str, folder: Path, clip: Path) -> Path | str:
    path = folder / "broken.mp4"
    if kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        data = clip.read_bytes()
        start = data.index(b"mdat")
        path.write_bytes(data[: start + (len(data) - start) * 6 // 10])
    elif kind == "no index":
        data = clip.read_bytes()
        path.write_bytes(data[: data.index(b"moov") + 20])
    elif kind == "one pixel":
        return write_raw(folder / "one.mkv", "ffv1", "gray", (1, 1))
    elif kind == "sound only":
        path = folder / "sound.wav"
        path.write_bytes(
            b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\x08\0\0\0" + bytes(8)
        )
    elif kind == "no pictures":
        path = folder / "no_pictures"
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("absent", "no such file"),
        ("text", "cannot be opened as video"),
        ("empty", "is empty"),
        ("truncated", "breaks off"),
        ("no index", "holds no video stream"),
        ("one pixel", "1x1 pixels"),
        ("sound only", "no video stream"),
        ("no pictures", "holds no pictures"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, clip: Path, kind: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        list(frames(broken(kind, tmp_path, clip)))
    assert "\n" not in str(caught.value)


def test_a_truncated_clip_can_be_read_up_to_where_it_breaks(tmp_path: Path, clip: Path) -> None:
    path = broken("truncated", tmp_path, clip)
    assert len(list(frames(path, end_s=0.5))) == 15


def test_damaged_bytes_in_the_middle_do_not_end_the_clip(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "clip.avi", "mjpeg", "yuvj420p", (64, 48), count=40)
    data = bytearray(path.read_bytes())
    heads = [n for n in range(len(data) - 2) if data[n : n + 3] == b"\xff\xd8\xff"]
    data[heads[10] : heads[11] - 16] = bytes(heads[11] - 16 - heads[10])
    path.write_bytes(bytes(data))
    report = ReadReport()
    assert [f.index for f in frames(path, report=report)] == list(range(39))
    assert report.corrupt >= 1


# -- buffers and live sources -----------------------------------------------------------------------------------------


def test_buffers_are_reused_and_never_while_somebody_holds_them(clip: Path) -> None:
    pool = BufferPool()
    held = [frame.bgr[10:20] for frame in frames(clip, end_s=0.17, buffers=pool)]  # views count as holding
    assert len(pool) >= len(held) == 6
    assert len({left_level(view) // 4 for view in held}) == 6
    del held
    before = len(pool)
    for _ in frames(clip, buffers=pool):
        pass
    assert len(pool) == before


def test_the_latest_frame_is_given_and_older_ones_are_skipped() -> None:
    made = iter(range(10_000))

    def grab() -> tuple[float, object]:
        time.sleep(0.002)
        number = next(made)
        return number * 0.002, lambda: np.full((2, 2, 3), number % 251, np.uint8)

    reader = LatestFrame(grab)
    try:
        indices = []
        for _ in range(4):
            time.sleep(0.05)
            index, _, image = reader.take()
            assert image[0, 0, 0] == index % 251
            indices.append(index)
    finally:
        reader.close()
    assert all(later - earlier > 5 for earlier, later in pairwise(indices))


def test_a_silent_source_is_told() -> None:
    gate = threading.Event()

    def grab() -> None:
        gate.wait()

    reader = LatestFrame(grab)
    with pytest.raises(InputError, match="no picture came"):
        reader.take(timeout_s=0.05)
    gate.set()
    reader.close()


def test_an_error_of_the_reading_thread_reaches_the_caller() -> None:
    def grab() -> None:
        raise OSError("cable pulled")

    with pytest.raises(InputError, match="cable pulled"):
        LatestFrame(grab).take(timeout_s=5)


def test_an_http_stream_is_read_live(tmp_path: Path) -> None:
    """A transport stream without an end mark, as cameras send it: frames arrive, the end of the stream ends them."""
    source = write_raw(tmp_path / "cam.ts", "mpeg2video", "yuv420p", (64, 48), count=50).read_bytes()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            for start in range(0, len(source), 4096):
                self.wfile.write(source[start : start + 4096])

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        read = list(frames(f"http://127.0.0.1:{server.server_port}/cam.ts"))
    finally:
        server.shutdown()
        server.server_close()
    assert read and read[0].bgr.shape == (48, 64, 3)
    assert all(later.t_s > earlier.t_s for earlier, later in pairwise(read))


def test_an_address_where_nothing_answers_is_told() -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        probe("http://127.0.0.1:9/none.mp4")
