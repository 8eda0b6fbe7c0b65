"""What the rooms say to each other: frozen pydantic models, errors and defaults.

Depends on pydantic and the standard library only.
"""

from schemas.diarization import Diarization, SpeakerTurn
from schemas.options import Options
from schemas.report import StageReport, Warning_
from schemas.transcript import Media, Segment, Speaker, Transcript, Word

__all__ = [
    "Diarization",
    "Media",
    "Options",
    "Segment",
    "Speaker",
    "SpeakerTurn",
    "StageReport",
    "Transcript",
    "Warning_",
    "Word",
]
