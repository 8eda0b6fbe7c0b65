"""Speaker embeddings: the trunk shared among the speakers of a window, and CAM++ itself."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")


class Trunk:
    """A network small enough to follow: frames are scaled samples, a voice is their weighted sum and a bias."""

    dimension = 2

    def __init__(self) -> None:
        self.windows = 0

    def to(self, _device):
        return self

    def forward_frames(self, waveforms):
        self.windows += len(waveforms)
        return waveforms[:, 0] * 2

    def forward_embedding(self, frames, weights):
        total = (frames.unsqueeze(-2) * weights.reshape(len(frames), -1, frames.shape[-1])).sum(-1)
        voice = torch.stack([total + 1, total * total - 1], dim=-1)
        return voice.squeeze(1) if weights.dim() == 2 else voice


def batch(*rows: tuple[int, list[float]]):
    """Waveforms (batch, 1, 4) of window numbers, and their masks (batch, 4)."""
    waveforms = torch.stack([torch.arange(4.0)[None] + 10 * window for window, _ in rows])
    return waveforms, torch.tensor([mask for _, mask in rows])


def shared(network, *rows):
    from pipeline.diarize._embedding import SharedTrunk

    return SharedTrunk(network, 16_000, 400)(*batch(*rows))


ONE, TWO, ALL, NONE = [1.0, 0, 0, 0], [0, 1.0, 1.0, 0], [1.0] * 4, [0.0] * 4


@pytest.mark.parametrize(
    ("rows", "windows"),
    [
        ([(1, ONE), (1, TWO), (1, ALL)], 1),
        ([(1, ONE), (1, TWO), (1, NONE), (2, ALL), (2, NONE), (2, NONE)], 2),
        ([(1, ALL), (2, ONE), (2, TWO), (3, ONE)], 3),  # a batch may begin and end inside a window
        ([(1, ONE), (2, ONE), (1, TWO)], 3),  # neighbours only: pyannote never mixes windows
    ],
)
def test_the_trunk_runs_once_per_window_and_the_voices_are_the_same(rows, windows):
    network = Trunk()
    alone = network.forward_embedding(network.forward_frames(batch(*rows)[0]), batch(*rows)[1])
    network.windows = 0
    np.testing.assert_array_equal(shared(network, *rows), alone.numpy())
    assert network.windows == windows


def test_windows_in_which_nobody_speaks_cost_one_run_and_get_the_empty_masks_voice():
    from pipeline.diarize._embedding import SharedTrunk

    network = Trunk()
    embedding = SharedTrunk(network, 16_000, 400)
    first = embedding(*batch((1, NONE), (2, NONE), (3, ONE)))
    second = embedding(*batch((4, NONE), (5, NONE)))
    assert network.windows == 2
    np.testing.assert_array_equal(first[:2], [[1, -1]] * 2)
    np.testing.assert_array_equal(second, [[1, -1]] * 2)
    assert first[2].tolist() != [1, -1]


def test_pyannotes_own_network_gives_the_same_voices_with_and_without_sharing():
    """WeSpeaker's ResNet34 with random weights: its pooling takes a mask per speaker, too."""
    from pipeline.diarize._quiet import quiet

    with quiet():
        from pyannote.audio.models.embedding import WeSpeakerResNet34

        torch.manual_seed(0)
        network = WeSpeakerResNet34().eval()
    from pipeline.diarize._embedding import SharedTrunk

    waveforms = torch.randn(2, 1, 32_000).repeat_interleave(3, dim=0)
    masks = (torch.rand(6, 117) > 0.5).float()
    masks[4] = 0
    with torch.inference_mode():
        alone = network(waveforms, weights=masks)
    np.testing.assert_allclose(SharedTrunk(network, 16_000, 400)(waveforms, masks), alone, atol=1e-5)


@pytest.fixture(scope="module")
def campplus(diarizer):
    return diarizer.pipeline._embedding.network


def voice(campplus, waveform: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found = campplus(torch.from_numpy(waveform.copy())[None, None])[0].numpy()
    return found / np.linalg.norm(found)


def test_the_same_persons_sentences_are_nearer_than_two_peoples(campplus, waveform, script):
    """Ten sentences of three synthetic voices; every pair of one person beats every pair of two."""
    lines = [line for line in script if 2.5 < line["end"] - line["start"] < 7][:10]
    voices = [
        voice(campplus, waveform[round(line["start"] * 16_000) : round(line["end"] * 16_000)])
        for line in lines
    ]
    pairs = [(i, j) for i in range(len(lines)) for j in range(i)]
    same = [float(voices[i] @ voices[j]) for i, j in pairs if lines[i]["speaker"] == lines[j]["speaker"]]
    other = [float(voices[i] @ voices[j]) for i, j in pairs if lines[i]["speaker"] != lines[j]["speaker"]]
    assert min(same) > max(other)


def test_the_mask_decides_whose_voice_it_is(campplus, waveform, script):
    """Two people in one window: pooling over one's frames gives that one's voice."""
    one = next(line for line in script if line["end"] - line["start"] > 4)
    two = next(
        line for line in script if line["end"] - line["start"] > 4 and line["speaker"] != one["speaker"]
    )
    cut = {line["speaker"]: waveform[round(line["start"] * 16_000) :][: 4 * 16_000] for line in (one, two)}
    window = torch.from_numpy(np.concatenate(list(cut.values())))[None, None]
    masks = torch.zeros(1, 2, 589)
    masks[0, 0, :290] = masks[0, 1, 300:] = 1
    with torch.inference_mode():
        both = campplus(window, masks)[0].numpy()
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    likeness = both @ np.stack([voice(campplus, part) for part in cut.values()]).T
    assert likeness[0, 0] > 0.8 > 0.6 > likeness[0, 1]
    assert likeness[1, 1] > 0.8 > 0.6 > likeness[1, 0]


def test_a_full_mask_is_no_mask_and_a_short_window_works(campplus, waveform):
    window = torch.from_numpy(waveform[16_000:32_000].copy())[None, None]
    with torch.inference_mode():
        torch.testing.assert_close(campplus(window, torch.ones(1, 59)), campplus(window))
        assert campplus(window[..., : campplus.min_num_samples]).isfinite().all()
    assert campplus(window).shape == (1, 192)


def test_the_last_layer_has_no_relu(campplus, waveform):
    """Half of a voice's numbers are negative; a ReLU behind the last batch norm would cut them off."""
    found = voice(campplus, waveform[16_000:80_000])
    assert 0.3 < (found < 0).mean() < 0.7
