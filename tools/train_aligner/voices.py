"""Synthesisers that say which phone sounds when: flite and espeak-ng, through their libraries.

Every voice gives float32 samples at 16 kHz and (phone, end in seconds) from the beginning. Names of phones are the
synthesiser's own: CMU's for flite, IPA for espeak-ng.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from scipy.signal import resample_poly

RATE = 16_000


@dataclass(frozen=True)
class Utterance:
    """``samples`` (samples,) at 16 kHz; ``phones`` with the second at which each ends."""

    samples: np.ndarray
    phones: tuple[tuple[str, float], ...]


class Flite:
    """A voice of flite's, by name (``slt``); walks the utterance's segments (CMU Flite, ``cst_item.h``)."""

    def __init__(self, voice: str, stretch: float) -> None:
        self._lib = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for part in ("cmulex", "usenglish"):
            ctypes.CDLL(f"libflite_{part}.so.1", mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1")
        for name in ("utt_relation", "relation_head", "item_next", "flite_synth_text", "utt_wave"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.item_feat_string.restype = ctypes.c_char_p
        self._lib.item_feat_float.restype = ctypes.c_float
        register = getattr(library, f"register_cmu_us_{voice}")
        register.restype = ctypes.c_void_p
        self._lib.flite_init()
        self._voice = ctypes.c_void_p(register(None))
        features = ctypes.cast(self._voice, ctypes.POINTER(_FliteVoice)).contents.features
        self._lib.flite_feat_set_float(
            ctypes.c_void_p(features), b"duration_stretch", ctypes.c_float(stretch)
        )

    def say(self, text: str) -> Utterance:
        """The text, read aloud."""
        lib = self._lib
        utterance = ctypes.c_void_p(lib.flite_synth_text(text.encode(), self._voice))
        sound = ctypes.cast(lib.utt_wave(utterance), ctypes.POINTER(_FliteWave)).contents
        samples = np.ctypeslib.as_array(sound.samples, (sound.count,)).astype(np.float32) / 32768
        phones = []
        item = lib.relation_head(ctypes.c_void_p(lib.utt_relation(utterance, b"Segment")))
        while item:
            item = ctypes.c_void_p(item)
            phones.append((lib.item_feat_string(item, b"name").decode(), lib.item_feat_float(item, b"end")))
            item = lib.item_next(item)
        made = Utterance(_resampled(samples, sound.rate), tuple(phones))
        lib.delete_utterance(utterance)
        return made


class _FliteVoice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("features", ctypes.c_void_p)]


class _FliteWave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class Espeak:
    """A language and a voice variant (``de+f2``) of espeak-ng; phones are those of its events, in IPA."""

    _SYNCHRONOUS, _PHONEMES_IN_IPA, _UTF8, _PHONEME = 2, 3, 1, 7
    _RATE_OF, _PITCH_OF = 1, 3

    def __init__(self, voice: str, words_per_minute: int = 170, pitch: int = 50) -> None:
        self._lib = ctypes.CDLL("libespeak-ng.so.1")
        self._rate = self._lib.espeak_Initialize(self._SYNCHRONOUS, 0, None, self._PHONEMES_IN_IPA)
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._lib.espeak_SetParameter(self._RATE_OF, words_per_minute, 0)
        self._lib.espeak_SetParameter(self._PITCH_OF, pitch, 0)
        self._lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._samples: list[np.ndarray] = []
        self._events: list[tuple[str, float]] = []
        self._callback = _ESPEAK_CALLBACK(self._heard)
        self._lib.espeak_SetSynthCallback(self._callback)

    def say(self, text: str) -> Utterance:
        """The text, read aloud."""
        self._samples, self._events = [], []
        data = text.encode()
        self._lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, self._UTF8, None, None)
        self._lib.espeak_Synchronize()
        samples = np.concatenate([np.zeros(1, np.float32), *self._samples])
        starts = [start for _, start in self._events[1:]] + [len(samples) / self._rate]
        phones = tuple((name, end) for (name, _), end in zip(self._events, starts, strict=True))
        return Utterance(_resampled(samples, self._rate), phones)

    def phones(self, text: str) -> list[str]:
        """The text's phones in IPA, stress marks among them."""
        pointer = ctypes.c_char_p(text.encode())
        said = []
        while pointer.value is not None:
            found = self._lib.espeak_TextToPhonemes(ctypes.byref(pointer), self._UTF8, ord("_") << 8 | 2)
            said += (found or b"").decode("utf-8", "ignore").replace(" ", "_").split("_")
        return [phone for phone in said if phone]

    def _heard(self, samples, count: int, events) -> int:
        if count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
        for event in events:
            if event.type == 0:
                return 0
            if event.type == self._PHONEME:
                name = bytes(event.id).split(b"\0")[0].decode("utf-8", "ignore")
                self._events.append((name, event.audio_position / 1000))
        return 0


class _EspeakEvent(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_ubyte * 8),
    ]


_ESPEAK_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_EspeakEvent)
)


def _resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    if rate == RATE:
        return samples
    divisor = np.gcd(rate, RATE)
    return resample_poly(samples, RATE // divisor, rate // divisor).astype(np.float32)
