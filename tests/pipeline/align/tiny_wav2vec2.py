"""A real wav2vec2 CTC checkpoint in the Hugging Face format, small enough to be trained while a test waits.

It reads a language of tones: each letter is 60 ms of its own pitch, words stand between silences. Nothing about
speech can be learned from it; that a checkpoint is loaded, normalised, run and read in time can.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

RATE = 16_000
LETTERS = "abcdefgh"
VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4} | {
    c.upper(): 5 + i for i, c in enumerate(LETTERS)
}
TONE_S, PAUSE_S = 0.06, 0.12


def speak(words: list[str], rng: np.random.Generator, level: float = 0.3) -> tuple[np.ndarray, list]:
    """Samples, and (word, start, end) of each word; letters outside the language are silent."""
    pieces, said, at = [_silence(0.3)], [], 0.3
    for word in words:
        tones = [_tone(LETTERS.index(c)) for c in word if c in LETTERS]
        said.append((word, at, at + TONE_S * len(tones)))
        pieces += [*tones, _silence(PAUSE_S)]
        at = said[-1][2] + PAUSE_S
    samples = np.concatenate([*pieces, _silence(0.3)])
    return (level * (samples + rng.normal(0, 0.01, len(samples)))).astype(np.float32), said


def build(folder: Path) -> Path:
    """Trains the model, some seconds on one core, and saves it with its processor."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    tokenizer = Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), unk_token="<unk>", pad_token="<pad>", word_delimiter_token="|"
    )
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1, sampling_rate=RATE, padding_value=0.0, do_normalize=True, return_attention_mask=True
    )
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(
        Wav2Vec2Config(
            vocab_size=len(VOCABULARY),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            conv_dim=(32,) * 7,
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
            conv_bias=True,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            pad_token_id=0,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            feat_proj_dropout=0.0,
            final_dropout=0.0,
            layerdrop=0.0,
            mask_time_prob=0.0,
        )
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # it is too small to share
    _train(model, np.random.default_rng(0))
    torch.set_num_threads(threads)
    model.eval().save_pretrained(folder)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    return folder


def _train(model, rng: np.random.Generator, steps: int = 80) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(steps):
        rows = [_example(rng) for _ in range(4)]
        waveforms = torch.from_numpy(np.stack([row[0] for row in rows]))
        wanted = torch.from_numpy(np.stack([row[1] for row in rows]))
        logits = model(waveforms).logits
        frames = min(logits.shape[1], wanted.shape[1])
        loss = torch.nn.functional.cross_entropy(
            logits[:, :frames].reshape(-1, logits.shape[-1]), wanted[:, :frames].reshape(-1)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _example(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """1.5 s of normalised samples and the label of each 20 ms."""
    words = ["".join(rng.choice(list(LETTERS), rng.integers(1, 5))) for _ in range(9)]
    samples, said = speak(words, rng)
    labels = np.zeros(len(samples) // 320, np.int64)
    for word, start, _ in said:
        for number, letter in enumerate(word):
            middle = start + (number + 0.5) * TONE_S
            labels[round((middle - 0.0125) / 0.02)] = VOCABULARY[letter.upper()]
        labels[round((start + len(word) * TONE_S + PAUSE_S / 2 - 0.0125) / 0.02)] = VOCABULARY["|"]
    samples, labels = samples[: RATE * 3 // 2], labels[:75]
    return ((samples - samples.mean()) / (samples.std() + 1e-5)).astype(np.float32), labels


def _tone(letter: int) -> np.ndarray:
    time = np.arange(round(TONE_S * RATE)) / RATE
    return np.sin(2 * np.pi * (250 * 1.35**letter) * time) * np.hanning(len(time)) ** 0.3


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))
