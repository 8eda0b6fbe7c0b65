"""Batches, lanes, beams, samples and fallback on the toy model."""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np
import pytest

from pipeline.whisper_mlx.decoding import Beam, top_k
from pipeline.whisper_mlx.engine import Engine
from pipeline.whisper_mlx.language import language_probabilities
from pipeline.whisper_mlx.timestamp_rules import Rules
from pipeline.whisper_mlx.windows import Task, WindowText
from schemas.errors import StageFailed
from tests.pipeline.whisper_mlx.tiny import EOT, Judge, Windows, log_mels, tiny_model

WINDOWS = 5
ALWAYS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def decoded(engine: Engine, mels=None, **task) -> dict[int, WindowText]:
    """What an engine says, by window."""
    task = Task(**{"language": "en", "fallback": Judge(), **task})
    said = list(engine.run(Windows(log_mels(WINDOWS) if mels is None else mels), task))
    assert len({text.key for text in said}) == len(said)
    return {text.key: text for text in said}


def tokens(said: dict[int, WindowText]) -> dict[int, tuple[int, ...]]:
    return {key: text.tokens for key, text in said.items()}


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_batch_says_what_single_windows_say(model, beam_size: int, timestamps: bool) -> None:
    task = {"beam_size": beam_size, "timestamps": timestamps}
    singles = decoded(Engine(model, slots=1), **task)
    assert len({len(text.tokens) for text in singles.values()}) > 2, "windows should end at different steps"
    for slots, lanes in ((3, 1), (WINDOWS, 1), (4, 2)):
        batch = decoded(Engine(model, slots, lanes), **task)
        assert tokens(batch) == tokens(singles)
        for key, text in batch.items():
            assert text.avg_logprob == pytest.approx(singles[key].avg_logprob, abs=1e-4)
            assert text.no_speech_prob == pytest.approx(singles[key].no_speech_prob, abs=1e-5)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_gpus_kernels_say_what_a_cpus_say(model, beam_size: int) -> None:
    gpu = Engine(tiny_model("cuda"), 3, encode_batch=2)
    assert tokens(decoded(gpu, beam_size=beam_size)) == tokens(decoded(Engine(model, 3), beam_size=beam_size))


def test_samples_do_not_depend_on_the_rows_beside_them(model) -> None:
    task = {"fallback": Judge(temperatures=(0.7,)), "best_of": 2}
    singles = decoded(Engine(model, slots=1), **task)
    assert tokens(decoded(Engine(model, slots=4), **task)) == tokens(singles)
    assert tokens(singles) != tokens(decoded(Engine(model, slots=1)))


def test_log_probabilities_are_those_of_a_teacher_forced_pass(model) -> None:
    said = decoded(Engine(model, 3))[0]
    engine = Engine(model, 1)
    prompt = engine.tokens.prompt("en", "transcribe", True)
    rules = Rules(engine.tokens, model.kernels, (), timestamps=True)
    cross = model.cross_cache(engine.encode(log_mels(1)))
    hidden, _ = model.decoder.prefill(mx.array([[*prompt.tokens, *said.tokens]]), cross)
    rows = model.decoder.logits(hidden)[0, len(prompt.tokens) - 1 :]
    total, history = 0.0, None
    limit = model.dims.max_new_tokens
    for row, token in zip(rows, [*said.tokens, EOT][:limit], strict=False):
        row = row[None, None]
        masked = rules.first(row) if history is None else rules.next(row, history)
        chosen = mx.array([[token]])
        history = rules.begun(chosen) if history is None else rules.extended(history, chosen)
        assert mx.argmax(masked, axis=-1).item() == token
        total += (masked[0, 0, token] - mx.logsumexp(masked)).item()
    assert said.avg_logprob * (len(said.tokens) + 1) == pytest.approx(total, abs=1e-2)


@pytest.mark.parametrize("patience", [1.0, 2.0])
def test_beam_search_finds_what_a_plain_one_finds(model, patience: float) -> None:
    said = decoded(Engine(model, 2), beam_size=3, patience=patience, timestamps=False)
    engine = Engine(model, 1)
    for key, mel in enumerate(log_mels(3)):
        cross = model.cross_cache(engine.encode([mel]))
        assert said[key].tokens == plain_beam_search(engine, cross, width=3, wanted=round(3 * patience))


