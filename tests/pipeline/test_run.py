"""The stages in order, the cache, resuming, falling back: wiring, with the model-free backends."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline import align, backends, diarize, stages, transcribe, transcribe_diarized
from pipeline.asr import ChunkText, echo
from pipeline.cache import Cache
from pipeline.diarize import one_speaker
from pipeline.plan import Choice
from pipeline.pool import ModelPool
from pipeline.run import run
from schemas.errors import InvalidArgument, InvalidTranscript, JobError, StageFailed
from schemas.jobs import FileIdentity, JobRequest
from schemas.options import Options
from schemas.transcript import Transcript
from schemas.voices import Voice

CLIP = Path(__file__).parents[1] / "data" / "syn_es_meeting.flac"
MODEL_FREE = {
    "vad_method": "energy",
    "backend": "echo",
    "align_backend": "even",
    "diarize_backend": "one_speaker",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def request(operation="transcribe_diarized", path=CLIP, **options):
    return JobRequest(operation=operation, path=str(path), options=Options.from_flat(**MODEL_FREE, **options))


def do(asked, **more):
    return run(asked, pool=ModelPool(), cache=Cache(), **more)


def test_every_stage_reports_and_every_word_has_a_time_and_a_speaker():
    result = transcribe_diarized(CLIP, **MODEL_FREE)
    assert {name: report.backend for name, report in result.stages.items()} == {
        "audio": "pyav",
        "vad": "energy",
        "asr": "echo",
        "align": "even",
        "diarize": "one_speaker",
    }
    assert result.segments
    assert [segment.id for segment in result.segments] == list(range(len(result.segments)))
    for word in result.words:
        assert word.start is not None
        assert word.speaker == "SPEAKER_00"
    assert result.media.duration_s == pytest.approx(37.08, abs=0.05)
    assert Transcript.model_validate_json(result.model_dump_json()) == result


def test_asking_again_decodes_nothing_and_loads_nothing(monkeypatch):
    first = do(request())
    monkeypatch.setattr(backends, "load", lambda *_: pytest.fail("a backend was loaded"))
    monkeypatch.setattr("pipeline.audio.open_recording", lambda *_, **__: pytest.fail("the file was decoded"))
    second = do(request())
    assert second.segments == first.segments
    assert all(report.cached for report in second.stages.values())


def test_force_does_the_work_again():
    do(request())
    again = do(request(force=True))
    assert not any(report.cached for name, report in again.stages.items() if name != "audio")


def test_another_number_of_speakers_redoes_diarization_only():
    do(request())
    again = do(request(max_speakers=2))
    assert {name for name, report in again.stages.items() if not report.cached} == {"diarize"}


def test_a_changed_file_is_decoded_again(tmp_path):
    copy = tmp_path / "meeting.flac"
    copy.write_bytes(CLIP.read_bytes())
    first = do(request(path=copy))
    copy.write_bytes((CLIP.parent / "syn_en_flite_words.flac").read_bytes())
    assert do(request(path=copy)).media.sha256 != first.media.sha256


def test_a_file_swapped_in_under_the_checked_name_is_refused(tmp_path):
    copy = tmp_path / "meeting.flac"
    copy.write_bytes(CLIP.read_bytes())
    do(request(path=copy))
    asked = request(path=copy).model_copy(update={"identity": FileIdentity(device=1, inode=1)})
    with pytest.raises(Exception, match="replaced") as error:
        do(asked)
    assert error.value.code == "file_changed"


def test_cancelling_raises_and_the_next_run_goes_on_behind_the_finished_chunks(monkeypatch):
    seen = []

    def cancel_after_the_first_chunk(stage, fraction, text):
        if stage == "asr" and text:
            raise JobError("cancelled", code="job_cancelled")

    options = {"chunk_size": 5.0}
    with pytest.raises(JobError):
        do(request(**options), report=cancel_after_the_first_chunk)

    decode = echo.Echo.transcribe

    def counting(self, recording, chunks, language):
        seen.append([index for index, _ in chunks])
        return decode(self, recording, chunks, language)

    monkeypatch.setattr(echo.Echo, "transcribe", counting)
    resumed = do(request(**options))
    whole = do(request(force=True, **options))
    behind, all_of_them = seen
    assert behind == all_of_them[1:]
    assert len(behind) > 1
    assert resumed.segments == whole.segments


def test_progress_never_falls_and_ends_at_one():
    fractions = []
    do(request(), report=lambda _stage, fraction, _text: fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_times_of_a_window_are_those_of_the_whole_recording():
    part = do(request(start_s=10.0, end_s=25.0))
    assert part.media.duration_s == pytest.approx(15.0, abs=0.01)
    assert all(10.0 <= s.start < s.end <= 25.01 for s in part.segments)
    assert all(10.0 <= w.start <= w.end <= 25.01 for w in part.words)
    assert all(10.0 <= turn.start < turn.end <= 25.01 for turn in part.turns)


def test_silence_is_an_empty_transcript_with_a_warning():
    result = transcribe(np.zeros(5 * 16_000, np.float32), **{**MODEL_FREE})
    assert result.segments == ()
    assert "no_speech" in {warning.code for warning in result.warnings}


def test_samples_from_memory_need_no_path():
    rng = np.random.default_rng(0)
    result = transcribe(rng.standard_normal(32_000).astype(np.float32) * 0.1, **MODEL_FREE)
    assert result.media.path is None
    assert result.stages["audio"].backend == "samples"


def test_align_takes_whisperx_dictionaries_and_lists():
    said = [{"start": 0.5, "end": 3.0, "text": " Buenos días, Javier."}]
    for given in (said, {"segments": said, "language": "es"}):
        aligned = align(CLIP, given, align_backend="even")
        assert [w.word for w in aligned.words] == ["Buenos", "días,", "Javier."]
        assert all(0.5 <= w.start < w.end <= 3.0 for w in aligned.words)


def test_align_without_a_transcript_is_an_error():
    with pytest.raises(InvalidTranscript):
        do(request("align"))


def test_diarize_alone_gives_turns():
    found = diarize(CLIP, diarize_backend="one_speaker")
    assert found.speakers == ("SPEAKER_00",)
    assert found.turns
    assert found.exclusive_turns


def test_a_transcript_diarized_later_keeps_its_text(tmp_path):
    said = do(request("transcribe"))
    path = tmp_path / "said.json"
    path.write_text(said.model_dump_json())
    asked = request("diarize").model_copy(update={"transcript_path": str(path)})
    named = do(asked)
    assert named.text == said.text
    assert all(segment.speaker == "SPEAKER_00" for segment in named.segments)


@pytest.mark.parametrize("start_s", [0.0, 3.7])
def test_diarizing_again_leaves_every_word_and_time_as_it_was(tmp_path, start_s):
    """Also with a window: what lies before it keeps its text and is nobody's, and times do not drift."""

    def bare(transcript):
        plain = {"speaker": None, "speaker_score": None, "overlap": None}
        words = [word.model_copy(update=plain) for word in transcript.words]
        return [word.model_dump_json() for word in words], "".join(transcript.text.split())

    said = do(request("transcribe_diarized"))
    assert said.words[0].end < 3.7
    path = tmp_path / "said.json"
    path.write_text(said.model_dump_json())
    asked = request("diarize", start_s=start_s).model_copy(update={"transcript_path": str(path)})
    again = do(asked)
    assert bare(again) == bare(said)
    assert again.segments[0].start == said.segments[0].start
    assert again.segments[-1].end == said.segments[-1].end
    assert min(turn.start for turn in again.turns) >= start_s
    early = [word.speaker for word in again.words if word.end is not None and word.end < start_s - 1]
    assert set(early) <= {None}


