"""Decoding: any container and codec to 16 kHz mono, on a player's clock, with bounded memory."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import av
import media
import numpy as np
import pytest
from media import Track, babble
from recordings import SHIPPED

from pipeline import audio
from pipeline.recording import SAMPLE_RATE, Recording
from schemas.errors import InvalidArgument, JobError, MediaError, StageFailed
from schemas.options import AudioOptions

SOUND = babble(4.0)


def resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    return resample_poly(sound, rate, SAMPLE_RATE).astype(np.float32)


def lag_and_likeness(found: np.ndarray, wanted: np.ndarray) -> tuple[int, float]:
    """By how many samples ``found`` is late, and their correlation there."""
    size = 1 << (len(found) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(found, size) * np.fft.rfft(wanted, size).conj())
    lag = int(np.argmax(product))
    norm = np.sqrt(float((found**2).sum()) * float((wanted**2).sum()))
    return (lag - size if lag > size // 2 else lag), float(product[lag]) / norm


def decoded(path: Path, workdir: Path, **options) -> Recording:
    return audio.open_recording(path, AudioOptions(**options), workdir=workdir)


def codes(recording: Recording) -> list[str]:
    return [warning.code for warning in recording.warnings]


@pytest.fixture
def workdir(tmp_path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


FORMATS = [  # file, codec, sample rate, layout, samples by which the codec may shift it
    ("a.wav", "pcm_s16le", 16000, "mono", 1),
    ("a.wav", "pcm_u8", 16000, "mono", 1),
    ("a.wav", "pcm_s24le", 96000, "stereo", 1),
    ("a.wav", "pcm_s32le", 44100, "mono", 1),
    ("a.wav", "pcm_f32le", 192000, "mono", 1),
    ("a.wav", "pcm_f64le", 11025, "mono", 1),
    ("a.wav", "pcm_s64le", 16000, "stereo", 1),
    ("a.wav", "pcm_mulaw", 8000, "mono", 2),
    ("a.wav", "adpcm_ima_wav", 16000, "mono", 1),
    ("a.aiff", "pcm_s16be", 16000, "mono", 1),
    ("a.au", "pcm_s16be", 22050, "mono", 1),
    ("a.w64", "pcm_s16le", 16000, "mono", 1),
    ("a.flac", "flac", 44100, "stereo", 1),
    ("a.oga", "flac", 16000, "mono", 1),
    ("a.mka", "flac", 16000, "mono", 1),
    ("a.wv", "wavpack", 16000, "mono", 1),
    ("a.m4a", "alac", 16000, "mono", 1),
    ("a.m4a", "aac", 16000, "mono", 1),
    ("a.mp3", "libmp3lame", 16000, "mono", 1),
    ("a.mp3", "libmp3lame", 44100, "stereo", 1),
    ("a.ogg", "libopus", 48000, "mono", 1),
    ("a.webm", "libopus", 48000, "stereo", 1),
    ("a.ac3", "ac3", 48000, "stereo", 100),
    ("a.mp2", "mp2", 16000, "mono", 500),
    ("a.aac", "aac", 16000, "mono", 1100),
    ("a.wma", "wmav2", 16000, "mono", 512),
    ("a.flv", "aac", 44100, "mono", 500),
]


@pytest.mark.parametrize(("name", "codec", "rate", "layout", "late"), FORMATS)
def test_every_container_and_codec_gives_the_sound_that_went_in(
    name, codec, rate, layout, late, tmp_path, workdir
):
    sound = resampled(SOUND, rate)
    sound = np.stack([sound, sound]) if layout == "stereo" else sound
    bit_rate = 48_000 if codec == "wmav2" else None
    path = media.encode(tmp_path / name, Track(sound, rate, codec, layout, bit_rate=bit_rate))
    recording = decoded(path, workdir)
    lag, likeness = lag_and_likeness(recording.read(0, recording.samples), SOUND)
    assert abs(lag) <= late
    assert likeness > 0.97
    assert recording.duration_s == pytest.approx(4.0, abs=0.12)
    assert recording.warnings == ()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.avi"])
def test_video_is_skipped(name, tmp_path, workdir):
    codec = "libmp3lame" if name in ("a.avi", "a.mkv") else "aac"
    path = media.encode(
        tmp_path / name, Track(resampled(SOUND, 48000), 48000, codec, bit_rate=96000), video_s=4.0
    )
    recording = decoded(path, workdir)
    lag, likeness = lag_and_likeness(recording.read(0, recording.samples), SOUND)
    assert 0 <= lag < 1200 and likeness > 0.97


def test_the_recording_is_a_raw_file_with_its_digest(tmp_path, workdir):
    path = media.wav(tmp_path / "a.wav", SOUND)
    recording = decoded(path, workdir)
    raw = recording.pcm.read_bytes()
    assert recording.pcm.parent == workdir and list(workdir.iterdir()) == [recording.pcm]
    assert recording.sha256 == hashlib.sha256(raw).hexdigest()
    assert len(raw) == 4 * recording.samples
    assert np.array_equal(np.frombuffer(raw, "<f4"), audio.load_waveform(path))
    assert recording.path == str(path)


def test_sixteen_bit_samples_are_divided_by_32768(tmp_path, workdir):
    path = tmp_path / "a.wav"
    media.wav(path, np.zeros(4))
    path.write_bytes(path.read_bytes()[:-8] + np.array([0, 16384, -32768, 32767], "<i2").tobytes())
    assert decoded(path, workdir).read(0, 4).tolist() == [0.0, 0.5, -1.0, 32767 / 32768]


def test_resampling_neither_shifts_nor_stretches(tmp_path, workdir):
    click = np.zeros(44100 * 3, np.float32)
    click[44100 * 2] = 0.9
    recording = decoded(media.wav(tmp_path / "a.wav", click, 44100), workdir)
    assert recording.samples == 3 * SAMPLE_RATE
    assert abs(int(np.argmax(np.abs(recording.read(0, recording.samples)))) - 2 * SAMPLE_RATE) <= 1


class TestChannels:
    def test_opposite_phases_are_not_lost_in_the_mix(self, tmp_path, workdir):
        recording = decoded(media.wav(tmp_path / "a.wav", np.stack([SOUND, -SOUND])), workdir)
        assert codes(recording) == ["downmix_cancelled"]
        assert lag_and_likeness(recording.read(0, recording.samples), SOUND) == (
            0,
            pytest.approx(1.0, abs=1e-3),
        )

    def test_of_opposite_phases_the_louder_channel_is_taken(self, tmp_path, workdir):
        recording = decoded(media.wav(tmp_path / "a.wav", np.stack([-0.7 * SOUND, SOUND])), workdir)
        assert codes(recording) == ["downmix_cancelled"]
        assert np.abs(recording.read(0, recording.samples) - SOUND).max() < 1e-3

    def test_different_channels_are_averaged(self, tmp_path, workdir):
        other = babble(4.0, seed=1)
        recording = decoded(media.wav(tmp_path / "a.wav", np.stack([SOUND, other])), workdir)
        assert codes(recording) == []
        assert np.abs(recording.read(0, recording.samples) - (SOUND + other) / 2).max() < 1e-3

    @pytest.mark.parametrize(("channels", "active"), [(2, 0), (2, 1), (6, 2), (8, 1)])
    def test_empty_channels_do_not_make_the_others_quieter(self, channels, active, tmp_path, workdir):
        planes = np.zeros((channels, len(SOUND)), np.float32)
        planes[active] = SOUND
        recording = decoded(media.wav(tmp_path / "a.wav", planes), workdir)
        assert np.abs(recording.read(0, recording.samples) - SOUND).max() < 1e-3

    def test_surround_sound(self, tmp_path, workdir):
        planes = np.zeros((6, len(SOUND)), np.float32)
        planes[2] = SOUND  # the centre
        recording = decoded(
            media.encode(tmp_path / "a.flac", Track(planes, codec="flac", layout="5.1")), workdir
        )
        assert np.abs(recording.read(0, recording.samples) - SOUND).max() < 1e-3

    @pytest.mark.parametrize(
        ("name", "codec", "layout"), [("a.m4a", "aac", "7.1"), ("a.wv", "wavpack", "12 channels")]
    )
    def test_eight_and_more_channels_each_in_a_plane_of_its_own(self, name, codec, layout, tmp_path, workdir):
        """PyAV's own conversion reads memory that is not the frame's."""
        planes = np.tile(SOUND, (8 if codec == "aac" else 12, 1))
        path = media.encode(tmp_path / name, Track(planes, codec=codec, layout=layout, bit_rate=512_000))
        recording = decoded(path, workdir)
        assert lag_and_likeness(recording.read(0, recording.samples), SOUND)[1] > 0.95


class TestSamples:
    def test_what_is_no_number_is_silent_and_said(self, tmp_path, workdir):
        sound = SOUND.copy()
        sound[100:103] = np.nan, np.inf, -np.inf
        sound[200] = 1e30
        recording = decoded(media.wav(tmp_path / "a.wav", sound, kind="<f4"), workdir)
        found = recording.read(0, recording.samples)
        assert codes(recording) == ["non_finite_samples"] and recording.warnings[0].count == 4
        assert not found[100:103].any() and found[200] == 0
        assert np.array_equal(np.delete(found, [100, 101, 102, 200]), np.delete(SOUND, [100, 101, 102, 200]))

    @pytest.mark.parametrize("scale", [4.0, 32768.0])
    def test_floats_beyond_full_scale_are_scaled_not_clipped(self, scale, tmp_path, workdir):
        recording = decoded(media.wav(tmp_path / "a.wav", SOUND * scale, kind="<f4"), workdir)
        found = recording.read(0, recording.samples)
        assert np.abs(found).max() == pytest.approx(1.0)
        assert np.allclose(found, SOUND / np.abs(SOUND).max(), atol=1e-5)
        assert recording.sha256 == hashlib.sha256(recording.pcm.read_bytes()).hexdigest()

    def test_a_decoders_overshoot_is_clipped(self, tmp_path, workdir):
        square = np.sign(SOUND).astype(np.float32)
        recording = decoded(media.encode(tmp_path / "a.mp3", Track(square, codec="libmp3lame")), workdir)
        found = recording.read(0, recording.samples)
        assert np.abs(found).max() == 1.0 and np.abs(found).mean() > 0.5


class TestClock:
    def test_sound_that_begins_after_the_picture_stays_late(self, tmp_path, workdir):
        sound = resampled(SOUND, 48000)
        path = media.encode(tmp_path / "a.mkv", Track(sound, 48000, "flac", start_s=1.5), video_s=6.0)
        recording = decoded(path, workdir)
        assert lag_and_likeness(recording.read(0, recording.samples), SOUND)[0] == pytest.approx(
            24000, abs=20
        )

    def test_a_late_start_in_an_edit_list_is_silence(self, tmp_path, workdir):
        path = media.encode(tmp_path / "a.m4a", Track(SOUND, codec="aac", start_s=2.0))
        recording = decoded(path, workdir)
        assert lag_and_likeness(recording.read(0, recording.samples), SOUND)[0] == pytest.approx(
            32000, abs=20
        )

    def test_timestamps_that_begin_anywhere_begin_at_zero(self, tmp_path, workdir):
        """A piece cut out of a live stream."""
        path = media.encode(tmp_path / "a.mka", Track(SOUND, codec="flac", start_s=3000.0))
        recording = decoded(path, workdir)
        assert recording.duration_s == pytest.approx(4.0, abs=0.01)

    @pytest.mark.parametrize("gap_s", [0.5, 25.0])
    def test_a_gap_between_timestamps_is_silence(self, gap_s, tmp_path, workdir):
        track = media.with_gap(Track(SOUND, codec="flac"), 2.0, gap_s)
        recording = decoded(media.encode(tmp_path / "a.mka", track), workdir)
        assert recording.duration_s == pytest.approx(4.0 + gap_s, abs=0.01)
        behind = recording.seconds(2.4 + gap_s, 4.0 + gap_s)
        assert lag_and_likeness(behind, SOUND[int(2.4 * SAMPLE_RATE) :])[0] == pytest.approx(0, abs=20)
        assert not recording.seconds(2.2, 2.2 + gap_s - 0.2).any()

    def test_chained_streams_are_read_to_the_end(self, tmp_path, workdir):
        one, two = (
            media.encode(tmp_path / f"{n}.ogg", Track(babble(s, 48000, n), 48000, "libopus"))
            for n, s in ((1, 3.0), (2, 2.0))
        )
        recording = decoded(media.joined(tmp_path / "a.ogg", [one, two]), workdir)
        assert recording.duration_s == pytest.approx(5.0, abs=0.05)

    def test_the_sample_rate_may_change_on_the_way(self, tmp_path, workdir):
        path = media.rates_in_turn(
            tmp_path / "a.mp3",
            (resampled(SOUND, 44100), 44100),
            (SOUND, 16000),
            (resampled(SOUND, 24000), 24000),
        )
        recording = decoded(path, workdir)
        assert recording.duration_s == pytest.approx(12.0, abs=0.5)
        last = recording.seconds(8.0, 12.5)
        assert lag_and_likeness(last, SOUND)[1] > 0.9


class TestTracks:
    def two(self, path: Path, first: bool) -> Path:
        quiet = np.zeros_like(SOUND)
        return media.encode(
            path, Track(quiet, codec="flac", default=not first), Track(SOUND, codec="flac", default=first)
        )

    def test_the_default_track_is_taken_and_that_is_said(self, tmp_path, workdir):
        recording = decoded(self.two(tmp_path / "a.mka", True), workdir)
        assert codes(recording) == ["track_chosen"] and "number 2" in recording.warnings[0].message
        assert np.abs(recording.read(0, len(SOUND)) - SOUND).max() < 1e-3

    def test_other_tracks_are_left_out(self, tmp_path, workdir):
        assert not decoded(self.two(tmp_path / "a.mka", False), workdir).read(0, len(SOUND)).any()


class TestWindow:
    def test_only_the_window_is_kept_and_its_time_begins_at_zero(self, tmp_path, workdir):
        path = media.wav(tmp_path / "a.wav", SOUND)
        recording = decoded(path, workdir, start_s=1.25, end_s=3.0)
        assert np.abs(recording.read(0, recording.samples) - SOUND[20000:48000]).max() < 1e-3

    def test_an_end_behind_the_end_is_the_end(self, tmp_path, workdir):
        assert decoded(media.wav(tmp_path / "a.wav", SOUND), workdir, start_s=3.5, end_s=90).duration_s == 0.5

    def test_a_start_behind_the_end_is_an_error(self, tmp_path, workdir):
        with pytest.raises(InvalidArgument, match=r"4\.00 s long"):
            decoded(media.wav(tmp_path / "a.wav", SOUND), workdir, start_s=4.0)
        assert not list(workdir.iterdir())

    def test_a_window_of_samples_in_memory(self):
        cut = audio.window(Recording.from_array(SOUND), AudioOptions(start_s=1.0, end_s=2.0))
        assert np.array_equal(cut.array, SOUND[16000:32000])
        assert cut.sha256 == hashlib.sha256(cut.array.tobytes()).hexdigest()

    def test_samples_in_memory_are_checked_like_files(self):
        with pytest.raises(MediaError) as empty:
            audio.window(Recording.from_array(np.zeros(0, np.float32)), AudioOptions())
        assert empty.value.code == "empty_audio"
        with pytest.raises(InvalidArgument):
            audio.window(Recording.from_array(SOUND), AudioOptions(start_s=9))
        with pytest.raises(MediaError) as long:
            audio.window(Recording.from_array(SOUND), AudioOptions(max_duration_s=3))
        assert long.value.code == "audio_too_long"
        broken = SOUND.copy()
        broken[5] = np.nan
        cleaned = audio.window(Recording.from_array(broken), AudioOptions())
        assert cleaned.array[5] == 0 and codes(cleaned) == ["non_finite_samples"]
        unscaled = audio.window(Recording.from_array(SOUND * 32768), AudioOptions())
        assert np.allclose(unscaled.array, SOUND / np.abs(SOUND).max(), atol=1e-6)


class TestLimit:
    def test_a_recording_over_the_limit_is_refused_before_it_is_decoded(self, tmp_path, workdir, monkeypatch):
        path = media.wav(tmp_path / "a.wav", SOUND)
        monkeypatch.setattr(audio, "waveform_blocks", lambda *_: pytest.fail("decoded"))
        with pytest.raises(MediaError) as error:
            decoded(path, workdir, max_duration_s=3.9)
        assert error.value.code == "audio_too_long" and "start_s" in error.value.hint
        assert not list(workdir.iterdir())

    def test_a_header_that_understates_is_noticed_while_decoding(self, tmp_path, workdir):
        parts = [
            media.encode(tmp_path / f"{n}.ogg", Track(babble(3.0, 48000, n), 48000, "libopus"))
            for n in range(3)
        ]
        path = media.joined(tmp_path / "a.ogg", parts)
        assert audio.probe(path).duration_s < 4
        with pytest.raises(MediaError) as error:
            decoded(path, workdir, max_duration_s=5)
        assert error.value.code == "audio_too_long"
        assert not list(workdir.iterdir())

    def test_a_window_within_the_limit_is_fine(self, tmp_path, workdir):
        path = media.wav(tmp_path / "a.wav", SOUND)
        assert decoded(path, workdir, max_duration_s=2, start_s=1, end_s=3).duration_s == 2.0
        assert decoded(path, workdir, max_duration_s=4).duration_s == 4.0

    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
    def test_a_streams_placeholder_for_its_size_is_no_length(self, size, tmp_path, workdir):
        """Read as seconds, 0xFFFFFFFF bytes would be 37 hours."""
        path = media.wav(tmp_path / "a.wav", SOUND, riff_size=size, data_size=size)
        recording = decoded(path, workdir)
        assert recording.duration_s == 4.0 and recording.warnings == ()

    def test_a_header_that_promises_weeks_is_not_believed(self, tmp_path, workdir):
        path = media.encode(tmp_path / "a.flac", Track(SOUND, codec="flac"))
        data = bytearray(path.read_bytes())
        data[21] |= 0x0F  # the 36 bits of STREAMINFO's number of samples
        data[22:26] = b"\xff" * 4
        path.write_bytes(data)
        assert decoded(path, workdir).duration_s == 4.0


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline import audio
from schemas.errors import StageFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
path, workdir = map(Path, sys.argv[1:])
try:
    audio.open_recording(path, workdir=workdir)
except StageFailed as error:
    print(error.code, list(workdir.iterdir()))
"""


