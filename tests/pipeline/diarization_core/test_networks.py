"""The networks in MLX and in torch: one another, pyannote's own, and community-1's golden windows."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diarization_core import frames
from pipeline.diarization_core.core import find_activity
from pipeline.recording import Recording


@pytest.fixture(scope="module")
def weights(starter_weights):
    """``weights(kind)`` of the starter networks."""
    from pipeline.diarize._converted import network_weights

    formats = {"segmentation": ("segmentation-3.0", "pyannote"), "embedding": ("campplus", "torch")}
    return lambda kind: network_weights(starter_weights(kind, *formats[kind]))


@pytest.fixture(scope="module")
def speech(shipped) -> np.ndarray:
    """12 s of the shipped meeting (samples,)."""
    from pipeline.audio import load_waveform

    return load_waveform(shipped / "syn_en_meeting_a.opus")[39 * 16_000 : 51 * 16_000]


def networks(framework: str, segmentation, embedding):
    from pipeline import mlx_runtime
    from pipeline.diarize import mlx, torch

    mlx_runtime.use_device("cpu")
    return (mlx if framework == "mlx" else torch).networks(segmentation, embedding, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "audio", "golden"),
    [
        ("torch", "test", "pipeline"),
        ("torch", "test_3speakers", "3speakers"),
        ("torch", "test_single_speaker", "single_speaker"),
        ("mlx", "test_single_speaker", "single_speaker"),
        ("mlx", "test_short", "short"),
    ],
)
def test_segmentation_of_the_golden_windows(weights, shared_audio, framework, audio, golden):
    """Those of community-1's own network, whose answers are those of segmentation-3.0."""
    from pipeline.audio import load_waveform

    folder = shared_audio / "golden_community1"
    expected = np.load(folder / f"{golden}_segmentation_data.npy")
    both = networks(framework, weights("segmentation"), weights("embedding"))
    recording = Recording.from_array(load_waveform(folder / f"{audio}.wav"))
    found = find_activity(recording, both, frames.SAMPLE_RATE, lambda _: None)
    assert found.shape == expected.shape
    assert (found == expected).all(axis=-1).mean() >= 0.999


def test_segmentation_is_the_same_in_mlx_and_torch(weights, speech):
    ours, theirs = (
        networks(f, weights("segmentation"), weights("embedding")).segmentation(speech, 16_000)
        for f in ("mlx", "torch")
    )
    assert ours.shape == (3, 589, 7)
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() >= 0.999
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def masks(rows: int, length: int) -> np.ndarray:
    drawn = np.random.default_rng(0).random((1, rows, length)) > 0.6
    return drawn.astype(np.float32)


def trunk_of(network, samples: np.ndarray):
    mels = network.log_mels(samples)
    return network.trunk(mels, [0], len(mels))


def test_campplus_is_the_same_in_mlx_and_torch(weights, speech):
    ours, theirs = (
        networks(f, weights("segmentation"), weights("embedding")).embedding for f in ("mlx", "torch")
    )
    frames_of_ours, frames_of_theirs = (trunk_of(n, speech[:80_000]) for n in (ours, theirs))
    assert frames_of_ours.shape == tuple(frames_of_theirs.shape)
    drawn = masks(3, frames_of_ours.shape[1])
    a, b = ours.pool(frames_of_ours, drawn)[0], theirs.pool(frames_of_theirs, drawn)[0]
    assert a.shape == (3, 192)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.99999


@pytest.fixture(scope="module")
def wespeaker():
    """pyannote's WeSpeaker ResNet34 with random weights, and batch norms as after training."""
    torch = pytest.importorskip("torch")
    from pyannote.audio.models.embedding import WeSpeakerResNet34

    torch.manual_seed(0)
    network = WeSpeakerResNet34().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return network


@pytest.mark.parametrize("framework", ["mlx", "torch"])
def test_resnet34_is_pyannotes(wespeaker, weights, speech, framework):
    torch = pytest.importorskip("torch")
    from pipeline.diarize._converted import NetworkWeights

    state = {name.removeprefix("resnet."): a.numpy() for name, a in wespeaker.state_dict().items()}
    own = NetworkWeights("WeSpeakerResNet34", state)
    network = networks(framework, weights("segmentation"), own).embedding
    spoken = speech[:48_000]
    trunk = trunk_of(network, spoken)
    drawn = masks(2, trunk.shape[1])
    with torch.inference_mode():
        expected = wespeaker(torch.from_numpy(spoken)[None, None], weights=torch.from_numpy(drawn)).numpy()
    ours = network.pool(trunk, drawn)
    assert trunk.shape[2] == 2560
    difference = np.linalg.norm(ours - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert difference.max() < 5e-5  # with the two filter banks' differences in it
    with torch.inference_mode():
        own_mels = wespeaker.compute_fbank(torch.from_numpy(spoken)[None, None])[0]
    if framework == "mlx":
        import mlx.core as mx

        own_mels = mx.array(own_mels.numpy())
    same_input = network.pool(network.trunk(own_mels, [0], len(own_mels)), drawn)
    difference = np.linalg.norm(same_input - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert difference.max() < 1e-5


@pytest.mark.parametrize("framework", ["mlx", "torch"])
def test_pooling_many_masks_by_products_is_pooling_one_by_one(weights, speech, framework):
    network = networks(framework, weights("segmentation"), weights("embedding")).embedding
    trunk = trunk_of(network, speech[:80_000])
    drawn = masks(5, trunk.shape[1])
    drawn[0, 4] = 0
    drawn[0, 4, 7] = 1  # one frame has no deviation
    one_by_one = network.pool(trunk, drawn)[0]
    together = network.pool_shared(trunk[0], drawn[0])
    np.testing.assert_allclose(together, one_by_one, atol=2e-3 * np.abs(one_by_one).max())
