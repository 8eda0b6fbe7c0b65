"""Words on the clock: a transcript's words placed on the recording.

The driver (:func:`align_segments`) cuts the audio of each segment, shifts the times, clips them to the recording,
and falls back; a backend places the words of a batch of cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from schemas.errors import FailedToAlign
from schemas.transcript import Char, Phone, Timing

if TYPE_CHECKING:
    from pipeline.align._silence import Loudness

__all__ = ["WINDOW_S", "Aligner", "Cut", "Heard", "WordTime", "align_segments"]

WINDOW_S = 30.0
"""No cut is longer, in seconds: Whisper's window, and what keeps a CTC trellis small."""


@dataclass(frozen=True)
class Heard:
    """What the encoder made of the window in which the speech recognition read a cut, every 20 ms.

    ``features`` float16 (frames, state); the cut begins at frame ``first``. ``window`` is the second at which the
    window begins, and its name.
    """

    window: float
    features: np.ndarray
    first: int


@dataclass(frozen=True)
class Cut:
    """The audio of a segment, ``waveform`` float32 (samples,) at 16 kHz, and the words said in it.

    ``heard`` where the aligner's own encoder has heard it already. ``characters`` and ``phones``: their times are
    wanted, too.
    """

    waveform: np.ndarray
    words: tuple[str, ...]
    language: str
    heard: Heard | None = None
    characters: bool = False
    phones: bool = False

    @cached_property
    def loudness(self) -> Loudness:
        """How loud each 10 ms of it are."""
        from pipeline.align._silence import Loudness

        return Loudness.of(self.waveform)


class WordTime(NamedTuple):
    """Start and end in seconds from the beginning of the cut; ``score`` from 0 to 1.

    ``chars`` hold the word's characters and ``phones`` its phones, where the backend places them.
    """

    start: float
    end: float
    score: float | None
    timing: Timing
    chars: tuple[Char, ...] = ()
    phones: tuple[Phone, ...] = ()


class Aligner(Protocol):
    """``cache_key`` names weights and whatever else changes the answer.

    ``margin_s``: how much audio before and after a segment the backend wants to see, in seconds. One that reads
    a Whisper's encoder names it as ``encoder``, and its module has a function ``encoder(choice, options)`` that
    says the name before anything is loaded.
    """

    cache_key: str
    model: str | None
    revision: str | None
    device: str
    margin_s: float

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | FailedToAlign]:
        """For each cut one entry per word, in order (none where it has no time), or why there are none.

        Raises :class:`schemas.errors.BackendUnavailable` for a language that the model does not know.
        """
        ...


from pipeline.align._driver import align_segments  # noqa: E402 - the driver needs the names above