class TestProgress:
    def test_progress_rises_to_the_end(self, tmp_path, workdir):
        seen = []
        path = media.wav(tmp_path / "a.wav", babble(20.0))
        audio.open_recording(path, workdir=workdir, progress=seen.append)
        assert len(seen) > 10 and seen == sorted(seen) and seen[-1] == pytest.approx(1.0)

    def test_raising_stops_and_leaves_nothing(self, tmp_path, workdir):
        def stop(_fraction):
            raise JobError("stopped", code="job_cancelled")

        with pytest.raises(JobError):
            audio.open_recording(media.wav(tmp_path / "a.wav", SOUND), workdir=workdir, progress=stop)
        assert not list(workdir.iterdir())

    def test_a_full_disk_is_a_coded_error_and_leaves_nothing(self, tmp_path, workdir):
        """The limit of a file's size stands in for the disk's; in a process of its own, since it stays."""
        path = media.wav(tmp_path / "a.wav", babble(60.0))
        command = [sys.executable, "-c", FULL_DISK, path, workdir]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert out.strip() == "stage_failed []"

    def test_progress_never_falls_even_on_the_second_way_through(self, tmp_path, workdir):
        seen = []
        path = media.wav(tmp_path / "a.wav", np.stack([SOUND, -SOUND]))
        audio.open_recording(path, workdir=workdir, progress=seen.append)
        assert seen == sorted(seen)

    def test_a_folder_that_cannot_be_written_is_a_coded_error(self, tmp_path):
        with pytest.raises(StageFailed, match="could not be written"):
            audio.open_recording(media.wav(tmp_path / "a.wav", SOUND), workdir=tmp_path / "absent")


