"""Words where Whisper listens when it reads them: its cross-attention and dynamic time warping, no other weights.

As in OpenAI's ``timing.py``, with these differences. The first and the last character of a word are read by
themselves instead of within word pieces, which tells much more exactly where words begin and end. Short cuts share
a window of the encoder, and are read one after the other. A model's constant lead or lag is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.align import Cut, WordTime, _attention
from pipeline.align._attention import LONGEST_TEXT, WINDOW_SAMPLES, Attention
from pipeline.align._calibration import lag_s
from pipeline.align._words import is_unspaced, written_together
from pipeline.encoder_output import FRAME_S
from pipeline.recording import SAMPLE_RATE
from schemas.errors import FailedToAlign
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("ctranslate2", "faster_whisper", "mlx_whisper")
DEVICES = ("cpu", "cuda", "metal")
VERSION = 2
MODEL_KIND = "whisper"
MODEL_FORMATS = ("ctranslate2", "mlx")

_GAP_SAMPLES = SAMPLE_RATE  # of silence between two cuts in a window
_PEAK = 0.5  # of every cut, so that a loud one does not drown its neighbours in the spectrogram
_ASTRAY = 0.3  # share of a cut's words outside its audio, for its neighbours to be blamed


def weights(choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """The Whisper that the choice names, in the format of the device."""
    from pipeline import models

    files = models.find(
        MODEL_KIND,
        choice.model,
        formats=("mlx",) if choice.device == "metal" else MODEL_FORMATS,
        required=choice.model_required,
        model_dir=options.model_dir,
        allow_download=options.allow_download,
    )
    return (files,)


def encoder(choice: Choice, options: Options) -> str:
    """The Whisper whose encoder is read. Raises what :func:`weights` raises."""
    return weights(choice, options)[0].name


def load(choice: Choice, options: Options) -> CrossAttention:
    """The model on the device; MLX weights go to MLX's default device. Raises what :func:`weights` raises."""
    (files,) = weights(choice, options)
    attention = _attention.load(files, choice.device, choice.compute_type, options.asr.threads)
    return CrossAttention(attention, files, lag_s(CrossAttention(attention, files)))


class CrossAttention:
    """An :class:`pipeline.align.Aligner` over a Whisper model."""

    margin_s = 0.1

    def __init__(self, attention: Attention, files: ModelFiles, lag: float = 0.0) -> None:
        self._attention, self._lag_s = attention, lag
        self.model, self.revision, self.device = files.name, files.revision, attention.device
        self.cache_key = f"cross_attention:{VERSION}:{files.name}@{files.revision}"
        self.encoder = files.name

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | FailedToAlign]:
        """Window by window. Scores are the probabilities that Whisper gives the words."""
        for cut in cuts:
            self._attention.check_language(cut.language)
        spelled = [self._spelled(cut.words) for cut in cuts]
        results: dict[int, list[WordTime | None] | FailedToAlign] = {}
        lengths = [sum(map(len, tokens)) for tokens in spelled]
        unheard = [index for index, cut in enumerate(cuts) if cut.heard is None]
        for page in _pages(cuts, unheard, lengths):
            waveform = _window([(first, cuts[index].waveform) for index, first in page.items()])
            results |= self._read(cuts, spelled, page, self._attention.encode(waveform))
        for index, cut in enumerate(cuts):
            if cut.heard is not None:
                features = cut.heard.features[cut.heard.first :][: _last_frame(cuts, {index: 0}) + 1]
                results |= self._read(cuts, spelled, {index: 0}, self._attention.encoded(features))
        return [results[index] for index in range(len(cuts))]

    def _read(
        self, cuts: Sequence[Cut], spelled: Sequence[list[list[int]]], page: dict[int, int], encoded: Any
    ) -> dict[int, list[WordTime | None] | FailedToAlign]:
        """The cuts of a page, given as number and first sample in the encoded window, read in one go."""
        words = [word for index in page for word in cuts[index].words]
        pieces = self._pieces(words)
        tokens = [token for index in page for token in spelled[index]]
        if sum(map(len, tokens)) > LONGEST_TEXT:
            tokens = pieces
        if sum(map(len, tokens)) > LONGEST_TEXT:
            return dict.fromkeys(page, FailedToAlign("they hold more text than Whisper reads at once"))
        frames = _last_frame(cuts, page)
        language = cuts[next(iter(page))].language
        begins, probabilities = self._attention.token_times(encoded, frames, _joined(pieces), language)
        scores = [float(np.mean(p)) for p in np.split(probabilities, _offsets(pieces)[1:-1])]
        if tokens is not pieces:
            begins, _ = self._attention.token_times(encoded, frames, _joined(tokens), language)
        bounds = begins[_offsets(tokens)] * FRAME_S - self._lag_s
        return self._dealt(cuts, spelled, page, bounds, scores)

    def _dealt(
        self,
        cuts: Sequence[Cut],
        spelled: Sequence[list[list[int]]],
        page: dict[int, int],
        bounds: np.ndarray,
        scores: Sequence[float],
    ) -> dict[int, list[WordTime | None] | FailedToAlign]:
        """The page's words to their cuts. A cut whose words strayed into its neighbours' audio is read alone."""
        results: dict[int, list[WordTime | None] | FailedToAlign] = {}
        at = 0
        for index, first in page.items():
            length_s = len(cuts[index].waveform) / SAMPLE_RATE
            count = len(cuts[index].words)
            own = bounds[at : at + count + 1] - first / SAMPLE_RATE
            middle = (own[:-1] + own[1:]) / 2
            if len(page) > 1 and np.mean((middle < 0) | (middle > length_s)) > _ASTRAY:
                alone = self._attention.encode(_window([(0, cuts[index].waveform)]))
                results |= self._read(cuts, spelled, {index: 0}, alone)
            else:
                own = np.clip(own, 0.0, length_s).tolist()
                results[index] = [
                    WordTime(own[i], own[i + 1], scores[at + i], "attention") for i in range(count)
                ]
            at += count
        return results

    def _spelled(self, words: Sequence[str]) -> list[list[int]]:
        """Each word's tokens: its first character, what is between, its last."""
        return [
            _joined(
                self._attention.tokens(part) for part in (lead + word[:1], word[1:-1], word[1:][-1:]) if part
            )
            for lead, word in zip(_leads(words), words, strict=True)
        ]

    def _pieces(self, words: Sequence[str]) -> list[list[int]]:
        """Each word's tokens as Whisper writes it."""
        return [self._attention.tokens(lead + word) for lead, word in zip(_leads(words), words, strict=True)]


