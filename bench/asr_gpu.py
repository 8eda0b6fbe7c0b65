"""The engine on a GPU: throughput at the true shapes of large models, what limits it, and torch beside it.

    python bench/asr_gpu.py [--shapes large-v3-turbo large-v3] [--seconds 240]

It makes random weights in float16 and decodes a fixed number of tokens: it needs neither network nor weights.
Sections begin only while the seconds last. Needs: mlx for this GPU, mlx-whisper (tokenizer, mel filters),
tiktoken, scipy, pydantic; torch and transformers for the comparison; torch also for the list of kernels.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import mlx.core as mx  # noqa: E402

from pipeline import mlx_runtime  # noqa: E402
from pipeline.whisper_mlx.batch import Batch, Job  # noqa: E402
from pipeline.whisper_mlx.config import Dims, ModelConfig  # noqa: E402
from pipeline.whisper_mlx.decoding import Beam, Greedy  # noqa: E402
from pipeline.whisper_mlx.engine import Engine  # noqa: E402
from pipeline.whisper_mlx.kv_cache import CrossCache, SelfCache, TracedCache  # noqa: E402
from pipeline.whisper_mlx.layers import split_heads  # noqa: E402
from pipeline.whisper_mlx.model import Model  # noqa: E402
from pipeline.whisper_mlx.timestamp_rules import Rules  # noqa: E402
from pipeline.whisper_mlx.tokens import Tokens  # noqa: E402
from pipeline.whisper_mlx.weights import expected_shapes  # noqa: E402
from pipeline.whisper_mlx.windows import Task, Window, WindowText  # noqa: E402

SHAPES = {
    "tiny": Dims(80, 1500, 384, 6, 4, 51_865, 448, 384, 6, 4),
    "base": Dims(80, 1500, 512, 8, 6, 51_865, 448, 512, 8, 6),
    "small": Dims(80, 1500, 768, 12, 12, 51_865, 448, 768, 12, 12),
    "large-v3": Dims(128, 1500, 1280, 20, 32, 51_866, 448, 1280, 20, 32),
    "large-v3-turbo": Dims(128, 1500, 1280, 20, 32, 51_866, 448, 1280, 20, 4),
}
TOKENS = 100
BATCHES = (1, 4, 8, 16, 32)
WINDOW_S = 30.0


class Unfailing:
    """A fallback that takes every answer."""

    temperatures = (0.0,)

    def fails(self, said: WindowText) -> bool:
        return False

    def best(self, tried):
        return tried[-1]


class Repeated:
    """The same spectrograms, over and over, as a source of windows."""

    def __init__(self, log_mels: list[np.ndarray], count: int) -> None:
        mels = itertools.islice(itertools.cycle(log_mels), count)
        self.waiting = [Window(key, lambda mel=mel: mel) for key, mel in enumerate(mels)]

    def take(self, count: int) -> list[Window]:
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def heard(self, key: int, tokens: Sequence[int]) -> None:
        """Nothing follows from what was said."""


def main() -> None:
    """Print the tables."""
    asked = arguments()
    device = "cpu" if asked.cpu else ("metal" if sys.platform == "darwin" else "cuda")
    mlx_runtime.use_device(device)
    print(f"MLX {mx.__version__} on {mx.device_info()}", flush=True)
    until = time.monotonic() + asked.seconds
    for name in asked.shapes:
        model = random_model(SHAPES[name], device, "float32" if asked.cpu else "float16")
        print(f"\n## {name}, random weights\n", flush=True)
        for section in (
            encoder_table,
            encoder_parts,
            encoder_kernels,
            step_table,
            step_parts,
            step_kernels,
            window_table,
            checking_table,
        ):
            if time.monotonic() < until:
                section(model, asked)
        del model
        mx.clear_cache()
        if time.monotonic() < until and not asked.no_torch:
            torch_table(SHAPES[name])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=["large-v3-turbo", "large-v3"])
    parser.add_argument("--batches", nargs="*", type=int, default=BATCHES)
    parser.add_argument("--seconds", type=float, default=240, help="no section begins later")
    parser.add_argument("--cpu", action="store_true", help="to try this script out")
    parser.add_argument("--no-torch", action="store_true")
    return parser.parse_args()


def random_model(dims: Dims, device: str, precision: str) -> Model:
    """A model of those sizes that decodes :data:`TOKENS` tokens and never ends by itself."""
    dims = replace(dims, n_text_ctx=2 * TOKENS)
    dtype = {"float16": mx.float16, "float32": mx.float32}[precision]
    shapes = expected_shapes(dims)
    weights = {n: (mx.random.normal(s) / np.sqrt(np.prod(s[1:]))).astype(dtype) for n, s in shapes.items()}
    for name in list(weights):
        if name.endswith(".weight") and "embedding" not in name and ".key." not in name:
            weights[name.replace(".weight", ".bias")] = mx.zeros(weights[name].shape[0], dtype)
    for name in norms(dims):
        weights[f"{name}.weight"] = mx.ones(dims.n_text_state, dtype)
        weights[f"{name}.bias"] = mx.zeros(dims.n_text_state, dtype)
    return Model.build(weights, ModelConfig(dims), device, precision)


def norms(dims: Dims) -> Iterator[str]:
    """Names of the layer norms."""
    yield from ("encoder.ln_post", "decoder.ln")
    for i in range(dims.n_audio_layer):
        yield from (f"encoder.blocks.{i}.{norm}" for norm in ("attn_ln", "mlp_ln"))
    for i in range(dims.n_text_layer):
        yield from (f"decoder.blocks.{i}.{norm}" for norm in ("attn_ln", "cross_attn_ln", "mlp_ln"))


def milliseconds(work: Callable[[], object], runs: int = 7) -> float:
    """The median, after two runs that do not count."""
    times = []
    for _ in range(runs + 2):
        began = time.perf_counter()
        mx.eval(work())
        mx.synchronize()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[2:])


def mels(dims: Dims, count: int) -> mx.array:
    """Random spectrograms in the model's shape."""
    return mx.random.normal((count, 2 * dims.n_audio_ctx, dims.n_mels))


