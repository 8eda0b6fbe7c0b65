"""Which language a recording is taken for."""

from __future__ import annotations

import pytest
from recordings import shared_folder

from pipeline import backends
from pipeline.asr import likely_languages
from pipeline.asr._language import averaged, spread
from pipeline.audio import load_waveform
from pipeline.plan import Choice
from pipeline.recording import Recording
from pipeline.vad import Chunk
from schemas.options import Options


def test_the_language_is_heard_all_over_the_recording():
    chunks = [Chunk(10 * i, 10 * i + 10) for i in range(20)]
    heard = spread(chunks, 4)
    assert len(heard) == 4
    assert heard[0].start < 50 and heard[-1].start >= 150
    assert spread(chunks[:2], 4) == chunks[:2]


def test_language_probabilities_are_averaged_by_length():
    mean = averaged([{"en": 0.9, "de": 0.1}, {"en": 0.1, "de": 0.9}], [30, 10])
    assert mean == pytest.approx({"en": 0.7, "de": 0.3})
    assert next(iter(mean)) == "en"


class Scripted:
    """Hears what it is told to, one answer after the other; keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def detect_language(self, _recording, chunks):
        self.asked.append([(c.start, c.end) for c in chunks])
        return self.answers.pop(0)


def test_what_is_sure_is_heard_once():
    asr = Scripted({"en": 0.8, "cy": 0.2})
    assert likely_languages(asr, None, [Chunk(0, 20)]) == {"en": 0.8, "cy": 0.2}
    assert len(asr.asked) == 1


def test_what_is_not_sure_is_heard_again_in_parts():
    asr = Scripted({"cy": 0.52, "en": 0.48}, {"en": 0.6, "cy": 0.4})
    found = likely_languages(asr, None, [Chunk(4, 24)])
    assert asr.asked[1] == [(4, 19), (9, 24)]
    assert found == pytest.approx({"en": 0.56, "cy": 0.44})  # two parts weigh twice as much as the whole
    assert next(iter(found)) == "en"


def test_parts_are_those_of_one_window():
    asr = Scripted({"cy": 0.5}, {"en": 0.6})
    likely_languages(asr, None, [Chunk(60 * i, 60 * i + 40) for i in range(9)])
    assert asr.asked[1] == [(120, 142.5), (127.5, 150), (360, 382.5), (367.5, 390)]


@pytest.mark.parametrize("backend", ["faster_whisper", "mlx"])
def test_far_english_is_not_taken_for_welsh(backend):
    folder = shared_folder()
    if folder is None:
        pytest.skip("needs the recordings with references")
    recording = Recording.from_array(load_waveform(folder / "multi" / "ami_EN2006b.flac"))
    asr = backends.load("asr", Choice(backend, "cpu", "base", "float32"), Options())
    whole = [Chunk(5.13, 28.854)]
    found = likely_languages(asr, recording, whole)
    assert max(found, key=found.get) == "en"
    once = asr.detect_language(recording, whole)
    assert once["en"] < found["en"]