def plain_beam_search(engine: Engine, cross, width: int, wanted: int) -> tuple[int, ...]:
    """OpenAI's BeamSearchDecoder with lists, a whole pass through the decoder for every step."""
    model, prompt = engine.model, engine.tokens.prompt("en", "transcribe", False).tokens
    rules = Rules(engine.tokens, model.kernels, (), timestamps=False)
    beams, finished = [((), 0.0)], []
    for _ in range(model.dims.max_new_tokens):
        candidates = []
        for text, score in beams:
            hidden, _ = model.decoder.prefill(mx.array([[*prompt, *text]]), cross)
            logits = model.decoder.logits(hidden[:, -1])
            masked = rules.first(logits) if not text else rules.next(logits[None], None)[0]
            logprobs = np.array(masked - mx.logsumexp(masked))[0]
            best = np.argsort(-logprobs)[: width + 1]
            candidates += [((*text, int(token)), score + float(logprobs[token])) for token in best]
        candidates.sort(key=lambda candidate: -candidate[1])
        beams = []
        for text, score in candidates:
            if text[-1] != EOT:
                beams.append((text, score))
            elif len(finished) < wanted:
                finished.append((text[:-1], score))
            if len(beams) == width:
                break
        if len(finished) >= wanted:
            break
    finished += beams[: max(0, wanted - len(finished))]
    return max(finished, key=lambda found: found[1] / max(len(found[0]), 1))[0]


def test_the_k_largest_are_found_in_order() -> None:
    x = np.random.default_rng(0).standard_normal((3, 1_000)).astype(np.float32)
    index, values = top_k(mx.array(x), 10)
    expected = np.argsort(-x, axis=1)[:, :10]
    assert np.array_equal(np.array(index), expected)
    assert np.array_equal(np.array(values), np.take_along_axis(x, expected, axis=1))


def test_only_windows_that_fail_are_decoded_again(model) -> None:
    judge = Judge(ALWAYS, fails=lambda said: said.key == 2 and said.temperature < 0.5)
    said = decoded(Engine(model, 3), fallback=judge, best_of=1)
    assert {key: text.temperature for key, text in said.items()} == {
        **dict.fromkeys(range(WINDOWS), 0.0),
        2: 0.6,
    }
    assert tokens(decoded(Engine(model, 3), fallback=judge, best_of=5))[2] != said[2].tokens


def test_a_window_that_never_passes_is_answered_by_the_judges_best(model) -> None:
    judge = Judge(ALWAYS, fails=lambda said: True)
    said = decoded(Engine(model, 2), fallback=judge, best_of=1)
    assert {text.temperature for text in said.values()} == {1.0}


def test_windows_that_come_up_later_are_decoded_too(model) -> None:
    """What is found missing in one window goes back into the source as another."""
    mels = log_mels(3)
    source = Windows(mels[:1])
    later = Windows(mels).waiting[1:]
    said = []
    for text in Engine(model, 2, lanes=2).run(source, Task("en", Judge())):
        said.append(text.key)
        source.waiting += later
        later = []
    assert sorted(said) == [0, 1, 2]


def test_when_memory_runs_out_smaller_batches_go_on(model, monkeypatch) -> None:
    engine = Engine(model, slots=4)
    expected = tokens(decoded(Engine(model, slots=1)))
    encode = Engine.encode_keeping

    def scarce(self, *given):
        if self.slots > 2:
            raise RuntimeError("[malloc] Unable to allocate 1 bytes.")
        return encode(self, *given)

    monkeypatch.setattr(Engine, "encode_keeping", scarce)
    assert tokens(decoded(engine)) == expected
    assert engine.slots == 2