def encoder_table(model: Model, asked: argparse.Namespace) -> None:
    """Milliseconds a window, and the part of the arithmetic that is products."""
    d = model.dims
    per_layer = 2 * d.n_audio_ctx * (12 * d.n_audio_state**2 + 2 * d.n_audio_ctx * d.n_audio_state)
    stem = 2 * d.n_audio_ctx * 3 * d.n_audio_state * (2 * d.n_mels + d.n_audio_state)
    tflop = (d.n_audio_layer * per_layer + stem) / 1e12
    print(f"| encoder ({tflop:.2f} TFLOP a window) | ms a window | TFLOP/s | with cross K/V, ms a window |")
    print("|---|---|---|---|")
    for batch in asked.batches:
        x = mels(d, batch).astype(model.dtype)
        ms = milliseconds(lambda x=x: model.encoder(x), 3) / batch
        both = milliseconds(lambda x=x: model.encode(x), 3) / batch
        print(f"| batch {batch} | {ms:.2f} | {tflop / ms * 1e3:.0f} | {both:.2f} |", flush=True)


def encoder_parts(model: Model, asked: argparse.Namespace) -> None:
    """A block's operations one by one at batch 16, with the ways to write them."""
    d, batch = model.dims, max(asked.batches) // 2 or 1
    block, kernels = model.encoder.blocks[0], model.kernels
    x = mx.random.normal((batch, d.n_audio_ctx, d.n_audio_state)).astype(model.dtype)
    wide, qkv = block.up(x), block.qkv(x)
    q, k, v = split_heads(qkv, 3, d.n_audio_head)
    packed = [mx.contiguous(a) for a in (q, k, v)]
    mel = mels(d, batch).astype(model.dtype)
    mx.eval(x, wide, qkv, q, k, v, packed, mel)
    parts = {
        "layer norm": lambda: block.attn_ln(x),
        "qkv": lambda: block.qkv(x),
        "qkv without bias": lambda: x @ block.qkv.weight,
        "attention": lambda: kernels.encoder_attention(q, k, v),
        "attention, contiguous": lambda: kernels.encoder_attention(*packed),
        "out": lambda: block.out(x),
        "up": lambda: block.up(x),
        "gelu": lambda: kernels.gelu(wide),
        "gelu, not compiled": lambda: wide * (1 + mx.erf(wide * 0.70710678)) * 0.5,
        "down": lambda: block.down(wide),
        "mlp": lambda: kernels.mlp(x, block.up, block.down),
        "attention part": lambda: model.encoder._attend(block, x),
        "conv1d of MLX, both": lambda: mx.conv1d(
            mx.conv1d(mel, mx.zeros((d.n_audio_state, 3, d.n_mels), model.dtype), padding=1),
            mx.zeros((d.n_audio_state, 3, d.n_audio_state), model.dtype),
            stride=2,
            padding=1,
        ),
        "stem": lambda: model.encoder.stem(mel),
    }
    print(f"\n| one block, batch {batch} | ms |\n|---|---|")
    for name, work in parts.items():
        print(f"| {name} | {milliseconds(work):.3f} |", flush=True)


