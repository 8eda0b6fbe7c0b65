"""espeak-ng (GPL 3, called as a library, nothing of it is copied): a hundred languages, with events that say when
each word and each phone begins.

A word ends where its last phone does: at the next phone's or pause's event.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_int, c_short, c_uint, c_void_p
from dataclasses import dataclass
from functools import cache

import numpy as np

from tools.synthesis import Spoken, Unit, at_16_khz

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA = 1, 2
_UTF8, _END_PAUSE = 1, 0x1000
_RATE, _PITCH = 1, 3
_END, _WORD, _PHONEME = 0, 1, 7
_PAUSES = ("", "_", "_:", "_^", "_|", "_!")


class _Id(ctypes.Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("unique", c_uint),
        ("position", c_int),  # in characters, from 1
        ("length", c_int),
        ("ms", c_int),
        ("sample", c_int),
        ("user", c_void_p),
        ("id", _Id),
    )


_CALLBACK = CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


@dataclass(frozen=True)
class _Happening:
    kind: int
    at: float  # seconds
    position: int
    length: int
    name: str


def speak(text: str, voice: str = "en-us", words_a_minute: int = 165, pitch: int = 50) -> Spoken:
    """``text`` said by a voice (``es``, ``en-us+f3``); words are the ones between spaces that are heard.

    Raises OSError where the library is missing, ValueError for an unknown voice.
    """
    lib, rate = _library()
    if lib.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    lib.espeak_SetParameter(_RATE, words_a_minute, 0)
    lib.espeak_SetParameter(_PITCH, pitch, 0)
    blocks, happenings = _HEARD
    blocks.clear()
    happenings.clear()
    data = text.encode() + b"\0"
    lib.espeak_Synth(data, len(data), 0, 1, 0, _UTF8 | _END_PAUSE, None, None)
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
    phones = _phones(happenings, len(samples) / rate)
    return Spoken(at_16_khz(samples, rate), _words(text, happenings, phones), phones)


def _phones(happenings: Sequence[_Happening], end: float) -> tuple[Unit, ...]:
    """Phones by their IPA names; a pause is one with the name ``_``."""
    own = [h for h in happenings if h.kind == _PHONEME]
    ends = [h.at for h in own[1:]] + [end]
    return tuple(
        Unit("_" if h.name in _PAUSES else h.name, round(h.at, 4), round(until, 4))
        for h, until in zip(own, ends, strict=True)
        if until > h.at
    )


def _words(text: str, happenings: Sequence[_Happening], phones: Sequence[Unit]) -> tuple[Unit, ...]:
    """Words of the text as spaces divide it; events within one (numerals, compounds) are one word."""
    begins: list[tuple[str, float]] = []
    last = None
    for happening in happenings:
        if happening.kind != _WORD:
            continue
        token = _token(text, happening.position - 1)
        if token != last and any(character.isalnum() for character in text[slice(*token)]):
            begins.append((text[slice(*token)], happening.at))
        last = token
    words = []
    ends = [at for _, at in begins[1:]] + [float("inf")]
    for (word, start), until in zip(begins, ends, strict=True):
        sounds = [p for p in phones if p.text != "_" and start - 1e-3 <= p.start < until - 1e-3]
        if sounds:
            words.append(Unit(word, sounds[0].start, sounds[-1].end))
    return tuple(words)


def _token(text: str, at: int) -> tuple[int, int]:
    """Start and end of what stands between spaces around the character number ``at``."""
    at = min(max(at, 0), len(text) - 1)
    while at < len(text) - 1 and text[at].isspace():
        at += 1
    start, end = at, at
    while start and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    return start, end


_HEARD: tuple[list[np.ndarray], list[_Happening]] = ([], [])


@_CALLBACK
def _hear(samples, count, events) -> int:
    if samples and count > 0:
        _HEARD[0].append(np.ctypeslib.as_array(samples, (count,)).copy())
    rate = _library()[1]
    index = 0
    while events[index].type != _END:
        event = events[index]
        name = event.id.string.decode("utf-8", "replace") if event.type == _PHONEME else ""
        _HEARD[1].append(_Happening(event.type, event.sample / rate, event.position, event.length, name))
        index += 1
    return 0


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    lib = ctypes.CDLL("libespeak-ng.so.1")
    lib.espeak_Synth.argtypes = (
        c_char_p, ctypes.c_size_t, c_uint, c_int, c_uint, c_uint, c_void_p, c_void_p,
    )  # fmt: skip
    rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _IPA)
    if rate <= 0:
        raise OSError("espeak-ng's data is missing")
    lib.espeak_SetSynthCallback(_hear)
    return lib, rate
