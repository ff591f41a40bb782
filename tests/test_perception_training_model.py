"""The network: its shapes, its folding into plain convolutions, and what folding must not change."""

import pytest

torch = pytest.importorskip("torch")

from perception.training.blocks import ConvNormAct, EffectiveSqueeze, RepConv  # noqa: E402
from perception.training.model import (  # noqa: E402
    CONFIGS,
    STRIDES,
    Decoded,
    Detector,
    ModelConfig,
    cell_grid,
    parameter_count,
)

TINY = ModelConfig(stem=8, stages=(8, 16, 16, 24), depths=(1, 1, 1, 1), neck=16, bins=8)


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """With norm statistics as after a training, so that folding has something to fold."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (part.weight, 0.5, 1.5),
                (part.bias, -0.5, 0.5),
                (part.running_mean, -0.5, 0.5),
                (part.running_var, 0.5, 2.0),
            ):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return module


@pytest.mark.parametrize("rep", ["branches", "folded", "none"])
@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(6, 6, 1), (6, 10, 1), (6, 6, 2)])
def test_folding_a_block_changes_nothing(rep, inputs, outputs, stride):
    block = shaken(RepConv(inputs, outputs, stride, rep)).eval()
    x = torch.randn(2, inputs, 9, 12)
    with torch.inference_mode():
        before = block(x).clone()
    block.fold()
    assert [type(m) for m in block.modules() if isinstance(m, torch.nn.BatchNorm2d)] == []
    assert sum(isinstance(m, torch.nn.Conv2d) for m in block.modules()) == 1
    with torch.inference_mode():
        torch.testing.assert_close(block(x), before, atol=1e-5, rtol=1e-5)
    block.fold()  # a second time does nothing
    with torch.inference_mode():
        torch.testing.assert_close(block(x), before, atol=1e-5, rtol=1e-5)


def test_branches_and_folded_are_the_same_function_before_norms_differ():
    folded, branches = RepConv(4, 4, rep="folded").eval(), RepConv(4, 4, rep="branches").eval()
    branches.conv.weight.data, branches.point.weight.data = folded.conv.weight.data, folded.point.weight.data
    x = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(folded(x), branches(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rep", ["branches", "folded", "none"])
def test_folding_the_network_changes_nothing(rep):
    from dataclasses import replace

    model = shaken(Detector(replace(TINY, rep=rep))).eval()
    images = torch.rand(2, 3, 64, 96) * 255
    with torch.inference_mode():
        before, after = Decoded(model)(images), Decoded(model.folded())(images)
    torch.testing.assert_close(after[0], before[0], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(after[1], before[1], atol=1e-5, rtol=1e-4)
    assert model.training is False
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())  # the original is left as it was


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_folded_network_sums_sixteen_outputs_or_more_at_a_time(config):
    convolutions = [m for m in Detector(config).folded().modules() if isinstance(m, torch.nn.Conv2d)]
    assert min(conv.out_channels for conv in convolutions[1:]) >= 16
    assert min(m.out_channels for m in Detector(config).modules() if isinstance(m, torch.nn.Conv2d)) < 16


def test_outputs_cover_the_picture_in_three_strides():
    raw = Detector(TINY).eval()(torch.zeros(1, 3, 64, 96))
    cells = sum((64 // s) * (96 // s) for s in STRIDES)
    assert raw.logits.shape == (1, cells, 10)
    assert raw.distances.shape == (1, cells, 4, 8)
    assert raw.points_px[0].tolist() == [4.0, 4.0]
    assert raw.points_px[96 // 8].tolist() == [4.0, 12.0]
    assert raw.points_px[-1].tolist() == [80.0, 48.0]
    assert raw.strides_px.unique().tolist() == [8.0, 16.0, 32.0]


def test_scores_start_at_one_percent():
    scores = Decoded(Detector(CONFIGS["n"]).eval())(torch.rand(1, 3, 96, 96) * 255)[1]
    assert scores.mean().item() == pytest.approx(0.01, rel=0.5)


def test_sizes_grow_and_the_shipped_one_is_small():
    counts = {name: parameter_count(Detector(config).folded()) for name, config in CONFIGS.items()}
    assert counts["n"] < 1.2e6 < counts["s"] < counts["m"]


def test_a_config_survives_its_own_dictionary():
    import json

    for config in CONFIGS.values():
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_attention_starts_as_one_half_and_gates_by_channel():
    gate = EffectiveSqueeze(3)
    torch.testing.assert_close(gate(torch.ones(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 0.5), atol=0.01, rtol=0)
    gate.gate.weight.data.zero_()
    gate.gate.bias.data = torch.tensor([-30.0, 0.0, 30.0])
    torch.testing.assert_close(gate(torch.ones(1, 3, 2, 2))[0, :, 0, 0], torch.tensor([0.0, 0.5, 1.0]))


def test_the_pixel_scale_moves_into_the_first_convolution():
    model = shaken(Detector(TINY)).eval()
    folded = model.folded()
    assert folded.pixel_scale == 1.0
    stem = model.backbone.stem
    assert isinstance(stem, ConvNormAct)
    images = torch.rand(1, 3, 32, 32) * 255
    with torch.inference_mode():
        torch.testing.assert_close(folded.backbone.stem(images), stem(images / 255), atol=1e-5, rtol=1e-5)


def test_the_one_to_one_head_answers_in_inference_and_shapes_no_features():
    from dataclasses import replace

    model = Detector(replace(TINY, end_to_end=True))
    dense, single = model.train().forward_both(torch.rand(1, 3, 64, 64) * 255)
    assert single is not None
    single.logits.sum().backward()
    assert model.backbone.stem.conv.weight.grad is None
    assert any(p.grad is not None for p in model.single_heads.parameters())
    with torch.no_grad():
        model.single_heads[0].class_out.bias.fill_(3.0)
        scores = model.eval()(torch.rand(1, 3, 64, 64) * 255).logits
    assert scores[0, 0].mean() > 0 > dense.logits[0, 0].mean()


def test_cell_grid_counts_rows_then_columns():
    points, strides = cell_grid([(1, 2), (1, 1), (1, 1)], torch.zeros(1))
    assert points.tolist() == [[4, 4], [12, 4], [8, 8], [16, 16]]
    assert strides.tolist() == [8, 8, 16, 32]