def decode_all(model: Model, slots: int, beam_size: int, log_mels: list[np.ndarray], count: int) -> float:
    """Seconds for so many windows of :data:`TOKENS` tokens."""
    engine = Engine(model, slots, encode_batch=min(slots, 8))
    task = Task("en", Unfailing(), timestamps=True, beam_size=beam_size)
    began = time.perf_counter()
    said = list(engine.run(Repeated(log_mels, count), task))
    assert len(said) == count
    return time.perf_counter() - began


def running_batch(model: Model, slots: int, width: int) -> Batch:
    """A batch of which every slot is decoding."""
    tokens = Tokens.of(model.dims)
    strategy = Greedy(model.kernels) if width == 1 else Beam(model.kernels, tokens.eot, width)
    cross = model.encode(mels(model.dims, 1))[0]
    rules = Rules(tokens, model.kernels, (), timestamps=True)
    batch = Batch(model, rules, strategy, slots, tokens.no_speech)
    prompt = tokens.prompt("en", "transcribe", True)
    batch._start([Job(key, prompt, cross) for key in range(slots)])
    return batch


def step_table(model: Model, asked: argparse.Namespace) -> None:
    """A decoder step: all of it, and the host's part (building the graph)."""
    print("\n| decoder step | ms | host, ms |\n|---|---|---|")
    for slots, width in [*((b, 1) for b in asked.batches), (8, 5)]:
        batch = running_batch(model, slots, width)
        times, host = [], []
        for _ in range(60):
            began = time.perf_counter()
            batch._step()
            host.append(time.perf_counter() - began)
            batch._read()
            times.append(time.perf_counter() - began)
        step, build = (1e3 * statistics.median(t[20:]) for t in (times, host))
        print(f"| batch {slots}, {width} hypotheses | {step:.2f} | {build:.2f} |", flush=True)


