"""The phone head places words exactly, on exactly timed speech, and knows the languages that it says it knows."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from placed_words import placed
from safetensors import safe_open
from scipy.special import erf, log_softmax

from pipeline import audio, stages
from pipeline.align import Cut, _encoders, encoder_head
from pipeline.align._characters import Spelling, characters
from pipeline.align._features import padded_log_mel
from pipeline.align._japanese import _readings, _table
from pipeline.align._letters import pronounced
from pipeline.align._phone_head import DATA, PAUSE, PhoneHead
from pipeline.align._pronunciation import Pronunciation, Said, _lexicon, _rules
from pipeline.align.encoder_head import HEADS, LANGUAGES
from pipeline.alignment_core import WILDCARD
from pipeline.cache import Cache
from pipeline.encoder_output import EncoderOutput
from pipeline.plan import Choice
from pipeline.pool import ModelPool
from pipeline.recording import Recording
from pipeline.run import run
from pipeline.whisper_mlx.log_mel import window_log_mel
from schemas.errors import BackendUnavailable, FailedToAlign
from schemas.jobs import JobRequest
from schemas.options import AudioOptions, Options
from schemas.transcript import Media, Segment, Transcript, Word
from schemas.whisperx import read_transcript


@pytest.fixture(scope="module")
def flite(shipped) -> list[Segment]:
    """The recording's segments with the times that its synthesiser gave their words."""
    words = iter(json.loads((shipped / "syn_en_flite_words.words.json").read_text("utf-8")))
    segments = []
    for segment in read_transcript(shipped / "syn_en_flite_words.segments.json").segments:
        spans = [(word, next(words)) for word in segment.text.split()]
        timed = [{"word": word, "start": span["start"], "end": span["end"]} for word, span in spans]
        segments.append(Segment.model_validate({**segment.compact(), "words": timed}))
    return segments


def errors_ms(aligner, recording: Recording, segments: Sequence[Segment], heard=None) -> np.ndarray:
    """How far the starts and ends of words are off."""
    pairs, warnings = placed(aligner, recording, segments, heard)
    assert not warnings
    assert {word.timing for word, _ in pairs} == {"head"}
    assert np.mean([word.score for word, _ in pairs]) > 0.3
    return 1000 * np.abs([(a.start - b.start, a.end - b.end) for a, b in pairs])


def test_words_are_within_the_margins_on_exactly_timed_speech(aligner, shipped, flite, tmp_path):
    """Measured: median 5 ms, mean 9, 99.5 % within 50 ms."""
    recording = audio.open_recording(
        str(shipped / "syn_en_flite_words.flac"), AudioOptions(), workdir=tmp_path
    )
    off = errors_ms(aligner("encoder_head"), recording, flite)
    assert np.median(off) <= 10
    assert off.mean() <= 15
    assert (off <= 50).mean() >= 0.97


def test_what_the_recognition_heard_serves_as_well_and_is_not_encoded_again(
    aligner, shipped, flite, tmp_path, monkeypatch
):
    """A whole window of several segments, with silence up to 30 s, in float16."""
    head = aligner("encoder_head")
    recording = audio.open_recording(
        str(shipped / "syn_en_flite_words.flac"), AudioOptions(), workdir=tmp_path
    )
    segments = [segment for segment in flite if segment.end < 16.9]
    ((_, features),) = head._encode([window_log_mel(recording, 3_200, 272_000, 80)])
    monkeypatch.setattr(head, "_encode", lambda log_mels: pytest.fail("a cut was encoded"))
    with EncoderOutput(tmp_path) as heard:
        heard.begin("base")
        heard.keep(0.2, features[:841])
        off = errors_ms(head, recording, segments, heard)
    assert np.median(off) <= 10
    assert off.mean() <= 15
    assert (off <= 50).mean() >= 0.97


