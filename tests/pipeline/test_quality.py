"""Where a transcript deserves doubt."""

from pipeline import quality
from pipeline.vad import Chunk, SpeechRegion
from schemas.transcript import Segment

CHUNKS = (
    Chunk(0.0, 20.0, (SpeechRegion(0.0, 9.0), SpeechRegion(12.0, 20.0))),
    Chunk(25.0, 40.0, (SpeechRegion(25.0, 26.0), SpeechRegion(30.0, 40.0))),
)
SAID = Segment(start=1.0, end=8.0, text="a", avg_logprob=-0.3)


def found(pieces=None, segments=(SAID,)):
    spans = quality.find(CHUNKS, pieces or {}, segments)
    return [(span.kind, span.start, span.end) for span in spans]


def test_speech_without_a_word_is_told_and_a_short_sound_is_not():
    assert found() == [("no_words", 12.0, 20.0), ("no_words", 30.0, 40.0)]


def test_what_was_hard_to_make_out_is_told():
    unsure = SAID.model_copy(update={"avg_logprob": -1.4})
    everywhere = Segment(start=11.0, end=40.0, text="b")
    assert found(segments=(unsure, everywhere)) == [("low_confidence", 1.0, 8.0)]


def test_where_text_was_removed_is_told_by_chunk():
    pieces = {
        1: {"warnings": [{"code": "hallucination_removed", "message": "loop"}, {"code": "no_speech"}]},
        0: {"warnings": []},
    }
    assert ("removed", 25.0, 40.0) in found(pieces)


def test_neighbours_of_one_kind_are_one_span_and_there_are_never_too_many():
    near = [
        SAID.model_copy(update={"start": n * 2.0, "end": n * 2.0 + 1.5, "avg_logprob": -2}) for n in range(5)
    ]
    assert found(segments=near)[0] == ("low_confidence", 0.0, 9.5)
    far = [
        SAID.model_copy(update={"start": n * 9.0, "end": n * 9.0 + 1, "avg_logprob": -2}) for n in range(500)
    ]
    assert len(found(segments=far)) == quality.MOST
