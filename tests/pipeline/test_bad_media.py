"""What bad input gets: a coded error with a cause and a next step, or the sound that can be saved and a warning.

Made on the spot, so that a stranger's checkout covers each behaviour; the folder of real recordings, where it is
there, adds its own broken files.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

import media
import numpy as np
import pytest
from media import Track, babble
from recordings import WHY_ABSENT, entries, shared_folder

from pipeline import audio
from pipeline import media as opening
from pipeline.recording import SAMPLE_RATE
from schemas.errors import FileNotReadable, JobError, MediaError, TranscriptionError
from schemas.jobs import FileIdentity

SOUND = babble(4.0)


@pytest.fixture
def workdir(tmp_path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def refused(path: Path | str, workdir: Path, **options) -> FileNotReadable | MediaError:
    """The error that decoding and probing both give, with a next step and nothing left behind."""
    with pytest.raises((FileNotReadable, MediaError)) as decoding:
        audio.open_recording(path, workdir=workdir, **options)
    with pytest.raises((FileNotReadable, MediaError)) as probing:
        audio.probe(path, **options)
    assert decoding.value.to_dict() == probing.value.to_dict()
    assert decoding.value.message and decoding.value.hint
    assert not list(workdir.iterdir())
    return decoding.value


def mp4(folder: Path, **video) -> Path:
    return media.encode(folder / "whole.mp4", Track(SOUND, codec="aac"), **video)


def without_sound(folder: Path) -> Path:
    return media.encode(folder / "video.mp4", video_s=2.0)


def flac_header(folder: Path) -> Path:
    return media.cut(
        folder / "cut.flac", media.encode(folder / "a.flac", Track(SOUND, codec="flac")), share=0.0005
    )


def undecodable_flac(folder: Path) -> Path:
    """Every frame is damaged: FFmpeg gives nothing and reports nothing."""
    whole = media.encode(folder / "a.flac", Track(SOUND, codec="flac")).read_bytes()
    head = whole.index(b"\xff\xf8", 40)
    (folder / "b.flac").write_bytes(whole[:head] + bytes(b ^ 0x55 for b in whole[head:]))
    return folder / "b.flac"


def written(folder: Path, content: bytes, name: str = "a.wav") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


NOISE = np.random.default_rng(0).bytes(50_000)
BROKEN = {
    "empty file": (lambda f: written(f, b""), "empty_audio"),
    "text": (lambda f: written(f, b"The quick brown fox.\n" * 200), "not_media"),
    "random bytes": (lambda f: written(f, NOISE), "not_media"),
    "zeros": (lambda f: written(f, bytes(50_000)), "not_media"),
    "one byte": (lambda f: written(f, b"R"), "not_media"),
    "a web page named like a recording": (
        lambda f: written(f, b"<!DOCTYPE html><html><body>404</body></html>", "a.mp3"),
        "not_media",
    ),
    "picture": (
        lambda f: written(f, b"\x89PNG\r\n\x1a\n" + NOISE, "a.png"),
        "not_media",
    ),
    "subtitles": (
        lambda f: written(f, b"1\n00:00:00,000 --> 00:00:02,000\nHello\n\n", "a.srt"),
        "not_media",
    ),
    "ZIP archive": (lambda f: written(f, b"PK\x03\x04" + NOISE, "a.zip"), "not_media"),
    "WAV header alone": (
        lambda f: media.cut(f / "b.wav", media.wav(f / "a.wav", SOUND), 0.0002),
        "truncated_media",
    ),
    "WAV without samples": (lambda f: media.wav(f / "a.wav", np.zeros(0)), "empty_audio"),
    "WAV with no channels": (lambda f: media.wav(f / "a.wav", SOUND, channels=0), "truncated_media"),
    "WAV with 255 channels": (lambda f: media.wav(f / "a.wav", SOUND, channels=255), "not_media"),
    "WAV at 1 Hz": (lambda f: media.wav(f / "a.wav", SOUND, header_rate=1), "not_media"),
    "WAV at 2 GHz": (lambda f: media.wav(f / "a.wav", SOUND, header_rate=2_000_000_000), "not_media"),
    "WAV at 0 Hz": (lambda f: media.wav(f / "a.wav", SOUND, header_rate=0), "truncated_media"),
    "FLAC that breaks off": (flac_header, "truncated_media"),
    "FLAC without a whole frame": (undecodable_flac, "truncated_media"),
    "MP4 without its index": (lambda f: media.cut(f / "b.mp4", mp4(f), 0.6), "truncated_media"),
    "MKV that breaks off": (
        lambda f: media.cut(f / "b.mkv", media.encode(f / "a.mkv", Track(SOUND, codec="flac")), 0.002),
        "truncated_media",
    ),
    "video without sound": (without_sound, "no_audio_stream"),
    "FairPlay": (lambda f: media.fairplay(f / "a.m4p", SOUND), "protected_media"),
    "Common Encryption": (lambda f: media.common_encryption(f / "a.m4a", SOUND), "protected_media"),
    "Windows Media DRM": (lambda f: media.windows_media_drm(f / "a.wma", SOUND), "protected_media"),
    "encrypted WebM": (lambda f: media.encrypted_webm(f / "a.webm", SOUND), "protected_media"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_read_is_a_coded_error(what, tmp_path, workdir):
    make, code = BROKEN[what]
    assert refused(make(tmp_path), workdir).code == code


class TestFiles:
    def test_missing(self, tmp_path, workdir):
        assert refused(tmp_path / "absent.wav", workdir).code == "file_not_found"

    @pytest.mark.parametrize("name", ["a\0b.wav", "x" * 5000, "a.wav/b.wav", ""])
    def test_names_that_no_file_can_have(self, name, tmp_path, workdir):
        media.wav(tmp_path / "a.wav", SOUND)
        path = f"{tmp_path}/{name}" if name else ""
        assert refused(path, workdir).code == "file_not_found"

    def test_links_are_not_fetched(self, workdir):
        error = refused("https://example.org/a.mp3", workdir)
        assert error.code == "file_not_found" and "download" in error.hint

    def test_folder(self, tmp_path, workdir):
        assert refused(tmp_path, workdir).code == "not_a_file"

    def test_a_pipe_is_refused_without_waiting_for_its_other_end(self, tmp_path, workdir):
        os.mkfifo(tmp_path / "pipe.wav")
        assert refused(tmp_path / "pipe.wav", workdir).code == "not_a_file"

    def test_device(self, workdir):
        assert refused("/dev/zero", workdir).code == "not_a_file"

    def test_socket(self, tmp_path, workdir, monkeypatch):
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s.wav")
            assert refused(tmp_path / "s.wav", workdir).code == "not_a_file"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_forbidden(self, tmp_path, workdir):
        media.wav(tmp_path / "a.wav", SOUND).chmod(0)
        assert refused(tmp_path / "a.wav", workdir).code == "access_denied"

    def test_forbidden_by_the_system(self, tmp_path, workdir, monkeypatch):
        """As macOS does for folders that the program was not given."""

        def forbid(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(opening.os, "open", forbid)
        path = media.wav(tmp_path / "a.wav", SOUND)
        with pytest.raises(FileNotReadable) as error:
            audio.probe(path)
        assert error.value.code == "access_denied"

    def test_a_disk_that_fails_half_way(self, tmp_path, workdir, monkeypatch):
        class Failing(opening._Source):
            def read(self, count):
                if self.tell() > 1_000_000:
                    raise OSError(5, "Input/output error")
                return super().read(count)

        monkeypatch.setattr(opening, "_Source", Failing)
        path = media.wav(tmp_path / "a.wav", babble(60.0))
        with pytest.raises(FileNotReadable, match="Input/output error") as error:
            audio.open_recording(path, workdir=workdir)
        assert error.value.code == "file_unreadable" and not list(workdir.iterdir())

    @pytest.mark.parametrize(
        "name",
        [
            "-leading-dash.wav",
            "--version",
            "weird näme – 会議 (1) 'q' $HOME;&.wav",
            'quote " back \\ slash.wav',
            "line\nbreak.wav",
            "%03d.png",
            "concat:a|b",
            "subfile,,start,0,end,0,,:a",
            "pipe:0",
            "e\u0301.wav",
            " .wav ",
            "no_extension",
            "liar.mp3",
            "playlist.m3u8",
        ],
    )
    def test_names_mean_nothing(self, name, tmp_path, workdir, monkeypatch):
        path = media.wav(tmp_path / name, SOUND)
        assert audio.open_recording(path, workdir=workdir).duration_s == 4.0
        monkeypatch.chdir(tmp_path)
        assert audio.open_recording(name, workdir=workdir).duration_s == 4.0

    def test_links_to_files_are_followed_where_no_identity_was_checked(self, tmp_path, workdir):
        media.wav(tmp_path / "a.wav", SOUND)
        (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
        assert audio.open_recording(tmp_path / "link.wav", workdir=workdir).duration_s == 4.0


class TestIdentity:
    def identity(self, path: Path) -> FileIdentity:
        return FileIdentity(device=path.stat().st_dev, inode=path.stat().st_ino)

    def test_the_checked_file_is_read(self, tmp_path, workdir):
        path = media.wav(tmp_path / "a.wav", SOUND)
        recording = audio.open_recording(path, workdir=workdir, identity=self.identity(path))
        assert recording.duration_s == 4.0

    def test_another_file_under_its_name_is_refused(self, tmp_path, workdir):
        path = media.wav(tmp_path / "a.wav", SOUND)
        checked = self.identity(path)
        media.wav(tmp_path / "b.wav", SOUND).replace(path)
        assert refused(path, workdir, identity=checked).code == "file_changed"

    def test_a_link_that_was_swapped_in_is_refused_even_to_the_same_file(self, tmp_path, workdir):
        path = media.wav(tmp_path / "a.wav", SOUND)
        checked = self.identity(path)
        path.rename(tmp_path / "b.wav")
        path.symlink_to(tmp_path / "b.wav")
        assert refused(path, workdir, identity=checked).code == "file_changed"


class TestPointers:
    """A file that only names others leads nowhere: not to this machine's files, not to the network."""

    @pytest.fixture
    def calls(self):
        """A listener on a free port, and what it was asked."""
        seen = []
        with socket.create_server(("127.0.0.1", 0)) as server:

            def listen():
                while True:
                    try:
                        connection, _ = server.accept()
                    except OSError:
                        return
                    with connection:
                        seen.append(connection.recv(100))

            threading.Thread(target=listen, daemon=True).start()
            yield server.getsockname()[1], seen

    @pytest.fixture
    def opened(self):
        """Files that Python opened."""
        seen, active = [], [True]
        sys.addaudithook(
            lambda event, args: seen.append(str(args[0])) if event == "open" and active else None
        )
        yield seen
        active.clear()

    def test_every_pointer_is_an_error_and_opens_nothing(self, tmp_path, workdir, calls, opened):
        port, seen = calls
        target = media.wav(tmp_path / "target.wav", SOUND)
        paths = media.pointers(tmp_path, target, port)
        opened.clear()
        for path in paths:
            error = refused(path, workdir)
            assert error.code == "not_media", path.name
        assert seen == []
        assert str(target) not in opened

    @pytest.mark.parametrize("formats", ["concat", "concat,wav", "hls,wav", "sdp"])
    def test_without_the_list_of_formats_the_protocols_still_stop_it(
        self, formats, tmp_path, workdir, calls, monkeypatch
    ):
        """Each of the guards holds by itself."""
        port, seen = calls
        target = media.wav(tmp_path / "target.wav", SOUND)
        monkeypatch.setattr(opening, "FORMATS", formats)
        monkeypatch.setattr(opening, "_TEXTS", {})
        for path in media.pointers(tmp_path, target, port):
            with pytest.raises(MediaError):
                audio.open_recording(path, workdir=workdir)
        assert seen == []

    def test_without_looking_inside_the_list_of_formats_still_stops_it(
        self, tmp_path, workdir, calls, monkeypatch
    ):
        port, seen = calls
        target = media.wav(tmp_path / "target.wav", SOUND)
        monkeypatch.setattr(opening, "_TEXTS", {})
        monkeypatch.setattr(opening, "_PROTOCOLS", "file,http,tcp,udp,rtp")
        monkeypatch.setattr(opening, "_refuse_other_files", None)
        for path in media.pointers(tmp_path, target, port):
            with pytest.raises(MediaError):
                audio.open_recording(path, workdir=workdir)
        assert seen == []


