"""What does wav2vec2 on MLX do at the shapes of the base and the large models, and what does torch do?

    python bench/align_gpu.py [--cpu] [--shapes base large] [--seconds 30] [--batches 1 8] [--no-torch] [--runs 3]

Random weights of the true shapes; needs no network. On each shape, precision and batch: milliseconds a batch and
seconds of audio per second (RTFx), the share of the convolutions over samples, the largest difference from float32
on the CPU's kernels, and transformers on torch on the same device where it is installed. Then the search: the
alignment core on emissions of the same length with as many symbols as a fast speaker says (15 a second), and
WhisperX's own trellis and backtrack beside it where whisperx is installed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent.parent)]

from pipeline import mlx_runtime  # noqa: E402
from pipeline.wav2vec2.config import Config  # noqa: E402

RATE = 16_000
SYMBOLS_A_SECOND = 15
VOCABULARY = 32
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
SHAPES = {"base": {}, "large": LARGE}


def tensors_of(config: Config, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights by the names that :class:`pipeline.wav2vec2.network.Network` reads."""
    found: dict[str, np.ndarray] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}.weight"] = rng.standard_normal((outputs, inputs), np.float32) * inputs**-0.5
        found[f"{name}.bias"] = np.zeros(outputs, np.float32)

    def norm(name: str, size: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = np.ones(size, np.float32), np.zeros(size, np.float32)

    before = 1
    for number, (size, kernel) in enumerate(zip(config.conv_dim, config.conv_kernel, strict=True)):
        name = f"feature_extractor.conv_layers.{number}"
        weight = rng.standard_normal((size, kernel, before), np.float32) * (2 / (kernel * before)) ** 0.5
        found[f"{name}.conv.weight"], found[f"{name}.conv.bias"] = weight, np.zeros(size, np.float32)
        norm(f"{name}.layer_norm", size)
        before = size
    hidden = config.hidden_size
    norm("feature_projection.layer_norm", before)
    linear("feature_projection.projection", before, hidden)
    own = hidden // config.num_conv_pos_embedding_groups
    shape = (hidden, config.num_conv_pos_embeddings, own)
    name = "encoder.pos_conv_embed.conv"
    found[f"{name}.weight"] = rng.standard_normal(shape, np.float32) * 0.02
    found[f"{name}.bias"] = np.zeros(hidden, np.float32)
    norm("encoder.layer_norm", hidden)
    for number in range(config.num_hidden_layers):
        name = f"encoder.layers.{number}"
        for part in ("q", "k", "v", "out"):
            linear(f"{name}.attention.{part}_proj", hidden, hidden)
        norm(f"{name}.layer_norm", hidden)
        norm(f"{name}.final_layer_norm", hidden)
        linear(f"{name}.feed_forward.intermediate_dense", hidden, config.intermediate_size)
        linear(f"{name}.feed_forward.output_dense", config.intermediate_size, hidden)
    linear("lm_head", hidden, config.vocab_size)
    return found


def timed(function: Callable[[], object], runs: int) -> float:
    """Median of the seconds that a call takes, after one that is not counted."""
    function()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def of_mlx(shape: str, device: str, args: argparse.Namespace) -> None:
    """A row for each precision and batch."""
    import mlx.core as mx

    from pipeline.wav2vec2.network import Network

    config = Config(vocab_size=VOCABULARY, **SHAPES[shape])
    tensors = tensors_of(config, np.random.default_rng(0))
    sounds = waveforms(max(args.batches), args.seconds)
    expected = None
    for dtype in (mx.float32,) if device == "cpu" else (mx.float32, mx.float16):
        network = Network(config, tensors, device, dtype)
        first = network(sounds[:1])[0]
        expected = first if expected is None else expected
        off = np.abs(first - expected).max() / expected.std()
        same = (first.argmax(-1) == expected.argmax(-1)).mean()
        for batch in args.batches:
            own = sounds[:batch]
            seconds = timed(lambda own=own, net=network: net(own), args.runs)
            front = timed(lambda own=own, net=network: mx.eval(net._front(own)), args.runs)
            row(
                shape,
                "MLX",
                str(dtype).rpartition(".")[2],
                batch,
                f"{1000 * seconds:.1f}",
                f"{batch * args.seconds / seconds:.1f}",
                f"{100 * front / seconds:.0f} %",
                f"{off:.1e} sd, {100 * same:.1f} % same",
                f"{mx.get_peak_memory() / 1e9:.2f}",
            )
        mx.clear_cache()


def of_torch(shape: str, device: str, args: argparse.Namespace) -> None:
    """The same on transformers."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(vocab_size=VOCABULARY, **SHAPES[shape])
    sounds = np.stack(waveforms(max(args.batches), args.seconds))
    for dtype in (torch.float32,) if device == "cpu" else (torch.float32, torch.float16):
        torch.manual_seed(0)
        model = Wav2Vec2ForCTC(config).eval().to(device, dtype)
        for batch in args.batches:
            rows = torch.from_numpy(sounds[:batch]).to(device, dtype)

            def run(rows=rows, model=model):
                with torch.inference_mode():
                    return model(rows).logits.float().cpu()

            seconds = timed(run, args.runs)
            speed = f"{batch * args.seconds / seconds:.1f}"
            name = str(dtype).rpartition(".")[2]
            row(shape, "transformers", name, batch, f"{1000 * seconds:.1f}", speed, "", "", "")


def of_search(seconds: float, runs: int) -> None:
    """The core, and WhisperX's search, on one emission."""
    from pipeline.alignment_core import align, ctc_graph

    rng = np.random.default_rng(0)
    frames, count = round(seconds * 50), round(seconds * SYMBOLS_A_SECOND)
    logits = rng.standard_normal((frames, VOCABULARY))
    emission = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    symbols = rng.integers(2, VOCABULARY, count).tolist()
    words = [[tuple(symbols[at : at + 5])] for at in range(0, count, 5)]
    graph = ctc_graph(words, blank=0, separator=1, separated=[False] + [True] * (len(words) - 1))
    row(f"alignment core, {count} symbols", f"{1000 * timed(lambda: align(emission, graph), runs):.1f}")
    try:
        import torch
        from whisperx.alignment import backtrack, get_trellis
    except ImportError as error:
        row("WhisperX's trellis and backtrack", f"not here: {error}")
        return
    tensor = torch.from_numpy(emission).float()

    def theirs() -> object:
        return backtrack(get_trellis(tensor, symbols, 0), tensor, symbols, 0)

    row("WhisperX's trellis and backtrack", f"{1000 * timed(theirs, runs):.1f}")


def waveforms(count: int, seconds: float) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, round(seconds * RATE)).astype(np.float32) for _ in range(count)]


def heading(*names: str) -> None:
    print()
    row(*names)
    row(*("---" for _ in names))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="instead of the GPU")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--seconds", type=float, default=30.0, help="of each waveform")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-torch", action="store_true")
    args = parser.parse_args(arguments)
    mlx_runtime.import_mlx()
    device = "cpu" if args.cpu else mlx_runtime.accelerator() or sys.exit("MLX sees no GPU here; use --cpu")
    mlx_runtime.use_device(device)
    print(f"{device}; waveforms of {args.seconds:g} s; BLAS of MLX: {mlx_runtime.blas_in_use()}")
    heading("shape", "on", "precision", "batch", "ms", "RTFx", "front", "against float32", "peak GB of MLX")
    for shape in args.shapes:
        of_mlx(shape, device, args)
        if not args.no_torch:
            try:
                of_torch(shape, {"metal": "mps"}.get(device, device), args)
            except Exception as error:  # missing, or without this device: the rest of the table stands
                row(shape, f"transformers: {type(error).__name__}: {str(error)[:80]}", *[""] * 7)
    heading("search on one waveform", "ms")
    of_search(args.seconds, args.runs)


if __name__ == "__main__":
    main()
