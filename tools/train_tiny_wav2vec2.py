"""Trains the wav2vec2 CTC checkpoint that the tests read: English, a few hundred kilobytes, Hugging Face's format.

    python -m tools.train_tiny_wav2vec2 FOLDER [--minutes 25] [--steps 700] [--seed 0] [--threads 1]

A checkpoint for tests of loading, running and aligning, with the parts and the habits of a real one; it is no
speech recogniser. Random sequences of common English words (the whole words among Whisper's own tokens, most
frequent first) are said by flite and espeak-ng, at several rates and pitches, some of them in noise. The first
steps learn from frame labels, each word's letters spread over its exact time; the others from the CTC loss alone
(Graves et al. 2006), so that the emissions are as peaky as those of the published checkpoints. Some ten minutes
on one free core. Weights are saved as float16. The defaults made ``tests/data/wav2vec2_tiny_en``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tools.synthesis import RATE, Spoken, espeak, flite

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4} | {
    letter.upper(): 5 + number for number, letter in enumerate(LETTERS)
}
FLITE = ("awb", "slt", "kal16", "kal")  # rms is kept for measuring
ESPEAK = ("en-us", "en-us+f3", "en-gb-x-rp+m3", "en-gb-scotland+f2")
_HOP, _FIELD = 320, 400
_EVEN_SHARE = 0.4  # of the steps learn from letters spread evenly
_BATCH = 8
_WORDS = 3000
_SHORT = "a i of to in it is be as at so we he by or on do if me my up an go no us am the and you that"

CONFIG = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "conv_dim": (16, 32, 48, 48, 64, 64, 64),
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "num_conv_pos_embeddings": 32,
    "num_conv_pos_embedding_groups": 16,
    "pad_token_id": 0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "ctc_loss_reduction": "mean",
    "ctc_zero_infinity": True,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=25, help="of speech")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    spoken = list(speech(rng, args.minutes * 60))
    print(f"{len(spoken)} utterances, {sum(s.duration_s for s in spoken) / 60:.0f} minutes", flush=True)
    model = train(spoken, args.steps, rng)
    save(model, args.folder)


def common_words() -> list[str]:
    """Words of four letters and more among the tokens of Whisper's multilingual vocabulary, and short ones."""
    import base64

    import mlx_whisper

    short = [
        "a",
        "i",
        "of",
        "to",
        "in",
        "it",
        "is",
        "be",
        "as",
        "at",
        "so",
        "we",
        "he",
        "by",
        "or",
        "on",
        "do",
        "if",
        "me",
        "my",
        "up",
        "an",
        "go",
        "no",
        "us",
        "am",
        "the",
        "and",
        "you",
        "that",
    ]
    table = Path(mlx_whisper.__file__).parent / "assets/gpt2.tiktoken"
    tokens = (base64.b64decode(line.split()[0]) for line in table.read_bytes().splitlines())
    words = [token[1:].decode() for token in tokens if token[:1] == b" " and token[1:].isalpha()]
    longer = [word for word in words if word.isascii() and word.islower() and len(word) >= 4]
    return short + longer[:_WORDS]


def speech(rng: np.random.Generator, seconds: float) -> Iterator[Spoken]:
    """Utterances of three to seven words until there are ``seconds`` of them."""
    words = common_words()
    share = 1 / (np.arange(len(words)) + 50)
    while seconds > 0:
        text = " ".join(rng.choice(words, rng.integers(3, 8), p=share / share.sum()))
        spoken = _said(text, rng)
        if 0.8 < spoken.duration_s < 4.5 and " ".join(word.text for word in spoken.words) == text:
            seconds -= spoken.duration_s
            yield spoken


def _said(text: str, rng: np.random.Generator) -> Spoken:
    number = rng.integers(len(FLITE) + len(ESPEAK))
    if number < len(FLITE):
        return flite.speak(text, FLITE[number], rng.uniform(0.8, 1.2), rng.uniform(0.9, 1.1))
    voice = ESPEAK[number - len(FLITE)]
    return espeak.speak(text, voice, int(rng.uniform(135, 200)), int(rng.uniform(35, 65)))