def _pages(cuts: Sequence[Cut], indices: Sequence[int], lengths: Sequence[int]) -> list[dict[int, int]]:
    """Those cuts, of one language, that share a window, first fit, with the sample at which each begins.

    ``lengths`` are those of all cuts' texts, in tokens.
    """
    pages: list[dict[int, int]] = []
    ends: list[int] = []
    texts: list[int] = []
    for index in indices:
        cut = cuts[index]
        size = min(len(cut.waveform), WINDOW_SAMPLES)
        fits = (
            number
            for number, page in enumerate(pages)
            if ends[number] + _GAP_SAMPLES + size <= WINDOW_SAMPLES
            and texts[number] + lengths[index] <= LONGEST_TEXT
            and cuts[next(iter(page))].language == cut.language
        )
        number = next(fits, len(pages))
        if number == len(pages):
            pages.append({})
            ends.append(-_GAP_SAMPLES)
            texts.append(0)
        pages[number][index] = ends[number] + _GAP_SAMPLES
        ends[number] += _GAP_SAMPLES + size
        texts[number] += lengths[index]
    return pages


def _window(placed: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    for first, waveform in placed:
        peak = float(np.abs(waveform).max(initial=0.0))
        part = waveform[: WINDOW_SAMPLES - first]
        window[first : first + len(part)] = part * (_PEAK / peak if peak > 1e-4 else 1.0)
    return window


def _last_frame(cuts: Sequence[Cut], page: dict[int, int]) -> int:
    """How many of the window's frames hold audio."""
    index, first = list(page.items())[-1]
    samples = min(first + len(cuts[index].waveform), WINDOW_SAMPLES)
    return max(1, int(samples / SAMPLE_RATE / FRAME_S))


def _leads(words: Sequence[str]) -> list[str]:
    """What stands before each word: a space, but not where the script has none."""
    first = "" if is_unspaced(words[0][0]) else " "
    return [first, *("" if written_together(*pair) else " " for pair in pairwise(words))]


def _offsets(tokens: Sequence[Sequence[int]]) -> list[int]:
    """At which token each word begins, and the last one ends."""
    return list(accumulate((len(word) for word in tokens), initial=0))


def _joined(tokens: Iterable[list[int]]) -> list[int]:
    return [token for word in tokens for token in word]
