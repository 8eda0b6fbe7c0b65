"""One speaker a channel: recognised where it is so, not where it only looks so, and used."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from media import RATE, Track, babble, encode, wav

from pipeline import backends
from pipeline.audio import open_recording
from pipeline.cache import Cache
from pipeline.channels import ChannelLevels, Channels, relative
from pipeline.plan import Choice
from pipeline.pool import ModelPool
from pipeline.recording import Recording
from pipeline.run import run
from schemas.errors import InvalidArgument, StageFailed
from schemas.jobs import JobRequest
from schemas.options import DiarizeOptions, Options

DATA = Path(__file__).parents[2] / "data"
LENGTH_S = 24
ANA = ((1.0, 5.0), (11.0, 15.0), (20.0, 22.0))
BEN = ((5.5, 10.5), (15.5, 19.5))


def phrases(spans, seed: int) -> np.ndarray:
    sound = np.zeros(LENGTH_S * RATE, np.float32)
    for number, (start, end) in enumerate(spans):
        said = babble(end - start, seed=seed + number)
        sound[round(start * RATE) :][: len(said)] += said
    return sound


def hiss(level_db: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(LENGTH_S * RATE) * 10 ** (level_db / 20)


def found(*planes: np.ndarray) -> Channels:
    levels = ChannelLevels()
    for start in range(0, LENGTH_S * RATE, RATE // 2):
        levels.add(np.stack(planes)[:, start : start + RATE // 2].astype(np.float32), RATE)
    return levels.found()


A, B = phrases(ANA, 0), phrases(BEN, 10)
TOGETHER = phrases(((1.5, 9.0), (12.0, 21.0)), 20)


@pytest.mark.parametrize(
    "planes",
    [
        (A + hiss(-70, 1), B + hiss(-70, 2)),
        (A + 0.15 * B + hiss(-60, 1), B + 0.15 * A + hiss(-60, 2)),  # crosstalk 16 dB down
        (A + hiss(-70, 1), 0.05 * B + hiss(-75, 2)),  # one microphone 26 dB below the other
        (A + hiss(-60, 1), TOGETHER + hiss(-60, 2)),  # both at once, most of the time
        (A, B, np.zeros_like(A)),  # a third channel with nothing
        (A + hiss(-70, 1), B + hiss(-70, 2), hiss(-30, 3)),  # a third channel with noise
        (A + 0.1 * B, -(B + 0.1 * A)),  # one channel's polarity inverted
    ],
)
def test_one_speaker_a_channel_is_recognised(planes):
    layout = found(*planes)
    assert layout.separate, layout
    assert layout.speakers == (0, 1)


@pytest.mark.parametrize(
    "planes",
    [
        (A + B, A + B),  # the same sound twice
        (A + B, -(A + B)),  # opposite phases
        (A + B, 0.3 * (A + B)),  # one side quieter
        (A + B, np.zeros_like(A)),  # an empty channel
        (A + B + hiss(-60, 1), hiss(-45, 2)),  # a channel with noise alone
        (A + 0.5 * B + hiss(-60, 1), B + 0.5 * A + hiss(-60, 2)),  # two people between two microphones
        (np.zeros_like(A), np.zeros_like(A)),
        (A,),
    ],
)
def test_other_recordings_are_not_taken_for_it(planes):
    assert not found(*planes).separate


def test_four_people_with_a_channel_each_are_recognised():
    people = [phrases(((6.0 * n, 6.0 * n + 5.5),), 60 + n) for n in range(4)]
    channels = [own + 0.1 * sum(o for o in people if o is not own) for own in people]
    assert found(*channels).speakers == (0, 1, 2, 3)
    assert found(*channels).separate


def test_somebody_who_says_little_is_somebody():
    """Two seconds in two minutes: most of the channel's frames are its noise."""
    little = [phrases(((6.0, 8.0),), 70), *[np.zeros_like(A)] * 4]
    channels = np.concatenate(little) + np.tile(hiss(-80, 1), 5), np.tile(A + hiss(-80, 2), 5)
    levels = ChannelLevels()
    levels.add(np.stack(channels).astype(np.float32), RATE)
    assert np.isfinite(relative(levels.levels())).all()
    assert levels.found().speakers == (0, 1)


def test_a_room_and_music_in_stereo_are_not_taken_for_it():
    """Four talkers at their places, each later and a little quieter on one side; chords panned and swelling."""
    left, right = np.zeros(LENGTH_S * RATE), np.zeros(LENGTH_S * RATE)
    for person, (delay, gain) in enumerate([(0, 1.0), (9, 0.7), (-14, 1.5), (23, 0.6)]):
        voice = phrases(((1 + 5.5 * person, 6 + 5.5 * person),), 40 + person)
        tail = np.exp(-np.arange(4000) / 900) * np.random.default_rng(person).standard_normal(4000) * 0.05
        left += voice + np.convolve(voice, tail)[: len(voice)]
        right += gain * np.roll(voice, delay) + np.convolve(voice, tail[::-1][::-1])[: len(voice)]
    assert not found(left, right).separate
    time = np.arange(LENGTH_S * RATE) / RATE
    beat = 0.55 + 0.45 * np.sin(2 * np.pi * 0.9 * time)
    notes = [np.sin(2 * np.pi * hertz * time) * beat for hertz in (220, 277, 330, 440)]
    pans = (0.2, 0.4, 0.6, 0.8)
    music = [
        sum(side(pan) * note for pan, note in zip(pans, notes, strict=True)) for side in (np.cos, np.sin)
    ]
    assert not found(*music).separate