def test_words_are_placed_by_what_the_recognition_heard(starter_weights, shipped, tmp_path, monkeypatch):
    """From the file to the words, and again from the cache of the text, where nothing is at hand any more."""
    starter_weights("whisper", "base", "mlx")
    encoded = []
    own = encoder_head.padded_log_mel
    monkeypatch.setattr(encoder_head, "padded_log_mel", lambda *args: encoded.append(args) or own(*args))
    backends = {"backend": "mlx", "align_backend": "encoder_head", "vad_method": "energy"}
    options = Options.from_flat(model="base", language="en", end_s=7, **backends)
    asked = JobRequest(operation="transcribe", path=str(shipped / "syn_en_flite_words.flac"), options=options)
    pool, cache = ModelPool(), Cache(tmp_path)
    first = run(asked, pool=pool, cache=cache)
    assert not encoded
    for path in (tmp_path / "stages").glob("align-*"):
        path.unlink()
    again = run(asked, pool=pool, cache=cache)
    assert encoded
    assert (again.stages["asr"].cached, again.stages["align"].cached) == (True, False)
    assert {word.timing for word in (*first.words, *again.words)} == {"head"}
    off = [abs(a.start - b.start) for a, b in zip(first.words, again.words, strict=True)]
    assert np.mean(off) < 0.02


def test_phones_fill_their_words_and_are_those_that_were_said(
    starter_weights, shipped, flite, tmp_path, monkeypatch
):
    """Numerals as they were read, and only for those who ask: a result in the cache without phones will not do."""
    starter_weights("whisper", "base", "mlx")
    said = [segment for segment in flite if segment.start > 8 and segment.end < 17.6]
    written = [s.text.replace("seven", "7").replace("two", "2") for s in said]
    given = Transcript(
        media=Media(duration_s=18),
        language="en",
        segments=tuple(
            Segment(start=s.start, end=s.end, text=text) for s, text in zip(said, written, strict=True)
        ),
    )
    pool, cache = ModelPool(), Cache(tmp_path)

    def words(**asked: bool) -> tuple[Word, ...]:
        options = Options.from_flat(align_backend="encoder_head", end_s=18, **asked)
        path = str(shipped / "syn_en_flite_words.flac")
        request = JobRequest(operation="align", path=path, options=options)
        return run(request, pool=pool, cache=cache, transcript=given).words

    assert {word.phones for word in words()} == {None}
    found = words(return_phone_alignments=True)
    assert [word.word for word in found] == [word for text in written for word in text.split()]
    phones = {word.word: [phone.phone for phone in word.phones] for word in found}
    assert phones["7"] == ["s", "eh", "v", "ah", "n"]
    assert phones["2"] == ["t", "uw"]
    assert phones["customers"] == ["k", "ah", "s", "t", "ah", "m", "er", "z"]
    for word in found:
        moments = [moment for phone in word.phones for moment in (phone.start, phone.end)]
        assert moments == sorted(moments)
        assert moments[0::2][1:] == moments[1::2][:-1]  # one begins where the other ends
        assert (moments[0], moments[-1]) == (word.start, word.end)
        assert all(0 <= phone.score <= 1 for phone in word.phones)
    assert np.mean([phone.score for word in found for phone in word.phones]) > 0.3


def test_what_nobody_can_pronounce_has_no_phones(aligner):
    cut = Cut(np.zeros(32_000, np.float32), ("one", "你", "two"), "en", phones=True)
    one, unknown, two = aligner("encoder_head").align([cut])[0]
    assert [phone.phone for phone in one.phones] == ["w", "ah", "n"]
    assert unknown.phones == ()
    assert two.phones


def test_noise_moves_words_little(aligner, shipped, flite, tmp_path):
    """White noise 3 dB below the speech."""
    recording = audio.open_recording(
        str(shipped / "syn_en_flite_words.flac"), AudioOptions(), workdir=tmp_path
    )
    segments = [segment for segment in flite if segment.end < 14]
    samples = recording.seconds(0, 14)
    noise = np.random.default_rng(0).standard_normal(len(samples)) * samples.std() * 10 ** (-3 / 20)
    noisy = Recording.from_array((samples + noise).astype(np.float32))
    off = errors_ms(aligner("encoder_head"), noisy, segments)
    assert np.median(off) <= 20
    assert (off <= 50).mean() >= 0.85


def test_what_drowns_beside_a_pause_belongs_to_the_word():
    """The last 50 ms of a word are rather a pause, by the head."""
    pause, first, last = 0, 1, 2
    emission = np.full((40, 3), -8.0, np.float32)
    for frames, phone in ((slice(0, 10), pause), (slice(10, 20), first), (slice(20, 25), last)):
        emission[frames, phone] = 0.0
    emission[25:30, last], emission[25:, pause] = -1.0, 0.0
    said = [[Said((first, last), (2,), None)]]
    for noise, stop in ((0.0, 25), (1.0, 30)):
        units = encoder_head._aligned(emission.copy(), said, noise).units
        assert (units.first[0], units.stop[-1]) == (10, stop)