def step_parts(model: Model, asked: argparse.Namespace) -> None:
    """Parts of a step at the largest batch, twenty of each in one evaluation."""
    batch = running_batch(model, max(asked.batches), 1)
    state, decoder = batch.state, model.decoder
    mask = batch.cache.open_columns()
    hidden = decoder(state.tokens, state.positions, batch.cache, mask, batch.cross)
    logits = decoder.logits(hidden)
    history = (state.last, state.previous, state.stamp)
    keys, values = batch.cross[0]
    block, kernels, heads = decoder.blocks[0], model.kernels, model.dims.n_text_head
    q = hidden.reshape(hidden.shape[0], heads, 1, -1)
    own = [a[:, :, :128] for a in (batch.cache.keys[0], batch.cache.values[0])]
    choose = kernels.compile(batch._choose_next)
    few = mask[..., :1] + mx.zeros((q.shape[0], 1, 1, 128), mask.dtype)
    mx.eval(hidden, logits, q, own, few)
    parts = {
        "layers": lambda n: decoder(
            state.tokens, state.positions + (0 * n).astype(mx.int32), batch.cache, mask, batch.cross
        ),
        "logits": lambda n: decoder.logits(hidden + n),
        "choice": lambda n: batch._choose_next(logits + n, state.scores, history),
        "choice, compiled": lambda n: choose(logits + n, state.scores, history),
        "argmax": lambda n: mx.argmax(logits + n, axis=-1),
        "self-attention of 128": lambda n: kernels.attention(q + n, *own, few),
        "self-attention of 128 without a mask": lambda n: kernels.encoder_attention(q + n, *own),
        "cross-attention": lambda n: kernels.cross_attention(q + n, (keys, values)),
        "mlp": lambda n: kernels.mlp(hidden + n, block.up, block.down),
        "layer norm": lambda n: block.attn_ln(hidden + n),
        "an addition": lambda n: hidden + n,
    }
    print(f"\n| part of a step, batch {max(asked.batches)} | ms |\n|---|---|")
    for name, work in parts.items():
        numbers = [mx.array(i, model.dtype) for i in range(20)]
        ms = milliseconds(lambda work=work, numbers=numbers: [work(n) for n in numbers], 3) / 20
        print(f"| {name} | {ms:.3f} |", flush=True)


def step_kernels(model: Model, asked: argparse.Namespace) -> None:
    """What the GPU does in a step at the largest batch."""
    batch = running_batch(model, max(asked.batches), 1)

    def step() -> None:
        batch._step()
        batch._read()

    kernel_table("step", step, asked)


def encoder_kernels(model: Model, asked: argparse.Namespace) -> None:
    """What the GPU does for eight windows in the encoder."""
    x = mels(model.dims, 8).astype(model.dtype)
    kernel_table("encoder", lambda: mx.eval(model.encoder(x)), asked)


def kernel_table(name: str, work: Callable[[], object], asked: argparse.Namespace, runs: int = 20) -> None:
    """The kernels that take longest, as torch's profiler sees them: it counts all of the process."""
    if asked.no_torch or asked.cpu:
        return
    from torch.profiler import ProfilerActivity, profile

    def timed() -> float:
        mx.synchronize()
        began = time.perf_counter()
        for _ in range(runs):
            work()
        mx.synchronize()
        return 1e3 * (time.perf_counter() - began) / runs

    timed()
    ms = timed()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        timed()
    events = sorted(seen.key_averages(), key=lambda e: -e.self_device_time_total)[:24]
    total = sum(e.self_device_time_total for e in seen.key_averages()) / runs / 1e3
    print(f"\n| {name}: {ms:.2f} ms, the GPU busy for {total:.2f} | kernels | ms |\n|---|---|---|")
    for event in events:
        print(
            f"| {event.key[:70]} | {event.count / runs:.1f} | {event.self_device_time_total / runs / 1e3:.3f} |"
        )


def window_table(model: Model, asked: argparse.Namespace) -> None:
    """Whole windows through the engine."""
    random = np.random.default_rng(0)
    shape = (2 * model.dims.n_audio_ctx, model.dims.n_mels)
    log_mels = [random.standard_normal(shape, dtype=np.float32) for _ in range(4)]
    print(f"\n| windows of {TOKENS} tokens | ms a window | times real time | peak GB |\n|---|---|---|---|")
    for batch, width in [*((b, 1) for b in asked.batches), (8, 5), (16, 5)]:
        count = max(4, 3 * batch) if width == 1 else 2 * batch
        decode_all(model, batch, width, log_mels, batch)
        mx.reset_peak_memory()
        seconds = decode_all(model, batch, width, log_mels, count)
        print(
            f"| batch {batch}, {width} hypotheses | {1e3 * seconds / count:.1f} | "
            f"{WINDOW_S * count / seconds:.0f} | {mx.get_peak_memory() / 1e9:.1f} |",
            flush=True,
        )


