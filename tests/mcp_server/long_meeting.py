"""Three hours of meeting as the pipeline writes them down: words in two scripts, eight people, doubts."""

from schemas.diarization import SpeakerTurn
from schemas.jobs import JobRequest
from schemas.report import QualitySpan, StageReport, Warning_
from schemas.transcript import Media, Segment, Speaker, Transcript, Word
from schemas.voices import Voice

SEGMENTS = 2700
PEOPLE = 8
SAID = "yesterday Ana talked about “the budget” für das nächste 四半期 once more"
WORDS = SAID.split(" ")
QUIET = f"SPEAKER_0{PEOPLE - 1}"
"""Whose voice is too short to be remembered."""
LABELS = tuple(f"SPEAKER_0{n}" for n in range(PEOPLE))
STAGES = {
    "audio": StageReport(backend="pyav", device="cpu", seconds=21.4),
    "vad": StageReport(backend="silero", model="silero", revision="6.2", device="cpu", seconds=40.2),
    "asr": StageReport(backend="mlx", model="large-v3", revision="0123abcd", device="metal", seconds=700.1),
    "align": StageReport(
        backend="encoder_head", model="base", revision="0123abcd", device="metal", seconds=80.0
    ),
    "diarize": StageReport(backend="mlx", model="community-1", revision="ab", device="metal", seconds=95.9),
}


def three_hours(request: JobRequest) -> Transcript:
    """What the request would give; turns alone where a file is diarized."""
    spoken = request.operation in ("diarize", "transcribe_diarized")
    segments = tuple(segment(number, spoken) for number in range(SEGMENTS))
    turns = tuple(SpeakerTurn(start=s.start, end=s.end, speaker=s.speaker) for s in segments if spoken)
    text = not (request.operation == "diarize" and request.transcript_path is None)
    return Transcript(
        media=Media(
            path=request.path,
            duration_s=4.0 * SEGMENTS,
            sha256="ab" * 32,
            recorded_at="2026-11-20T14:00:00+01:00",
        ),
        language="en",
        language_probability=0.98,
        segments=segments if text else (),
        speakers=tuple(Speaker(id=label, speech_s=1316.25, segments=337) for label in LABELS)
        if spoken
        else (),
        voices=tuple(Voice(speaker=label, clean_s=900.0 if label != QUIET else 3.0) for label in LABELS)
        if spoken
        else (),
        embedding_model="campplus@1" if spoken else None,
        speaker_embeddings={label: vector(number) for number, label in enumerate(LABELS)} if spoken else None,
        turns=turns,
        exclusive_turns=turns,
        stages=STAGES,
        quality=tuple(map(doubt, segments[::2])) if text else (),
        warnings=tuple(Warning_(code="low_confidence", message=f"Some stretches {n} " * 5) for n in range(5)),
    )


def segment(number: int, spoken: bool) -> Segment:
    """Twelve words in 3.9 seconds."""
    start = number * 4.0
    words = tuple(
        Word(word=word, start=start + k / 4, end=start + k / 4 + 0.2, score=0.987, timing="ctc")
        for k, word in enumerate(WORDS)
    )
    speaker = LABELS[number % PEOPLE] if spoken else None
    return Segment(id=number, start=start, end=start + 3.9, text=SAID, speaker=speaker, words=words)


def vector(number: int) -> tuple[float, ...]:
    """A voice like nobody else's (192,)."""
    return tuple(float(k % PEOPLE == number) for k in range(192))


def doubt(doubtful: Segment) -> QualitySpan:
    """One for every other segment."""
    detail = "Sounds like speech, and no word was found."
    return QualitySpan(kind="no_words", start=doubtful.start, end=doubtful.end, detail=detail)