def test_no_phone_is_very_short_in_noise():
    emission = np.full((40, 3), -8.0, np.float32)
    emission[:20, 1], emission[20:23, 2], emission[23:, 0] = 0.0, 0.0, 0.0
    said = [[Said((1, 2), (2,), None)]]
    for noise, frames in ((0.0, 3), (1.0, 4)):
        units = encoder_head._aligned(emission.copy(), said, noise).units
        assert units.stop[1] - units.first[1] == frames


@pytest.mark.parametrize(("snr_db", "least", "most"), [(3, 0.7, 1.0), (10, 0.1, 0.7), (40, 0.0, 0.0)])
def test_noise_is_what_speech_does_not_stand_out_of(shipped, tmp_path, snr_db, least, most):
    recording = audio.open_recording(
        str(shipped / "syn_en_flite_words.flac"), AudioOptions(), workdir=tmp_path
    )
    samples = recording.seconds(0, 14)
    noise = np.random.default_rng(0).standard_normal(len(samples)) * samples.std() * 10 ** (-snr_db / 20)
    cut = Cut((samples + noise).astype(np.float32), ("noise",), "en")
    assert least <= encoder_head._noise(cut.loudness.contrast_db) <= most


def test_a_cut_is_encoded_as_long_as_it_is():
    assert [len(padded_log_mel(np.zeros(n))) for n in (1, 8_000, 14_000, 480_000)] == [100, 100, 200, 3000]


def test_every_language_has_a_head_and_rules_that_speak_its_phones():
    assert {*_rules(), "ja"} == LANGUAGES
    heads = {name: PhoneHead.read(f"{name}.base") for name in set(HEADS.values())}
    for language, name in HEADS.items():
        kanji = [way for ways in _readings().values() for way in ways]
        spelt = _rules()[language].values() if language in _rules() else [*_table().values(), *kanji]
        said = [phone for phones in spelt for phone in phones]
        known = sum(phone in heads[name].phones for phone in said)
        assert known > 0.95 * len(said), language
    assert all(head.phones["pau"] == PAUSE for head in heads.values())


def test_a_head_computes_what_its_layers_say():
    """Beside the layers one by one in float64; float16 in, as a transcription hands it over, and float32."""
    head = PhoneHead.read("english.base")
    with safe_open(DATA / "english.base.safetensors", "numpy") as file:
        layers = {key: file.get_tensor(key).astype(np.float64) for key in file.keys()}  # noqa: SIM118
    features = np.random.default_rng(0).standard_normal((333, 512)).astype(np.float16)

    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + erf(x / np.sqrt(2)))

    x = features.astype(np.float64)
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    x = x * layers["norm.weight"] + layers["norm.bias"]
    x = gelu(x @ layers["inward.weight"].T + layers["inward.bias"])
    for name in ("conv1", "conv2"):
        beside = np.pad(x, ((1, 1), (0, 0)))
        taps = [beside[k : k + len(x)] @ layers[f"{name}.weight"][:, :, k].T for k in range(3)]
        x = x + gelu(sum(taps) + layers[f"{name}.bias"])
    logits = (x @ layers["outward.weight"].T + layers["outward.bias"]).reshape(-1, len(head.phones))
    expected = log_softmax(logits, axis=1)
    for given in (features, features.astype(np.float32)):
        assert np.abs(head(given) - expected).max() < 1e-4


def english() -> tuple[Pronunciation, list[str]]:
    phones = PhoneHead.read("english.base").phones
    return Pronunciation("en", phones), list(phones)


def test_words_are_pronounced_in_all_the_ways_that_are_known():
    pronunciation, names = english()

    def said(*words: str) -> list[set[str]]:
        ways = pronunciation.alternatives(words)
        return [{" ".join(names[i] for i in way.units) for way in own} for own in ways]

    assert said("Read,")[0] == {"r eh d", "r iy d"}
    assert said("gloop")[0] == {"g l uw p"}  # in no dictionary
    assert said("—") == [set()]
    assert "t w eh n t iy f ao r t iy n" in said("2014")[0]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", {"les": {"l e", "l e z"}, "à": {"a"}, "un": {"œ̃"}, "dans": {"d ɑ̃", "d ɑ̃ z"}}),
        ("es", {"y": {"i"}, "que": {"k e"}}),
        ("hi", {"और": {"ɔ ɾ"}}),
        ("pl", {"lub": {"l u p", "l u b"}, "się": {"ɕ ɛ"}}),
        ("ru", {"что": {"ʃ t o"}}),
    ],
)
def test_common_words_are_pronounced_as_in_running_text(language, words):
    phones = PhoneHead.read("others.base").phones
    names, ways = list(phones), Pronunciation(language, phones).alternatives([*words])
    said = [{" ".join(names[unit] for unit in way.units) for way in own} for own in ways]
    assert said == list(words.values())