class TestSaved:
    """Damage costs what was damaged, not the rest, and is said."""

    def test_a_damaged_mp3_is_read_to_its_end(self, tmp_path, workdir):
        whole = media.encode(tmp_path / "a.mp3", Track(babble(30.0), codec="libmp3lame"))
        recording = audio.open_recording(media.damaged(tmp_path / "b.mp3", whole, every=400), workdir=workdir)
        assert recording.duration_s > 25
        (warning,) = recording.warnings
        assert warning.code == "media_damaged" and warning.count > 3

    @pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.mka", "flac"), ("a.ogg", "libopus")])
    def test_damage_leaves_the_rest_in_its_place(self, name, codec, tmp_path, workdir):
        rate = 48000 if codec == "libopus" else SAMPLE_RATE
        sound = babble(30.0, rate)
        whole = media.encode(tmp_path / name, Track(sound, rate, codec))
        damaged = media.damaged(tmp_path / f"damaged-{name}", whole, every=40_000)
        recording = audio.open_recording(damaged, workdir=workdir)
        wanted = audio.load_waveform(whole)
        assert recording.duration_s == pytest.approx(30.0, abs=0.2)
        same = np.abs(recording.read(0, len(wanted))[: 29 * SAMPLE_RATE] - wanted[: 29 * SAMPLE_RATE]) < 1e-3
        assert same.mean() > 0.6

    @pytest.mark.parametrize(
        ("name", "codec"),
        [("a.wav", "pcm_s16le"), ("a.mp3", "libmp3lame"), ("a.mka", "flac"), ("a.flac", "flac")],
    )
    def test_a_file_that_breaks_off_gives_what_there_is_and_says_so(self, name, codec, tmp_path, workdir):
        whole = media.encode(tmp_path / name, Track(babble(30.0), codec=codec))
        recording = audio.open_recording(media.cut(tmp_path / f"cut-{name}", whole, 0.5), workdir=workdir)
        assert 12 < recording.duration_s < 18
        assert [w.code for w in recording.warnings] == ["media_damaged"]

    def test_a_broken_second_part_of_another_codec_is_said(self, tmp_path, workdir):
        opus = media.encode(tmp_path / "a.ogg", Track(babble(3.0, 48000), 48000, "libopus"))
        flac = media.encode(tmp_path / "b.oga", Track(SOUND, codec="flac"))
        recording = audio.open_recording(media.joined(tmp_path / "c.ogg", [opus, flac]), workdir=workdir)
        assert recording.duration_s >= 2.9
        assert [w.code for w in recording.warnings] == ["media_damaged"]

    @pytest.mark.parametrize("count", [1, 2, 160])
    def test_a_moment_of_sound_is_a_recording(self, count, tmp_path, workdir):
        path = media.wav(tmp_path / "a.wav", SOUND[:count])
        try:
            assert audio.open_recording(path, workdir=workdir).samples == count
        except MediaError as error:  # FFmpeg gives nothing for a single sample
            assert count == 1 and error.code == "empty_audio"

    def test_tags_in_any_encoding_are_not_in_the_way(self, tmp_path, workdir):
        title = b"TIT2" + (20).to_bytes(4, "big") + b"\0\0\x03" + b"\xff\xfe\xe9 not UTF-8 at all"[:19]
        tag = b"ID3\x03\0\0" + bytes([0, 0, 0, len(title)]) + title
        plain = media.encode(tmp_path / "a.mp3", Track(SOUND, codec="libmp3lame")).read_bytes()
        path = written(tmp_path, tag + plain[plain.index(b"\xff\xf3") :], "b.mp3")
        assert audio.open_recording(path, workdir=workdir).duration_s == pytest.approx(4.0, abs=0.1)


