"""Rendered pictures, clips and training frames against the truth they come with."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from geometry.profiles import load_profile
from perception.synthetic import SCENES, make_scene
from perception.synthetic.motion import Lateral, Motion, Travel, poses
from perception.synthetic.order import painting_order
from perception.synthetic.render import Renderer
from perception.synthetic.road import Road
from perception.synthetic.textures import ranked, value_noise
from perception.synthetic.training import road_frames, training_frames
from perception.synthetic.truth_file import read_truth, write_truth
from perception.synthetic.view import Outline, View
from perception.types import CLASS_ID

CAMERA = Camera(480, 270, 330.0, 330.0, 239.5, 118.0, 1.4, pitch_rad=0.03)
BROWN = Distortion("brown", (-0.2, 0.05, 0.0005, -0.0005))


def grey(picture):
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(float)


@pytest.mark.parametrize(("kind", "options"), [("city", {}), ("curve", {"night": True, "rain": 0.7})])
def test_same_seed_same_picture_other_seed_another(kind, options):
    pictures = [next(iter(make_scene(kind, CAMERA, seed=seed, **options).frames()))[0].bgr for seed in (4, 4, 5)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize(
    ("kind", "options", "lens"),
    [
        ("curve", {"radius_m": 150.0, "turn": "right", "marking": "solid"}, BROWN),
        ("lane_change", {"marking": "solid", "suspension_pitch_rad": 0.01}, Distortion()),
    ],
)
def test_paint_lies_where_the_lanes_are(kind, options, lens):
    camera = replace(CAMERA, distortion=lens)
    options |= {"traffic": 0, "noise": 0.0, "motion_blur": 0.0}
    renderer = Renderer(make_scene(kind, camera, seed=1, **options))
    for t_s in (2.9, 6.0):
        picture = renderer.render(0, t_s)
        image, checked = grey(picture.bgr), 0
        for line in picture.truth.lane_points_m[:2]:
            near = line[(line[:, 0] > 6.0) & (line[:, 0] < 22.0)]
            for point in near:
                across = point + np.linspace(-0.5, 0.5, 101)[:, None] * [0.0, 1.0]
                px, valid = picture.truth.camera.px_from_ground(across)
                if not (valid.all() and picture.truth.camera.in_image(px).all()):
                    continue
                profile = cv2.remap(image, *px.astype(np.float32).T[:, :, None], cv2.INTER_LINEAR)[:, 0]
                weight = np.clip(profile - np.median(profile) - 15, 0, None)
                if weight.sum() == 0:
                    continue
                assert (weight * across[:, 1]).sum() / weight.sum() == pytest.approx(point[1], abs=0.04)
                checked += 1
        assert checked > 8


def test_worn_paint_is_missing_by_the_share_asked_for():
    light = []
    for missing in (0.0, 0.4):
        scene = make_scene("highway", CAMERA, seed=2, traffic=0, missing_paint=missing, marking="solid", noise=0.0)
        renderer = Renderer(scene)
        total = []
        for t_s in (0.0, 2.0, 4.0):
            picture = renderer.render(0, t_s)
            line = picture.truth.lane_points_m[0]
            px, _ = picture.truth.camera.px_from_ground(
                np.stack([np.arange(7.0, 20.0, 0.05)] * 2, axis=1) * [1, 0] + [0, line[0, 1]]
            )
            total.append(cv2.remap(grey(picture.bgr), *px.astype(np.float32).T[:, :, None], cv2.INTER_LINEAR))
        light.append(np.concatenate(total))
    whole = np.median(light[0])
    road = np.percentile(light[1], 5)
    assert 0.2 < (light[1] < (whole + road) / 2).mean() < 0.6
    assert (light[0] < (whole + road) / 2).mean() < 0.05


def test_weather_changes_the_light():
    mean = {
        name: Renderer(make_scene("highway", CAMERA, seed=2, noise=0.0, **options)).render(0, 1.0).bgr.mean()
        for name, options in (("day", {}), ("night", {"night": True}))
    }
    assert mean["night"] < 0.5 * mean["day"]
    clear, fog = (
        Renderer(make_scene("highway", CAMERA, seed=2, noise=0.0, fog=f)).render(0, 1.0).bgr[90:118].std()
        for f in (0.0, 0.9)
    )
    assert fog < 0.6 * clear


def test_a_braking_car_lights_its_lamps():
    scene = make_scene("lead_braking", CAMERA, seed=1, traffic=0)
    renderer = Renderer(scene)
    red = []
    for t_s in (1.9, 2.1):
        picture = renderer.render(0, t_s)
        x0, y0, x1, y1 = picture.truth.objects.xyxy_px[-1].round().astype(int)
        crop = picture.bgr[y0:y1, x0:x1].astype(float)
        red.append((crop[..., 2] - crop[..., :2].max(axis=2)).max())
    assert red[1] > red[0] + 40


def test_noise_ranks_and_tiles():
    rng = np.random.default_rng(0)
    noise = value_noise(rng, (256, 64), (16, 8))
    assert noise.shape == (256, 64)
    assert np.abs(noise[0] - noise[-1]).max() < 4 * np.abs(np.diff(noise, axis=0)).max()
    assert (ranked(noise) < 0.3).mean() == pytest.approx(0.3, abs=0.01)


def square(x, y, half=1.0):
    return np.array([(x - half, y - half), (x - half, y + half), (x + half, y + half), (x + half, y - half)])


def test_painting_order_is_by_who_covers_whom_not_by_middles():
    # A lorry from 10 to 30 m in the right lane, a man at 24 m left of it: its middle is nearer, but he covers it.
    lorry = np.array([(10.0, -5.0), (10.0, -2.5), (30.0, -2.5), (30.0, -5.0)])
    man, car = square(24.0, -1.5, 0.3), square(50.0, -3.0)
    everywhere = Outline(np.zeros((3, 2), np.float32), np.array([0.0, 0.0, 100.0, 100.0]), False)
    order = painting_order([man, lorry, car], [everywhere] * 3)
    assert order == [2, 1, 0]


def test_what_rolls_moves_sideways_only_while_it_rolls():
    motion = Motion(Travel(0.0, 10.0, ((0.0, -5.0),)), Lateral(0.0, changes=((0.0, 4.0, 2.0),)))
    road = Road()
    standing = poses(road, [motion], 3.0)
    assert standing.velocity_mps[0] == pytest.approx((0.0, 0.0), abs=1e-9)
    assert standing.heading_rad[0] == 0.0
    assert standing.d_m[0] < 2.0


def test_polygon_is_cut_at_the_view():
    view = View(CAMERA)
    near = np.array([(-1.0, -1.0, 2.0), (1.0, -1.0, -2.0), (1.0, 1.0, -2.0), (-1.0, 1.0, 2.0)])
    cut = view.clip_polygon(near)
    assert len(cut) >= 3
    assert (view.sides(cut) >= -1e-9).all()
    assert view.clip_polygon(near * (1, 1, -1) - (0, 0, 5.0)).shape == (0, 3)


def test_walls_hide_what_drives_behind_them():
    scene = make_scene("junction", CAMERA, seed=0)
    crossing = next(a for a in scene.actors if a.motion.turned_rad is not None and a.class_id == CLASS_ID["car"])
    shares = {}
    for t_s in (1.0, 6.0):
        objects = scene.truth(t_s).objects
        row = np.flatnonzero(objects.track_id == crossing.track_id)
        shares[t_s] = (float(objects.occlusion[row[0]]), abs(objects.centre_m[row[0], 1])) if len(row) else None
    behind = shares[1.0]
    assert behind is None or (behind[1] > 20.0 and behind[0] > 0.9)
    assert shares[6.0] is not None
    assert shares[6.0][0] < 0.5


# -- files ----


def test_truth_file_brings_back_what_was_true(tmp_path):
    scene = make_scene("curve", replace(CAMERA, distortion=BROWN), duration_s=0.4, fps=10, mount_yaw_rad=0.01)
    truths = [scene.truth(float(t)) for t in scene.times_s]
    path = tmp_path / "clip.truth.jsonl.gz"
    write_truth(path, scene, truths)
    clip = read_truth(path)
    assert clip.camera == scene.camera
    assert clip.header["seed"] == 0
    assert len(clip.frames) == 4
    for back, one in zip(clip.frames, truths, strict=True):
        assert np.allclose(back.objects.xyxy_px, one.objects.xyxy_px, atol=0.006)
        assert np.allclose(back.objects.v_mps, one.objects.v_mps, atol=6e-4)
        assert back.objects.track_id.tolist() == one.objects.track_id.tolist()
        assert np.allclose(back.lanes.left.coeff, one.lanes.left.coeff, rtol=1e-8, atol=1e-12)
        assert back.camera.yaw_rad == pytest.approx(one.camera.yaw_rad, abs=1e-7)
    again = tmp_path / "again.truth.jsonl.gz"
    write_truth(again, scene, truths)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"hello", b'{"format":"other"}\n'])
def test_no_truth_file(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="truth file"):
        read_truth(path)


def test_the_command_writes_clip_camera_and_truth(tmp_path):
    import av

    from app.cli import app

    arguments = ["scene", "curve", "-c", "generic", "-o", str(tmp_path), "--size", "320x180", "--seconds", "0.4"]
    done = CliRunner().invoke(app, [*arguments, "--fps", "10", "--set", "radius_m=200", "--name", "bend"])
    assert done.exit_code == 0, done.output
    clip = read_truth(tmp_path / "bend.truth.jsonl.gz")
    assert clip.header["options"]["radius_m"] == 200
    assert load_profile(tmp_path / "bend.toml") == clip.camera
    with av.open(str(tmp_path / "bend.mp4")) as video:
        sizes = [(frame.width, frame.height) for frame in video.decode(video=0)]
    assert sizes == [(320, 180)] * 4


@pytest.mark.parametrize(
    "wrong", [["moon"], ["city", "--size", "big"], ["city", "--set", "radius"], ["city", "--set", "snow=1"]]
)
def test_the_command_refuses_with_a_line(tmp_path, wrong):
    from app.cli import app

    done = CliRunner().invoke(app, ["scene", *wrong, "-o", str(tmp_path / "out"), "--truth-only"])
    assert isinstance(done.exception, InputError)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_sample_truth_is_what_the_manifest_says(tmp_path):
    """The commands of the manifest give the truth files that lie beside the clips."""
    from pathlib import Path

    from app.cli import app

    folder = Path(__file__).parents[1] / "sample_videos"
    commands = [
        line.split()[1:]
        for line in (folder / "MANIFEST.md").read_text().splitlines()
        if line.startswith("roadlens scene")
    ]
    assert len(commands) == 3
    for command in commands:
        place = command.index("--out")
        command[place + 1] = str(tmp_path)
        done = CliRunner().invoke(app, [*command, "--truth-only"])
        assert done.exit_code == 0, done.output
        name = command[command.index("--name") + 1]
        made, kept = (read_truth(d / f"{name}.truth.jsonl.gz") for d in (tmp_path, folder))
        assert json.dumps(made.header) == json.dumps(kept.header)
        for now, then in zip(made.frames, kept.frames, strict=True):
            # Bit for bit with the same NumPy; another one's sine may round the last digit kept the other way.
            assert now.objects.track_id.tolist() == then.objects.track_id.tolist()
            assert np.allclose(now.objects.xyxy_px, then.objects.xyxy_px, atol=0.011)
            assert np.allclose(now.objects.xy_m, then.objects.xy_m, atol=0.0011)
        assert load_profile(folder / f"{name}.toml") == kept.camera


# -- training ----


def test_training_frames_are_random_and_repeatable():
    frames, again = (list(training_frames(3, seed, (320, 192))) for seed in (9, 9))
    for one, two in zip(frames, again, strict=True):
        assert one.bgr.shape == (192, 320, 3)
        assert np.array_equal(one.bgr, two.bgr)
        assert np.array_equal(one.xyxy_px, two.xyxy_px)
        assert len(one.xyxy_px) == len(one.class_id)
        assert (one.xyxy_px[:, 2:] > one.xyxy_px[:, :2]).all()
        assert (one.xyxy_px >= -0.5).all()
        assert (one.xyxy_px <= (319.5, 191.5) * 2).all()
    assert sum(len(f.xyxy_px) for f in frames) > 3


def test_road_frames_bring_their_camera_and_lanes():
    frames = list(road_frames(3, 2, (320, 192)))
    assert len(frames) == 3
    for frame, truth in frames:
        assert (truth.camera.width_px, truth.camera.height_px) == frame.bgr.shape[1::-1]
    assert set(SCENES) > {"highway", "curve"}
