"""Whether a device gives the CPU's results: Metal's kernels were wrong for these networks before (2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.recording import SAMPLE_RATE, Recording

CLIP_S = 15
SAME_FRAMES = 0.99  # share of frames with the same speakers
SAME_VOICE = 0.999  # cosine of embeddings


def loudest_clip(recording: Recording) -> np.ndarray:
    """Fifteen seconds of the recording with the most energy (samples,): the networks must have work to do."""
    blocks = recording.blocks(CLIP_S * SAMPLE_RATE)
    return max(blocks, key=lambda block: float(np.square(block, dtype=np.float64).sum()))


@dataclass(frozen=True)
class Check:
    """``difference`` in words, none where there is none; not ``conclusive`` where nobody spoke in the clip."""

    difference: str | None
    conclusive: bool = True


def compare(run: Callable[[str, Any], tuple[np.ndarray, np.ndarray]], device: str) -> Check:
    """``run(device)`` against ``run("cpu")``.

    ``run(device, segmentation)`` gives who speaks (windows, frames, speakers) and the voices (windows, speakers,
    dimension) of those in ``segmentation``, by default its own: both devices are asked for the same voices.
    """
    speaking, voices = run("cpu", None)
    try:
        theirs, their_voices = run(device, speaking)
    except (RuntimeError, NotImplementedError, TypeError) as error:  # an operation that the device lacks
        return Check(f"{type(error).__name__} in the networks")
    same = float((speaking == theirs).all(axis=-1).mean())
    if same < SAME_FRAMES:
        return Check(f"{1 - same:.1%} of the frames have other speakers")
    worst = _worst_cosine(voices, their_voices, speaking.any(axis=1))
    if worst < SAME_VOICE:
        return Check(f"a voice has a similarity of {worst:.3f} to itself")
    return Check(None, conclusive=bool(speaking.any()))


def _worst_cosine(ours: np.ndarray, theirs: np.ndarray, active: np.ndarray) -> float:
    """Over the speakers who are ``active`` (windows, speakers); 1 where nobody is, 0 for anything not finite."""
    a, b = ours[active].astype(np.float64), theirs[active].astype(np.float64)
    if not np.isfinite(b).all():
        return 0.0
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(-1) / np.maximum(lengths, 1e-12)).min(initial=1.0))