def checking_table(model: Model, asked: argparse.Namespace) -> None:
    """Tokens at once in a step: what a model would pay for checking the tokens of a draft.

    Speculative decoding (Leviathan et al., arXiv 2211.17192): k steps of a draft model and one step of k + 1
    tokens yield 1 + a + ... + a^k tokens, where each guess is right with probability a.
    """
    at_once = (1, 3, 5, 8)
    print(f"\n| tokens at once in a step | {' | '.join(f'{n}, ms' for n in at_once)} |")
    print("|---" * (len(at_once) + 1) + "|")
    for slots in asked.batches:
        cross = model.cross_cache([model.encode(mels(model.dims, 1))[0]] * slots)
        times = [f"{checking(model, cross, slots, n):.2f}" for n in at_once]
        print(f"| batch {slots} | {' | '.join(times)} |", flush=True)


def checking(model: Model, cross: CrossCache, slots: int, n: int, columns: int = 128) -> float:
    """Milliseconds of a step that appends ``n`` tokens to each row, until the best next ones are read."""
    cache = SelfCache.empty(model.dims, slots, 1, columns, model.dtype)
    mask = mx.zeros((slots, 1, n, columns), model.dtype)

    def step(tokens, positions, column, keys, values):
        traced = TracedCache(keys, values, mask, column)
        hidden = model.decoder(tokens, positions, traced, mask, cross)
        return mx.argmax(model.decoder.logits(hidden), -1).astype(mx.int32), traced.keys, traced.values

    step = model.kernels.compile(step)
    tokens, keys, values, times = mx.zeros((slots, n), mx.int32), cache.keys, cache.values, []
    for i in range(40):
        began = time.perf_counter()
        tokens, keys, values = step(tokens, mx.arange(n)[None] + i, mx.array(i), keys, values)
        mx.eval(tokens, keys, values)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[15:])


def torch_table(dims: Dims) -> None:
    """Encoder and generation of transformers on torch, float16, scaled-dot-product attention."""
    try:
        import torch
        from transformers import WhisperConfig, WhisperForConditionalGeneration
    except ImportError as error:
        print(f"\nno comparison with torch: {error}")
        return
    if not torch.cuda.is_available():
        print("\nno comparison with torch: no CUDA")
        return
    config = WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        decoder_layers=dims.n_text_layer,
        encoder_attention_heads=dims.n_audio_head,
        decoder_attention_heads=dims.n_text_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_ffn_dim=4 * dims.n_text_state,
        attn_implementation="sdpa",
    )
    whisper = WhisperForConditionalGeneration(config).half().cuda().eval()
    print("\n| torch, transformers | encoder, ms a window | windows of 100 tokens, ms | times real time |")
    print("|---|---|---|---|")
    for batch in (1, 16, 32):
        x = torch.randn(batch, dims.n_mels, 2 * dims.n_audio_ctx, dtype=torch.float16, device="cuda")
        with torch.inference_mode():
            encode = torch_seconds(lambda x=x: whisper.model.encoder(x), torch) / batch
            start = torch.full((batch, 3), 50_258, device="cuda")
            generate = torch_seconds(
                lambda x=x, start=start: super(WhisperForConditionalGeneration, whisper).generate(
                    x,
                    decoder_input_ids=start,
                    max_new_tokens=TOKENS,
                    min_new_tokens=TOKENS,
                    do_sample=False,
                ),
                torch,
                runs=1,
            )
        print(
            f"| batch {batch} | {1e3 * encode:.2f} | {1e3 * generate / batch:.1f} | "
            f"{WINDOW_S * batch / generate:.0f} |",
            flush=True,
        )


def torch_seconds(work: Callable[[], object], torch, runs: int = 5) -> float:
    """The median, after one run that does not count."""
    times = []
    for _ in range(runs + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