MANGLED = {
    "a.wav": ("pcm_s16le", SAMPLE_RATE),
    "a.m4a": ("aac", SAMPLE_RATE),
    "a.ogg": ("libopus", 48000),
    "a.webm": ("libopus", 48000),
    "a.flv": ("aac", 44100),
    "a.ts": ("aac", 48000),
}


@pytest.mark.parametrize("name", MANGLED)
def test_whatever_is_mangled_gives_sound_or_a_coded_error(name, tmp_path, workdir):
    codec, rate = MANGLED[name]
    whole = media.encode(tmp_path / name, Track(babble(1.0, rate), rate, codec)).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        mangled = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, rng.choice([64, 400, len(whole)]), rng.integers(1, 12))
        mangled[places] = rng.integers(0, 256, len(places))
        (tmp_path / "mangled").write_bytes(mangled.tobytes())
        try:
            recording = audio.open_recording(tmp_path / "mangled", workdir=workdir)
        except TranscriptionError:
            assert not list(workdir.iterdir())
            continue
        sound = recording.read(0, recording.samples)
        assert np.isfinite(sound).all() and np.abs(sound).max(initial=0) <= 1
        recording.pcm.unlink()


def test_a_huge_file_without_a_beginning_is_not_searched_to_its_end(tmp_path, workdir, monkeypatch):
    """A file laid out for a recording that never came: four gigabytes of zeros behind a header."""
    monkeypatch.setattr(opening, "_MOST_BYTES_TO_OPEN", 16 << 20)
    path = written(tmp_path, b"FLV\x01\x05\0\0\0\x09", "a.flv")
    os.truncate(path, 1 << 32)
    assert refused(path, workdir).code == "truncated_media"