def test_the_bytes_kept_are_few():
    levels = ChannelLevels()
    levels.add(np.ones((2, RATE * 10), np.float32), RATE)
    assert levels.levels().nbytes == 2 * 10 * 20


def test_speakers_with_a_channel_each_are_recognised_in_a_real_recording(shared_audio, tmp_path):
    """Two readers who talk at once; mixed down nobody can be understood."""
    opened = open_recording(shared_audio / "multi/en_stereo_2ch_2spk.flac", workdir=tmp_path)
    assert opened.channels.separate


def test_no_other_shared_recording_is_taken_for_it(shared_audio, tmp_path):
    for name in (
        "jfk_44k_stereo.flac",
        "jfk_antiphase_stereo.flac",
        "jfk_left_only.flac",
        "jfk_5p1_center_only.flac",
    ):
        assert not open_recording(shared_audio / "hard" / name, workdir=tmp_path).channels.separate, name


@pytest.fixture(scope="module")
def split():
    return backends.load("diarize", Choice("channels"), Options())


@pytest.fixture(scope="module")
def conversation(tmp_path_factory) -> tuple[Path, list[tuple[float, float, int]]]:
    """The shipped meeting with its first speaker left and the others right, a little of each on the other side."""
    from pipeline import audio, rttm

    mono = audio.load_waveform(DATA / "syn_en_flite_words.flac")
    (truth,) = rttm.read((DATA / "syn_en_flite_words.rttm").read_text("utf-8")).values()
    first = truth[0].speaker
    mask = np.zeros(len(mono), np.float32)
    for turn in truth:
        if turn.speaker == first:
            mask[round(turn.start * RATE) : round(turn.end * RATE)] = 1
    left, right = mono * mask, mono * (1 - mask)
    path = tmp_path_factory.mktemp("stereo") / "call.flac"
    encode(path, Track(np.stack([left + 0.1 * right, right + 0.1 * left]), codec="flac", layout="stereo"))
    return path, [(turn.start, turn.end, int(turn.speaker != first)) for turn in truth]


def agreement(turns, truth, length_s: float, speakers: int = 2) -> float:
    """Share of the true speech, in 10 ms, that has the right speakers and nobody else."""
    grids = np.zeros((2, speakers, round(length_s * 100)), bool)
    for turn in turns:
        grids[0, int(turn.speaker[-1]), round(turn.start * 100) : round(turn.end * 100)] = True
    for start, end, number in truth:
        grids[1, number, round(start * 100) : round(end * 100)] = True
    spoken = grids[1].any(axis=0)
    return float((grids[0] == grids[1]).all(axis=0)[spoken].mean())