def test_probe_says_what_the_header_says(tmp_path):
    path = media.encode(tmp_path / "a.mkv", Track(np.stack([SOUND, SOUND]), codec="flac", layout="stereo"))
    assert audio.probe(path) == audio.MediaInfo("matroska,webm", "flac", 16000, 2, 1, 4.0)


def test_the_shipped_meeting_has_the_length_of_its_reference():
    assert len(audio.load_waveform(SHIPPED / "syn_en_meeting_a.opus")) / SAMPLE_RATE == pytest.approx(
        183.74, abs=0.01
    )


MEMORY = """
import resource, sys
from pathlib import Path
from pipeline import audio
from pipeline.recording import Recording
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
path, workdir = map(Path, sys.argv[1:])
audio.probe(path)
audio.load_waveform(path.with_suffix(".short.wav"))
before = peak()
recording = audio.open_recording(path, workdir=workdir)
print(recording.samples, peak() - before)
"""


def test_long_recordings_are_decoded_in_the_memory_of_short_ones(tmp_path, workdir):
    """Twenty minutes are 77 MB of samples; all that decoding may add is a few blocks."""
    minute = babble(60.0, 8000)
    media.wav(tmp_path / "a.short.wav", minute, 8000, kind="u1")
    media.wav(tmp_path / "a.wav", np.tile(minute, 20), 8000, kind="u1")
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "a.wav", workdir],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    samples, added = map(int, out.split())
    assert samples == 1200 * SAMPLE_RATE
    assert added < 20e6


def test_the_allowed_formats_are_names_that_ffmpeg_knows():
    from pipeline.media import FORMATS

    known = {name for names in av.formats_available for name in names.split(",")}
    assert set(FORMATS.split(",")) <= known