def test_importing_a_room_leaves_the_function_of_its_name():
    import pipeline
    import pipeline.align
    import pipeline.diarize

    assert callable(pipeline.align)
    assert callable(pipeline.diarize)


def test_misspelt_options_name_the_right_spelling():
    with pytest.raises(InvalidArgument) as error:
        transcribe(CLIP, numspeakers=3)
    assert "num_speakers" in error.value.hint


class Broken:
    """A loaded backend that fails at work."""

    model = revision = None
    device = "cpu"

    def transcribe(self, recording, chunks, language):
        yield ChunkText(chunks[0][0], ())
        raise RuntimeError("the device is on fire")

    def detect_language(self, recording, chunks):
        return {"en": 1.0}


def plan_with(monkeypatch, **rooms):
    from pipeline import run as module

    real = module.plan

    def planned(machine, options):
        from dataclasses import replace

        return replace(real(machine, options), **rooms)

    monkeypatch.setattr(module, "plan", planned)


def test_a_failing_backend_gives_way_with_a_warning(monkeypatch):
    real = backends.load
    monkeypatch.setattr(
        backends,
        "load",
        lambda room, choice, o: Broken() if choice.device == "cuda" else real(room, choice, o),
    )
    plan_with(monkeypatch, asr=(Choice("echo", "cuda"), Choice("echo", "cpu")))
    result = do(request())
    assert result.stages["asr"].device == "cpu"
    (warning,) = [w for w in result.warnings if w.code == "backend_fallback"]
    assert "echo on cuda" in warning.message
    assert "on fire" in warning.message


