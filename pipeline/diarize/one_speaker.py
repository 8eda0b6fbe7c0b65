"""Everything said by one person: the model-free baseline, and the right answer for a dictation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.recording import Recording
from pipeline.vad import Vad
from schemas.diarization import Diarization, SpeakerTurn
from schemas.options import DiarizeOptions, Options
from schemas.report import Warning_

if TYPE_CHECKING:
    from pipeline.plan import Choice

REQUIRES = ()
DEVICES = ("cpu",)
VERSION = 1
MODEL_KIND = None
MODEL_FORMATS = ()

SPEAKER = "SPEAKER_00"


def load(choice: Choice, options: Options) -> OneSpeaker:
    """Needs no weights."""
    from dataclasses import replace

    from pipeline import backends

    return OneSpeaker(backends.load("vad", replace(choice, backend="energy", model=None), options))


class OneSpeaker:
    """Speech regions by energy, each a turn of the same speaker."""

    def __init__(self, vad: Vad) -> None:
        self._vad = vad
        self.cache_key = f"one_speaker({vad.cache_key})"
        self.model = self.revision = None
        self.device = "cpu"

    def diarize(
        self, recording: Recording, options: DiarizeOptions, progress: Callable[[float], None]
    ) -> Diarization:
        """One turn for each speech region."""
        turns = tuple(
            SpeakerTurn(start=region.start, end=region.end, speaker=SPEAKER)
            for region in self._vad.speech_regions(recording, progress)
        )
        progress(1.0)
        return Diarization(turns=turns, exclusive_turns=turns, warnings=_warnings(turns, options))


def _warnings(turns: tuple[SpeakerTurn, ...], options: DiarizeOptions) -> tuple[Warning_, ...]:
    if not turns:
        return (Warning_(code="no_speech", message="No speech was found, so there are no speakers."),)
    asked = options.num_speakers or options.min_speakers or 1
    if asked == 1:
        return ()
    message = f"Asked for {asked} speakers; the backend one_speaker knows one. Use diarize_backend=pyannote."
    return (Warning_(code="speaker_limit", message=message),)