def test_turns_come_from_the_channels_without_crosstalk(split, conversation, tmp_path):
    path, truth = conversation
    recording = open_recording(path, workdir=tmp_path)
    fractions: list[float] = []
    found = split.diarize(recording, DiarizeOptions(), fractions.append)
    assert found.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert agreement(found.turns, truth, recording.duration_s) > 0.85
    assert [warning.code for warning in found.warnings] == ["channels_split"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [file.name for file in tmp_path.iterdir()] == [recording.pcm.name]


@pytest.fixture(scope="module")
def tracks() -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """40 s of the shipped meeting, a track for each of its three people (3, samples), and who talks when."""
    from pipeline import audio, rttm

    mono = audio.load_waveform(DATA / "syn_en_meeting_a.opus")[: 40 * RATE]
    (truth,) = rttm.read((DATA / "syn_en_meeting_a.rttm").read_text("utf-8")).values()
    truth = [turn for turn in truth if turn.end < 40]
    names = list(dict.fromkeys(turn.speaker for turn in truth))
    masks = np.zeros((len(names), len(mono)), np.float32)
    for turn in truth:
        masks[names.index(turn.speaker), round(turn.start * RATE) : round(turn.end * RATE)] = 1
    return mono * masks, [(turn.start, turn.end, names.index(turn.speaker)) for turn in truth]


def leaking(tracks: np.ndarray, gain: float, delay_s: float = 0.0) -> np.ndarray:
    """Each track with what the others' people say, quieter and later."""
    others = gain * (tracks.sum(axis=0) - tracks)
    late = round(delay_s * RATE)
    return tracks + np.pad(others, ((0, 0), (late, 0)))[:, : tracks.shape[1]]


def tune(count: int) -> np.ndarray:
    """Plucked notes (count,), as loud as speech."""
    time = np.arange(count) / RATE
    notes = 220 * 2 ** (np.random.default_rng(5).integers(0, 12, count // 8000 + 1) / 12)
    phase = 2 * np.pi * np.cumsum(np.repeat(notes, 8000)[:count]) / RATE
    return 0.1 * np.sin(phase) * np.exp(-(time % 0.5) / 0.3)


@pytest.mark.parametrize(
    "layout",
    [
        lambda own: leaking(own, 0.1),
        lambda own: leaking(own, -0.1),  # out of phase
        lambda own: leaking(own, 0.1, 0.2),  # with an echo's delay
        lambda own: np.stack([own[0], -own[1], own[2], 0 * own[0]]),  # a fourth channel with nothing
        lambda own: np.stack([*own, 0.05 * np.random.default_rng(0).standard_normal(own.shape[1])]),
        lambda own: np.stack([*own, tune(own.shape[1])]),
    ],
    ids=["crosstalk", "inverted crosstalk", "echo", "silent channel", "noise channel", "music channel"],
)
def test_turns_are_right_whatever_else_is_on_the_channels(split, tracks, tmp_path, layout):
    own, truth = tracks
    recording = open_recording(wav(tmp_path / "tracks.wav", layout(own)), workdir=tmp_path)
    found = split.diarize(recording, DiarizeOptions(), lambda _: None)
    assert len(found.speakers) == 3
    assert agreement(found.turns, truth, 40, 3) > 0.9


def test_turns_may_overlap_and_exclusive_ones_do_not(split, shared_audio, tmp_path):
    recording = open_recording(shared_audio / "multi/en_stereo_2ch_2spk.flac", workdir=tmp_path)
    found = split.diarize(recording, DiarizeOptions(), lambda _: None)
    assert any(a.end > b.start + 0.5 for a, b in zip(found.turns, found.turns[1:], strict=False))
    ordered = found.exclusive_turns
    assert all(a.end <= b.start for a, b in itertools.pairwise(ordered))
    assert {turn.speaker for turn in ordered} == {"SPEAKER_00", "SPEAKER_01"}


def diarized(path: Path, tmp_path: Path, **options):
    request = JobRequest(operation="diarize", path=str(path), options=Options.from_flat(**options))
    return run(request, pool=ModelPool(), cache=Cache(tmp_path))


def test_it_is_used_by_itself_where_it_is_so_and_said(conversation, tmp_path):
    path, _ = conversation
    for _ in range(2):  # from the caches, too
        result = diarized(path, tmp_path)
        assert result.stages["diarize"].backend == "channels"
        assert "channels_split" in {warning.code for warning in result.warnings}
        assert len(result.speakers) == 2


def test_another_backend_asked_for_is_used(conversation, tmp_path):
    assert (
        diarized(conversation[0], tmp_path, diarize_backend="one_speaker").stages["diarize"].backend
        == "one_speaker"
    )


def test_splitting_one_channel_is_refused(tmp_path):
    mono = wav(tmp_path / "mono.wav", A)
    with pytest.raises(InvalidArgument, match="one channel"):
        diarized(mono, tmp_path, channels="split")
    with pytest.raises(InvalidArgument):
        backends.load("diarize", Choice("channels"), Options()).diarize(
            Recording.from_array(A), DiarizeOptions(), lambda _: None
        )


def test_speech_on_one_channel_alone_cannot_be_split(tmp_path):
    from pipeline import audio

    said = audio.load_waveform(DATA / "syn_en_flite_words.flac")[: 8 * RATE]
    path = wav(tmp_path / "left.wav", np.stack([said, np.zeros_like(said)]))
    with pytest.raises(StageFailed, match="speech of its own"):
        diarized(path, tmp_path, channels="split")


@pytest.mark.parametrize(
    "options",
    [
        {"channels": "split", "diarize_backend": "pyannote"},
        {"channels": "mix", "diarize_backend": "channels"},
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(InvalidArgument, match="channels"):
        Options.from_flat(**options)


def planned(monkeypatch) -> None:
    """``auto`` plans ``one_speaker`` here, which needs no weights."""
    from dataclasses import replace

    from pipeline import run as runner

    real = runner.plan
    monkeypatch.setattr(
        runner,
        "plan",
        lambda machine, options: replace(real(machine, options), diarize=(Choice("one_speaker"),)),
    )


def test_ordinary_stereo_is_diarized_by_voices(monkeypatch, tmp_path):
    planned(monkeypatch)
    path = wav(tmp_path / "stereo.wav", np.stack([A + B, hiss(-45, 2)]))
    result = diarized(path, tmp_path)
    assert result.stages["diarize"].backend == "one_speaker"
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("options", "backend"),
    [
        ({}, "channels"),
        ({"num_speakers": 2}, "channels"),
        ({"max_speakers": 4}, "channels"),
        ({"num_speakers": 3}, "one_speaker"),
        ({"min_speakers": 3}, "one_speaker"),
        ({"max_speakers": 1}, "one_speaker"),
        ({"channels": "mix"}, "one_speaker"),
    ],
)
def test_a_count_that_the_channels_cannot_give_leaves_it_to_the_voices(
    monkeypatch, conversation, tmp_path, options, backend
):
    planned(monkeypatch)
    assert diarized(conversation[0], tmp_path, **options).stages["diarize"].backend == backend
