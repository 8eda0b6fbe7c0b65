"""Voices of the speakers of a batch of windows, with the network's trunk run once per window.

pyannote.audio asks for one embedding per (window, local speaker) and hands the same window in once for each of
its speakers, though the speaker's mask matters only when the trunk's frames are pooled. Here the trunk runs once
for equal neighbours in the batch, and not at all for windows in which nobody speaks: the same embeddings for a
third of the work.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class SharedTrunk:
    """What pyannote's ``SpeakerDiarization`` expects of an embedding (its ``PretrainedSpeakerEmbedding``).

    ``network`` has ``forward_frames(waveforms)`` and ``forward_embedding(frames, masks)``, as pyannote's WeSpeaker
    networks and our CAM++ do.
    """

    metric = "cosine"

    def __init__(self, network: Any, sample_rate: int, min_num_samples: int) -> None:
        self.network = network
        self.sample_rate = sample_rate
        self.min_num_samples = min_num_samples
        self.shares = True  # off: each row is a run of the whole network, as pyannote does it
        self.dimension: int = network.dimension
        self.device = "cpu"
        self._nobody: Tensor | None = None  # (1, dimension): the embedding of an empty mask

    def to(self, device: Any) -> SharedTrunk:
        """Moves the network."""
        self.network.to(device)
        self.device, self._nobody = device, None
        return self

    def __call__(self, waveforms: Tensor, masks: Tensor) -> np.ndarray:
        """Waveforms (batch, 1, samples) and masks (batch, frames) -> embeddings (batch, dimension)."""
        import torch

        with torch.inference_mode():
            if not self.shares:
                return self.network(waveforms.to(self.device), weights=masks.to(self.device)).cpu().numpy()
            groups = _same_window(waveforms)
            spoken = [group for group in groups if masks[group].any()]
            embeddings = torch.empty(len(waveforms), self.dimension)
            if len(spoken) < len(groups):
                embeddings[:] = self._embedding_of_nobody(waveforms[:1], masks[:1])
            if spoken:
                self._embed(embeddings, waveforms, masks, spoken)
        return embeddings.numpy()

    def _embed(self, embeddings: Tensor, waveforms: Tensor, masks: Tensor, groups: list[slice]) -> None:
        """Fills in the rows of ``groups``; groups with fewer speakers are filled up with empty masks."""
        from torch.nn.utils.rnn import pad_sequence

        frames = self.network.forward_frames(waveforms[[group.start for group in groups]].to(self.device))
        padded = pad_sequence([masks[group] for group in groups], batch_first=True)
        voices = self.network.forward_embedding(frames, padded.to(self.device)).cpu()
        for group, voice in zip(groups, voices, strict=True):
            embeddings[group] = voice[: group.stop - group.start]

    def _embedding_of_nobody(self, waveform: Tensor, mask: Tensor) -> Tensor:
        """Pooling with an empty mask gives zeros whatever the frames are, so this is a constant."""
        if self._nobody is None:
            frames = self.network.forward_frames(waveform.to(self.device))
            self._nobody = self.network.forward_embedding(frames, mask.to(self.device) * 0).cpu()
        return self._nobody


def _same_window(waveforms: Tensor) -> list[slice]:
    """Runs of equal rows."""
    import torch

    changes = [i + 1 for i, (one, next_) in enumerate(pairwise(waveforms)) if not torch.equal(one, next_)]
    return [slice(a, b) for a, b in pairwise([0, *changes, len(waveforms)])]
