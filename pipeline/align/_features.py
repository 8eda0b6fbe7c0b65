"""What the encoder of a phone head is shown: the log-mel spectrogram of a cut, as long as the cut is."""

from __future__ import annotations

import numpy as np

from pipeline.recording import Recording
from pipeline.whisper_mlx.log_mel import window_log_mel

N_MELS = 80
_AFTER_FRAMES = 30  # of silence, at least
_LONGEST_FRAMES = 3000


def padded_log_mel(waveform: np.ndarray, step: int = 100) -> np.ndarray:
    """The log-mel frames, every 10 ms, of at most 30 s (frames, N_MELS); silence up to a multiple of ``step``.

    Whisper was trained on whole windows of 30 s. A phone head that was trained on short ones reads short ones, for
    a fraction of the work.
    """
    samples = waveform.astype(np.float32, copy=False)
    recording = Recording(len(samples), "", array=samples)  # nobody asks for its hash
    window = window_log_mel(recording, 0, len(waveform), N_MELS)
    wanted = len(waveform) // 160 + _AFTER_FRAMES
    return window[: min(_LONGEST_FRAMES, -(-wanted // step) * step)]