def test_a_window_that_does_not_fit_is_a_coded_error(model, monkeypatch) -> None:
    def nothing_left(self, *given):
        raise RuntimeError("cudaMallocAsync failed: out of memory")

    monkeypatch.setattr(Engine, "encode_keeping", nothing_left)
    with pytest.raises(StageFailed) as caught:
        decoded(Engine(model, slots=4))
    assert caught.value.code == "out_of_memory"


def test_other_errors_in_a_lane_are_raised(model, monkeypatch) -> None:
    def broken(self, *given):
        raise RuntimeError("something else")

    monkeypatch.setattr(Engine, "encode_keeping", broken)
    with pytest.raises(RuntimeError, match="something else"):
        decoded(Engine(model, slots=4, lanes=2))


def test_a_run_that_is_given_up_ends_its_lanes(model) -> None:
    run = Engine(model, 2, lanes=2).run(Windows(log_mels(40)), Task("en", Judge()))
    next(run)
    run.close()  # joins the lanes; hangs if one goes on for ever


def test_each_window_in_its_own_language(model) -> None:
    said = decoded(Engine(model, 3), sure_of_language=0.0)
    engine = Engine(model, 1)
    expected = language_probabilities(model, engine.tokens, engine.encode(log_mels(WINDOWS)))
    assert {k: text.language for k, text in said.items()} == {
        k: max(p, key=p.__getitem__) for k, p in enumerate(expected)
    }
    assert all(sum(p.values()) == pytest.approx(1, abs=1e-3) for p in expected)


def test_a_prompt_changes_the_text_and_its_length_does_not_matter(model) -> None:
    without = tokens(decoded(Engine(model, 3)))
    prompted = decoded(Engine(model, 3), before=tuple(range(300, 320)))
    assert tokens(prompted) != without
    assert tokens(decoded(Engine(model, 1), before=tuple(range(300, 320)))) == tokens(prompted)


class InOrder(Windows):
    """Two runs of windows, each read after the one before it."""

    def __init__(self, mels) -> None:
        super().__init__(mels)
        self.runs = [self.waiting[:3], self.waiting[3:]]
        self.waiting = [run.pop(0) for run in self.runs]
        self.told: dict[int, tuple[int, ...]] = {}

    def heard(self, key: int, tokens) -> None:
        run = self.runs[key // 3]
        if run:
            self.told[run[0].key] = before = tuple(t for t in tokens if t < EOT)
            self.waiting.append(dataclasses.replace(run.pop(0), before=before))


@pytest.mark.parametrize("lanes", [1, 2])
def test_windows_in_order_are_read_after_the_text_before_them(model, lanes: int) -> None:
    mels = log_mels(6)
    source = InOrder(mels)
    task = Task("en", Judge(), in_order=True)
    said = {t.key: t for t in Engine(model, 4, lanes, encode_batch=2).run(source, task)}
    assert sorted(said) == list(range(6))
    assert sorted(source.told) == [1, 2, 4, 5]
    for key, before in source.told.items():
        assert before == tuple(t for t in said[key - 1].tokens if t < EOT)
        alone = decoded(Engine(model, 1), [mels[key]], before=before)
        assert alone[0].tokens == said[key].tokens


def test_a_window_that_fails_hands_nothing_on(model) -> None:
    source = InOrder(log_mels(6))
    judge = Judge((0.0, 1.0), fails=lambda said: said.key == 0 and said.temperature == 0)
    list(Engine(model, 4).run(source, Task("en", judge, in_order=True, best_of=1)))
    assert source.told[1] == ()
    assert source.told[2]


def test_suppressed_tokens_are_never_sampled(model) -> None:
    plain = decoded(Engine(model, 3), timestamps=False)
    common = plain[0].tokens[0]
    said = decoded(Engine(model, 3), timestamps=False, suppressed=(common,))
    assert all(common not in text.tokens for text in said.values())


def test_beams_of_one_step_differ(model) -> None:
    choice = Beam(model.kernels, EOT, 3).choose(mx.random.normal((2, 1, 51_865)), mx.zeros((2, 1)))
    assert all(len(set(row)) == 3 for row in choice.tokens.tolist())
    assert choice.parents.tolist() == [[0, 0, 0]] * 2