def test_a_required_backend_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(backends, "load", lambda *_: Broken())
    plan_with(monkeypatch, asr=(Choice("echo", required=True),))
    with pytest.raises(StageFailed) as error:
        do(request())
    assert error.value.code == "stage_failed"
    assert error.value.hint


def test_running_out_of_memory_has_its_own_code(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(backends, "load", full)
    with pytest.raises(StageFailed) as error:
        do(request())
    assert error.value.code == "out_of_memory"


def test_failed_diarization_never_loses_the_text(monkeypatch):
    plan_with(monkeypatch, diarize=())
    asked = request()
    options = asked.options.model_copy(
        update={"diarize": asked.options.diarize.model_copy(update={"diarize_backend": "auto"})}
    )
    result = do(asked.model_copy(update={"options": options}))
    assert result.segments
    assert result.turns == ()
    assert "stage_skipped" in {warning.code for warning in result.warnings}


def test_decoded_samples_are_gone_afterwards(own_cache):
    do(request())
    assert list((own_cache / "work").iterdir()) == []


def test_samples_of_a_crashed_run_are_removed_by_the_next(own_cache):
    left = own_cache / "work" / "999999999-abc"
    left.mkdir(parents=True)
    (left / "x.pcm").write_bytes(b"secret")
    do(request())
    assert not left.exists()


def test_results_that_nobody_asked_for_in_a_long_time_go_with_the_next_run(own_cache):
    do(request())
    old, fresh = sorted((own_cache / "stages").glob("asr-*")), sorted((own_cache / "stages").glob("vad-*"))
    os.utime(old[0], (0, 0))
    do(request(path=CLIP.parent / "syn_en_flite_words.flac"))
    assert not old[0].exists() and fresh[0].exists()


def test_the_cache_holds_no_path_of_the_recording(own_cache):
    do(request())
    for file in (own_cache / "stages").iterdir():
        assert str(CLIP) not in json.dumps(json.loads(file.read_text()))


def test_voices_as_numbers_are_kept_on_disk_only_where_they_were_asked_for(own_cache, monkeypatch):
    plain = one_speaker.OneSpeaker.diarize
    voice = Voice(speaker="SPEAKER_00", speech_s=9.0, clean_s=9.0, embedding=(0.125, 0.25))

    def heard(*given):
        return plain(*given).model_copy(update={"voices": (voice,), "embedding_model": "m@1"})

    def kept():
        return [file for file in (own_cache / "stages").glob("diarize-*") if "0.125" in file.read_text()]

    monkeypatch.setattr(one_speaker.OneSpeaker, "diarize", heard)
    bare = do(request())
    assert bare.speaker_embeddings is None and kept() == []
    assert do(request()).stages["diarize"].cached
    asked = do(request(speaker_embeddings=True))
    assert asked.speaker_embeddings == {"SPEAKER_00": (0.125, 0.25)}
    assert not asked.stages["diarize"].cached and len(kept()) == 1
    again = do(request(speaker_embeddings=True))
    assert again.speaker_embeddings == asked.speaker_embeddings and again.stages["diarize"].cached
    assert do(request()).stages["diarize"].cached


def test_stage_constants_are_declared_by_every_backend():
    for room in backends.ROOMS:
        for name in backends.available(room):
            module = backends.module(room, name)
            assert isinstance(module.REQUIRES, tuple), name
            assert set(module.DEVICES) <= {"cpu", "cuda", "mps", "metal"}, name
            assert isinstance(module.VERSION, int), name
            assert hasattr(module, "weights") or hasattr(module, "MODEL_KIND"), name
            assert callable(module.load), name
    assert stages.LANGUAGE_UNCERTAIN < 1
