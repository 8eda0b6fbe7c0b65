"""flite (CMU, BSD): an English synthesiser whose utterance holds the end of each segment it made.

A word's bounds are those of its first and last segment, by way of its syllables (flite's relations ``Word``,
``SylStructure``, ``Segment``); they are exact.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_float, c_int, c_short, c_void_p
from functools import cache

import numpy as np

from tools.synthesis import Spoken, Unit, at_16_khz

VOICES = ("awb", "kal", "kal16", "rms", "slt")
_VERSION = 1
_LIBRARIES = ("flite", "flite_usenglish", "flite_cmulex", *(f"flite_cmu_us_{voice}" for voice in VOICES))


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", c_char_p),
        ("rate", c_int),
        ("count", c_int),
        ("channels", c_int),
        ("samples", POINTER(c_short)),
    )


class _Voice(ctypes.Structure):
    _fields_ = (("name", c_char_p), ("features", c_void_p))


def speak(text: str, voice: str = "slt", stretch: float = 1.0, pitch: float = 1.0) -> Spoken:
    """``text`` said by a voice, ``stretch`` times as long, at ``pitch`` times its fundamental frequency.

    Words are as flite says them: numerals come out as the words they are read as. Raises OSError where flite's
    library is missing, ValueError for an unknown voice.
    """
    lib = _library()
    speaker = _speaker(voice)
    lib.feat_set_float(speaker.contents.features, b"duration_stretch", stretch)
    mean = _mean_pitch(voice)
    if mean:
        lib.feat_set_float(speaker.contents.features, b"int_f0_target_mean", mean * pitch)
    utterance = lib.flite_synth_text(text.encode(), speaker)
    try:
        wave = lib.utt_wave(utterance).contents
        samples = np.ctypeslib.as_array(wave.samples, (wave.count,)).copy()
        return Spoken(at_16_khz(samples, wave.rate), tuple(_words(utterance)), tuple(_phones(utterance)))
    finally:
        lib.delete_utterance(utterance)


def _words(utterance: int) -> Iterator[Unit]:
    lib = _library()
    for item in _items(utterance, b"Word"):
        word = lib.item_as(item, b"SylStructure")
        first = word and lib.item_daughter(word)
        if not first:
            continue
        first = lib.item_as(lib.item_daughter(first), b"Segment")
        last = lib.item_as(lib.item_last_daughter(lib.item_last_daughter(word)), b"Segment")
        before = lib.item_prev(first)
        start = lib.item_feat_float(before, b"end") if before else 0.0
        yield Unit(_name(item), round(start, 4), round(lib.item_feat_float(last, b"end"), 4))


def _phones(utterance: int) -> Iterator[Unit]:
    start = 0.0
    for item in _items(utterance, b"Segment"):
        end = round(_library().item_feat_float(item, b"end"), 4)
        yield Unit(_name(item), start, end)
        start = end


def _items(utterance: int, relation: bytes) -> Iterator[int]:
    lib = _library()
    item = lib.relation_head(lib.utt_relation(utterance, relation))
    while item:
        yield item
        item = lib.item_next(item)


def _name(item: int) -> str:
    return _library().item_feat_string(item, b"name").decode()


@cache
def _speaker(voice: str):
    if voice not in VOICES:
        raise ValueError(f"flite has no voice {voice!r}; it has {', '.join(VOICES)}")
    register = getattr(_library().voices[voice], f"register_cmu_us_{voice}")
    register.restype, register.argtypes = POINTER(_Voice), (c_char_p,)
    return register(None)


@cache
def _mean_pitch(voice: str) -> float:
    lib = _library()
    return lib.get_param_float(_speaker(voice).contents.features, b"int_f0_target_mean", c_float(0.0))


@cache
def _library() -> ctypes.CDLL:
    loaded = {name: ctypes.CDLL(f"lib{name}.so.{_VERSION}", mode=ctypes.RTLD_GLOBAL) for name in _LIBRARIES}
    lib = loaded["flite"]
    lib.voices = {voice: loaded[f"flite_cmu_us_{voice}"] for voice in VOICES}
    for name, result, arguments in (
        ("flite_synth_text", c_void_p, (c_char_p, c_void_p)),
        ("utt_wave", POINTER(_Wave), (c_void_p,)),
        ("utt_relation", c_void_p, (c_void_p, c_char_p)),
        ("relation_head", c_void_p, (c_void_p,)),
        ("item_next", c_void_p, (c_void_p,)),
        ("item_prev", c_void_p, (c_void_p,)),
        ("item_as", c_void_p, (c_void_p, c_char_p)),
        ("item_daughter", c_void_p, (c_void_p,)),
        ("item_last_daughter", c_void_p, (c_void_p,)),
        ("item_feat_string", c_char_p, (c_void_p, c_char_p)),
        ("item_feat_float", c_float, (c_void_p, c_char_p)),
        ("feat_set_float", None, (c_void_p, c_char_p, c_float)),
        ("get_param_float", c_float, (c_void_p, c_char_p, c_float)),
        ("delete_utterance", None, (c_void_p,)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.flite_init()
    return lib