@pytest.mark.parametrize("language", sorted(set(HEADS) - {"ja", "zh"}))
def test_the_lexicon_speaks_phones_of_the_head_and_says_what_the_rules_do_not(language):
    phones = PhoneHead.read(f"{HEADS[language]}.base").phones
    lexicon = _lexicon(language)
    assert len(lexicon) > 50
    said = [phone for ways in lexicon.values() for way in ways for phone in way]
    assert sum(phone in phones for phone in said) > 0.98 * len(said)
    rules = _rules()[language]
    assert all(ways != [pronounced(rules, word)] for word, ways in lexicon.items())


def test_what_nobody_can_pronounce_is_a_wildcard():
    pronunciation, _ = english()
    ((way,),) = pronunciation.alternatives(["你"])
    assert way.units == (WILDCARD,)
    assert pronounced({}, "abc") == ()


@pytest.mark.parametrize(
    ("word", "phones", "dealt"),
    [
        ("knife", "n ay f", [0, 1, 1, 1, 0]),
        ("shoe", "sh uw", [0, 1, 1, 0]),
        ("box", "b aa k s", [1, 1, 2]),
        ("w", "d ah b ah l y uw", [7]),
        ("twenty", "t w eh n t iy", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_phones_are_dealt_to_letters_as_they_are_spelt(word, phones, dealt):
    assert Spelling.of(_rules()["en"]).dealt(word, tuple(phones.split())) == dealt


def test_characters_have_the_times_of_what_is_said_for_them():
    pronunciation, names = english()
    spelling = Spelling.of(pronunciation.rules)

    def placed(word: str, said: str) -> list[tuple[str, float, float] | str]:
        (way,) = [
            w for w in pronunciation.alternatives([word])[0] if " ".join(names[i] for i in w.units) == said
        ]
        units = [(0.1 * n, 0.1 * (n + 1), 0.5) for n in range(len(way.units))]
        chars = characters(word, way, units, names, spelling)
        return [c.char if c.start is None else (c.char, round(c.start, 2), round(c.end, 2)) for c in chars]

    assert placed("“Oh!”", "ow") == ["“", ("O", 0, 0.05), ("h", 0.05, 0.1), "!", "”"]
    assert placed("21", "t w eh n t iy w ah n") == [("2", 0, 0.5), ("1", 0.5, 0.9)]


def test_text_in_another_script_is_refused(aligner):
    cut = Cut(np.zeros(16_000, np.float32), ("привет", "мир"), "en")
    assert isinstance(aligner("encoder_head").align([cut])[0], FailedToAlign)


def test_a_language_without_a_head_is_an_error_by_name_and_no_candidate_otherwise(aligner):
    with pytest.raises(BackendUnavailable, match="'fi'"):
        aligner("encoder_head").align([Cut(np.zeros(16_000, np.float32), ("hei",), "fi")])
    assert stages._knows(Choice("encoder_head"), {"en", "de"})
    assert not stages._knows(Choice("encoder_head"), {"en", "fi"})
    assert stages._knows(Choice("even"), {"fi"})


def test_batches_of_a_gpu_come_back_each_to_its_own_cut():
    mx = pytest.importorskip("mlx.core")
    log_mels = [np.full((length, 2), value, np.float32) for value, length in enumerate([300, 200, 300, 1000])]
    found = dict(_encoders._encoded(lambda x: 2 * x[:, ::2], mx.float32, log_mels))
    assert [(len(found[i]), found[i].mean()) for i in range(4)] == [(150, 0), (100, 2), (150, 4), (500, 6)]


def test_cuts_of_one_length_share_a_batch_on_a_gpu():
    lengths = [300, 200, 300, 300, 1000]
    assert list(_encoders.batches(lengths)) == [[1], [0, 2, 3], [4]]
    assert [len(batch) for batch in _encoders.batches([3000] * 10)] == [8, 2]