def test_searching_for_sound_can_be_stopped(tmp_path, workdir):
    """Between the first second and the zeros behind it no block of sound comes, yet progress is asked."""
    path = media.encode(tmp_path / "a.mp3", Track(babble(1.0), codec="libmp3lame"))
    os.truncate(path, 1 << 30)
    reads = []

    def stop(_fraction):
        reads.append(1)
        if len(reads) > 20:
            raise JobError("stopped", code="job_cancelled")

    with pytest.raises(JobError):
        audio.open_recording(path, workdir=workdir, progress=stop)


HARD = list(entries(shared_folder(), "hard"))


@pytest.mark.skipif(not HARD, reason=WHY_ABSENT)
@pytest.mark.parametrize("entry", HARD, ids=[entry["id"] for entry in HARD])
def test_the_hard_recordings_decode_or_say_why_not(entry, shared_audio, workdir):
    """``expect: error`` means an error, or noise where a crafted header makes raw bytes of the sound."""
    try:
        recording = audio.open_recording(shared_audio / entry["file"], workdir=workdir)
    except MediaError as error:
        assert entry["expect"] in ("error", "degenerate")
        assert error.hint and not list(workdir.iterdir())
        return
    assert entry["expect"] != "error" or entry["codec"] is not None
    sound = recording.read(0, recording.samples)
    assert np.isfinite(sound).all() and np.abs(sound).max() <= 1
    if entry["expect"] not in ("error", "degenerate", "speech_damaged", "speech_partial"):
        assert recording.duration_s == pytest.approx(entry["duration"], abs=0.1)
    if entry["id"] == "hard:bitflips.mp3":
        assert recording.duration_s > 9.5
        assert [w.code for w in recording.warnings] == ["media_damaged"]
