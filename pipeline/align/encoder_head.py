"""Words by their phones: a small head on the encoder of Whisper base, and a hidden Markov model over the text.

The encoder hears the cut; the head says which phone each 10 ms are; the text's pronunciations, with pauses between
words where there are any, are laid over that (the hybrid of Bourlard and Morgan, "Connectionist Speech
Recognition", 1994). The heads were trained on synthesised speech with exact times (``tools/train_aligner``) and
ship with the package; the encoder is that of Whisper base's starter weights, whatever model wrote the text.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline import mlx_runtime
from pipeline.align import Cut, WordTime, _encoders
from pipeline.align._characters import Span, Spelling, characters
from pipeline.align._encoders import STEP_FRAMES, Encode
from pipeline.align._features import padded_log_mel
from pipeline.align._phone_head import FRAME_S, PAUSE, PhoneHead
from pipeline.align._pronunciation import Pronunciation, Said
from pipeline.align._words import spoken_units
from pipeline.alignment_core import WILDCARD, Alignment, PlacedUnits, align, hmm_graph
from pipeline.machine import usable_cores
from pipeline.recording import SAMPLE_RATE
from schemas.errors import BackendUnavailable, FailedToAlign
from schemas.options import Options
from schemas.transcript import Phone

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("mlx", "mlx_whisper", "ctranslate2", "threadpoolctl")
DEVICES = ("cpu", "cuda", "metal")
VERSION = 4
MODEL_KIND = "whisper"
MODEL_FORMATS = ("ctranslate2", "mlx")  # for a CPU, and for a GPU

ENCODER = "base"
_OTHERS = ("de", "es", "fr", "hi", "it", "ja", "nl", "pl", "pt", "ru", "tr", "zh")
HEADS = {"en": "english"} | dict.fromkeys(_OTHERS, "others")
LANGUAGES = frozenset(HEADS)

_SHORTEST_FRAMES = 3  # of a phone; where the text is too much for that, one
_EDGE_COST = 6.0
# Noise is 0 where the loud frames of a cut stand out from the quiet ones by the first, 1 where only by the second.
_NOISE_DB = (18.0, 8.0)
_PAUSE_COST = 2.0  # times the noise: the head takes soft sounds that drown beside a pause for a part of it
_NOISY, _SHORTEST_IN_NOISE = 0.75, 4
_WILDCARD_COST = 0.5
_KNOWN = 0.5  # share of the words that must not be wildcards


def weights(choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """Whisper base, which the heads belong to, as the device wants it."""
    from pipeline import models

    files = models.find(
        MODEL_KIND,
        ENCODER,
        formats=MODEL_FORMATS[:1] if choice.device == "cpu" else MODEL_FORMATS[1:],
        required=True,
        model_dir=options.model_dir,
        allow_download=options.allow_download,
    )
    return (files,)


def encoder(_choice: Choice, _options: Options) -> str:
    """The Whisper whose encoder is read."""
    return ENCODER


def load(choice: Choice, options: Options) -> EncoderHead:
    """The encoder on the device. Raises what :func:`weights` raises."""
    (files,) = weights(choice, options)
    return EncoderHead(_encoders.load(files, choice.device, options.asr.threads), files, choice.device)


class EncoderHead:
    """An :class:`pipeline.align.Aligner`. Bound to its thread, as all of MLX is."""

    margin_s = 0.2

    def __init__(self, encode: Encode, files: ModelFiles, device: str) -> None:
        self._encode, self.device = encode, device
        self.model, self.revision = files.name, files.revision
        self.cache_key = f"encoder_head:{VERSION}:{files.name}@{files.revision}"
        self.encoder = files.name
        self._heads: dict[str, PhoneHead] = {}
        self._languages: dict[str, _Language] = {}
        self._thread = mlx_runtime.OwnThread()

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | FailedToAlign]:
        """Scores are the head's mean probabilities of the words' phones."""
        self._thread.check()
        for cut in cuts:
            _check(cut.language)
            self._language(cut.language)
        heard = [index for index, cut in enumerate(cuts) if cut.heard is not None]
        unheard = [index for index, cut in enumerate(cuts) if cut.heard is None]
        step = STEP_FRAMES[self.device]
        placed = {}
        with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as pool:
            # Spectrograms and heads leave Python alone: they run while the texts are read here.
            log_mels = pool.map(lambda index: padded_log_mel(cuts[index].waveform, step), unheard)
            heads = [pool.submit(self._log_probs, cuts[index], _heard(cuts[index])) for index in heard]
            for index, head in zip(heard, heads, strict=True):
                placed[index] = pool.submit(self._placed, cuts[index], self._ways(cuts[index]), head)
            ways = [self._ways(cuts[index]) for index in unheard]
            for i, features in self._encode(list(log_mels)) if unheard else ():
                cut = cuts[unheard[i]]
                head = pool.submit(self._log_probs, cut, features)
                placed[unheard[i]] = pool.submit(self._placed, cut, ways[i], head)
            return [placed[index].result() for index in range(len(cuts))]

    def _ways(self, cut: Cut) -> list[list[Said]]:
        """To say each of the words."""
        return self._language(cut.language).pronunciation.alternatives(cut.words)

    def _log_probs(self, cut: Cut, features: np.ndarray) -> np.ndarray:
        return self._language(cut.language).head(features)[: _frames(cut)]

    def _placed(
        self, cut: Cut, said: list[list[Said]], head: Future[np.ndarray]
    ) -> list[WordTime | None] | FailedToAlign:
        if _mostly_unknown(cut.words, said):
            return FailedToAlign("the aligner cannot pronounce them")
        language, log_probs = self._language(cut.language), head.result()
        try:
            found = _aligned(language.head.scaled(log_probs), said, _noise(cut.loudness.contrast_db))
        except FailedToAlign as error:
            return error
        return language.times(cut, said, found.units, log_probs)

    def _language(self, code: str) -> _Language:
        if code not in self._languages:
            name = HEADS[code]
            if name not in self._heads:
                self._heads[name] = PhoneHead.read(f"{name}.{ENCODER}")
            pronunciation = Pronunciation(code, self._heads[name].phones)
            self._languages[code] = _Language(self._heads[name], pronunciation)
        return self._languages[code]


@dataclass(frozen=True)
class _Language:
    head: PhoneHead
    pronunciation: Pronunciation

    @cached_property
    def spelling(self) -> Spelling:
        return Spelling.of(self.pronunciation.rules)

    def times(
        self, cut: Cut, said: Sequence[Sequence[Said]], units: PlacedUnits, log_probs: np.ndarray
    ) -> list[WordTime | None]:
        """The words, with their characters and phones where the cut wants them. A frame is the 10 ms around it."""
        from pipeline.align._phone_head_loops import times

        found: list[WordTime | None] = [None] * len(said)
        if not len(units.word):  # nothing but punctuation
            return found
        own = units.word, units.label, units.first, units.stop
        starts, ends, scores, firsts, means = times(log_probs, *own, FRAME_S)
        stops = np.append(firsts[1:], len(starts))
        columns = (units.word[firsts], starts[firsts], ends[stops - 1], means)
        for word, start, end, mean in zip(*(column.tolist() for column in columns), strict=True):
            found[word] = WordTime(start, end, mean if mean == mean else None, "head")
        if cut.characters or cut.phones:
            for first, stop in zip(firsts, stops, strict=True):
                word, way = int(units.word[first]), int(units.alternative[first])
                columns = (column[first:stop].tolist() for column in (starts, ends, scores))
                spans = [
                    (a, b, None if score != score else score) for a, b, score in zip(*columns, strict=True)
                ]
                found[word] = self._inside(found[word], cut, cut.words[word], said[word][way], spans)
        return found

    def _inside(self, time: WordTime, cut: Cut, text: str, said: Said, spans: Sequence[Span]) -> WordTime:
        """The time of a word with those of its parts."""
        names = tuple(self.head.phones)
        chars = characters(text, said, spans, names, self.spelling) if cut.characters else ()
        phones = _phones(said, spans, names) if cut.phones else ()
        return time._replace(chars=chars, phones=phones)


def _frames(cut: Cut) -> int:
    """How many frames of the head a cut is long."""
    return max(1, round(len(cut.waveform) / FRAME_S / SAMPLE_RATE))


def _heard(cut: Cut) -> np.ndarray:
    """The encoder's output for a cut that it has heard (frames, state)."""
    assert cut.heard is not None
    return cut.heard.features[cut.heard.first :][: _frames(cut) // 2 + 1]


def _check(language: str) -> None:
    if language not in LANGUAGES:
        raise BackendUnavailable(
            f"encoder_head has no phones for the language {language!r}",
            hint=f"it knows {', '.join(sorted(LANGUAGES))}; use align_backend=wav2vec2_mlx or cross_attention",
        )


@cache
def _blas() -> ThreadpoolController:
    """The libraries of matrix products. Those of a head are too small for several threads each."""
    from threadpoolctl import ThreadpoolController

    importlib.import_module("pipeline.align._phone_head_loops")  # loads what it uses
    return ThreadpoolController()


def _mostly_unknown(words: Sequence[str], said: Sequence[Sequence[Said]]) -> bool:
    if not any(WILDCARD in ways[0].units for ways in said if ways):
        return False  # nearly always
    spelled = [ways for word, ways in zip(words, said, strict=True) if ways and spoken_units(word)]
    known = sum(any(unit != WILDCARD for way in ways for unit in way.units) for ways in spelled)
    return known < _KNOWN * len(spelled)


def _noise(contrast_db: float) -> float:
    """From 0, where speech stands out of the noise, to 1, where it hardly does."""
    none, much = _NOISE_DB
    return min(1.0, max(0.0, (none - contrast_db) / (none - much)))


def _aligned(emission: np.ndarray, said: Sequence[Sequence[Said]], noise: float) -> Alignment:
    """``emission`` is changed: pauses lose by ``noise``."""
    costs = {"edge_cost": _EDGE_COST, "wildcard_cost": _WILDCARD_COST}
    ways = [[way.units for way in of_word] for of_word in said]
    shortest = _SHORTEST_FRAMES if noise < _NOISY else _SHORTEST_IN_NOISE
    emission[:, PAUSE] -= _PAUSE_COST * noise
    try:
        return align(emission, hmm_graph(ways, pause=PAUSE, shortest=shortest), **costs)
    except FailedToAlign:
        return align(emission, hmm_graph(ways, pause=PAUSE), **costs)


def _phones(said: Said, spans: Sequence[Span], names: Sequence[str]) -> tuple[Phone, ...]:
    """What was heard of the word, by the head's names; nothing for what nobody can pronounce."""
    return tuple(
        Phone(phone=names[unit], start=start, end=end, score=None if score is None else round(score, 3))
        for unit, (start, end, score) in zip(said.units, spans, strict=True)
        if unit != WILDCARD
    )
