"""How late a Whisper model attends to words, measured on a recording with exact word times.

Every model has its own constant lag (base 0, tiny.en 0.11 s), the same in synthetic and in real speech to some
20 ms. ``data/calibration.flac`` is the beginning of the recording ``syn_en_flite_words``: 15 s, three voices of
the flite synthesiser (BSD), whose word times are those that it was synthesised with.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np

from pipeline.align import Aligner, Cut
from pipeline.recording import SAMPLE_RATE
from schemas.errors import FailedToAlign
from schemas.whisperx import read_transcript

_DATA = Path(__file__).parent / "data"
_MARGIN_S = 0.1
_MOST_S = 0.25  # a median further out says that the model does not follow the speech at all


def lag_s(aligner: Aligner) -> float:
    """The median of how much too late ``aligner`` places the beginnings of words, in seconds.

    0 for a model that cannot be measured.
    """
    waveform = _waveform(_DATA / "calibration.flac")
    cuts, expected = [], []
    for segment in read_transcript(_DATA / "calibration.json").segments:
        low = segment.start - _MARGIN_S
        samples = slice(round(low * SAMPLE_RATE), round((segment.end + _MARGIN_S) * SAMPLE_RATE))
        cuts.append(Cut(waveform[samples], tuple(word.word for word in segment.words), "en"))
        expected.append([word.start - low for word in segment.words])
    late = [
        time.start - start
        for found, starts in zip(aligner.align(cuts), expected, strict=True)
        if not isinstance(found, FailedToAlign)
        # The first word of a cut begins at its edge, whatever the lag.
        for time, start in list(zip(found, starts, strict=True))[1:]
        if time is not None
    ]
    found = median(late) if late else 0.0
    return round(found, 3) if abs(found) <= _MOST_S else 0.0


def _waveform(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(blocks).astype(np.float32) / 32768.0