def train(spoken: Sequence[Spoken], steps: int, rng: np.random.Generator):
    """The model after ``steps`` steps over the utterances."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    model = Wav2Vec2ForCTC(Wav2Vec2Config(**CONFIG))
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    model.train()
    began, losses = time.time(), []
    for step in range(steps):
        rows = [spoken[i] for i in rng.integers(0, len(spoken), _BATCH)]
        samples, lengths = _padded([_normalised(_in_noise(row.samples, rng)) for row in rows])
        mask = torch.arange(samples.shape[1])[None] < torch.tensor(lengths)[:, None]
        if step < steps * _EVEN_SHARE:
            loss = _frame_loss(model(torch.from_numpy(samples), attention_mask=mask).logits, rows)
        else:
            loss = model(torch.from_numpy(samples), attention_mask=mask, labels=_labels(rows)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % 100 == 99:
            print(f"{step + 1} {np.mean(losses[-100:]):.3f} {time.time() - began:.0f} s", flush=True)
    return model.eval()


def save(model, folder: Path) -> None:
    """The checkpoint with its processor, as Hugging Face's libraries write it."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    tokenizer = Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), unk_token="<unk>", pad_token="<pad>", word_delimiter_token="|"
    )
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1, sampling_rate=RATE, padding_value=0.0, do_normalize=True, return_attention_mask=True
    )
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    model.half().save_pretrained(folder)


def _in_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At a random level, half of the time in white or low noise of 8 to 40 dB."""
    if rng.random() < 0.5:
        return samples
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    if rng.random() < 0.5:
        noise = np.convolve(noise, np.ones(8, np.float32) / 8, "same")
    level = np.sqrt(np.mean(samples**2) / (np.mean(noise**2) + 1e-12)) * 10 ** (-rng.uniform(8, 40) / 20)
    return samples + level * noise


def _normalised(samples: np.ndarray) -> np.ndarray:
    return ((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(np.float32)


def _padded(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    lengths = [len(row) for row in rows]
    out = np.zeros((len(rows), max(lengths)), np.float32)
    for number, row in enumerate(rows):
        out[number, : len(row)] = row
    return out, lengths


def _labels(rows: Sequence[Spoken]):
    """Characters of each utterance (rows, longest), −100 where there are none."""
    import torch

    texts = [[VOCABULARY[c] for c in "|".join(w.text for w in row.words).upper()] for row in rows]
    out = torch.full((len(rows), max(map(len, texts))), -100)
    for number, text in enumerate(texts):
        out[number, : len(text)] = torch.tensor(text)
    return out


def _frame_loss(logits, rows: Sequence[Spoken]):
    """Cross-entropy with each word's letters spread evenly over its time, a separator behind it."""
    import torch

    wanted = np.full(logits.shape[:2], -100)
    for number, row in enumerate(rows):
        frames = min(logits.shape[1], (len(row.samples) - _FIELD) // _HOP + 1)
        wanted[number, :frames] = _spread(row, frames)
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), torch.from_numpy(wanted))


def _spread(row: Spoken, frames: int) -> np.ndarray:
    labels = np.zeros(frames, np.int64)
    for word in row.words:
        edges = np.linspace(word.start, word.end, len(word.text) + 1)
        for letter, begin, end in zip(word.text, edges[:-1], edges[1:], strict=True):
            first = max(0, round((begin - _FIELD / 2 / RATE) * RATE / _HOP))
            # blanks between letters, so that a double letter is two
            labels[first : max(first + 1, round((0.4 * begin + 0.6 * end) * RATE / _HOP - 0.6))] = VOCABULARY[
                letter.upper()
            ]
        after = round((word.end - _FIELD / 2 / RATE) * RATE / _HOP)
        labels[max(0, after) : after + 1] = VOCABULARY["|"]
    return labels


if __name__ == "__main__":
    main()
