"""The command line's flags: WhisperX's names where it has them, ours beside them, and what they ask for."""

from __future__ import annotations

import argparse
import platform
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, get_args

from pydantic import ValidationError

from pipeline import backends
from pipeline.writers import FORMATS, WHISPERX_ALL
from schemas.jobs import Operation
from schemas.options import GROUPS, Options, SubtitleOptions
from schemas.report import Warning_

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

WITHOUT_EFFECT = {
    "fp16": "--compute_type sets the precision",
    "segment_resolution": "segments are sentences",
}
"""WhisperX's flags that are accepted and change nothing, with what happens instead; using one is a warning."""

_OF_DIARIZE = (
    *("diarize_backend", "diarize_mode", "diarize_model", "num_speakers", "min_speakers", "max_speakers"),
    *("channels", "speaker_embeddings"),
)
_OF_ALIGN = (
    *("align_backend", "align_model", "interpolate_method"),
    *("return_char_alignments", "return_phone_alignments"),
)
_NO_NONE = ("beam_size", "best_of", "threads")
"""WhisperX reads ``None`` for these; here it stands for the default."""


@dataclass(frozen=True)
class Settings:
    """What a command line asks for."""

    audio: tuple[str, ...]
    operation: Operation
    options: Options
    output_dir: Path
    formats: tuple[str, ...]
    subtitles: SubtitleOptions
    transcript: str | None = None
    verbose: bool = True
    print_progress: bool = False
    log_level: str | None = None
    hf_token: str | None = None
    json: bool = False
    skip_existing: bool = False
    watch: float | None = None
    ray: str | None = None  # a cluster's address; empty: one on this machine
    workers: int | None = None
    device_index: int = 0
    no_cache: bool = False
    warnings: tuple[Warning_, ...] = ()


class _Parser(argparse.ArgumentParser):
    """Names the nearest flag for a misspelt one."""

    def error(self, message: str) -> NoReturn:
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        for word in (word.rstrip(":") for word in message.split()):
            near = get_close_matches(word, known, n=1) if word.startswith("--") else []
            if near and word not in known:
                message += f" (did you mean {near[0]}?)"
        super().error(message)


def parse(argv: list[str], *, needs_audio: bool = True, align: bool = False) -> Settings:
    """The command line as settings; hyphens and underscores in a flag's name are the same.

    ``align``: that of ``whisperx-mlx align``, a recording and a transcript.

    Exits with status 2 for wrong usage. Raises :class:`schemas.errors.InvalidArgument` for values out of range.
    """
    parser = build_parser(needs_audio, align=align)
    settings = _settings(parser, vars(parser.parse_intermixed_args([underscored(word) for word in argv])))
    return _aligning(parser, settings) if align else settings


def _aligning(parser: argparse.ArgumentParser, settings: Settings) -> Settings:
    if len(settings.audio) != 2 or settings.operation != "transcribe":
        parser.error("align takes one AUDIO and one TRANSCRIPT, and does not --diarize")
    audio, transcript = settings.audio
    path = str(Path(transcript).expanduser().absolute())
    return replace(settings, audio=(audio,), transcript=path, operation="align")


def build_parser(needs_audio: bool = True, *, align: bool = False) -> argparse.ArgumentParser:
    """The parser. A flag that is not given leaves no trace: defaults stand in :mod:`schemas.options` alone."""
    files = "AUDIO TRANSCRIPT" if align else "AUDIO [AUDIO ...]"
    parser = _Parser(
        prog="whisperx-mlx" + (" align" if align else "" if needs_audio else " doctor"),
        usage=f"%(prog)s {files} [flags]" if needs_audio else "%(prog)s [flags]",
        description="Local transcription: who said what, when, word by word. Also: `whisperx-mlx align`, `bench`, "
        "`doctor` and `models`, each with --help.",
        argument_default=argparse.SUPPRESS,
    )
    if needs_audio:
        parser.add_argument(
            "audio",
            nargs="+",
            metavar="AUDIO",
            help="a recording, and a transcript of it in any format that is read"
            if align
            else "audio or video files; a folder for the recordings in it; - for standard input",
        )
    for add in (
        _add_models,
        _add_output,
        _add_files,
        _add_speech,
        _add_align,
        _add_vad,
        _add_diarize,
        _add_decoding,
    ):
        add(parser)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "models and machine")
    group.option("model", "Whisper model: name, hub repository or folder; without it, what suits the machine")
    group.flag("mlx_model", "the same as --model, for MLX backends", metavar="MODEL")
    group.flag(
        "backend",
        "speech to text backend (default: auto)",
        choices=_backends("asr"),
        type=_backend,
    )
    group.flag("model_cache_only", "never download: use what is on this machine (default: False)", type=_bool)
    group.option("model_dir", "another folder for models", metavar="DIR")
    group.option("device", "where the models run", choices=_choices("device"))
    group.option("compute_type", "numbers in the model", choices=("default", *_choices("compute_type")))
    group.option(
        "batch_size", "most chunks decoded at a time; without it, what suits device and model", type=int
    )
    group.option("threads", "CPU threads, 0: the backend decides", type=_optional_int)
    group.flag("hf_token", "Hugging Face token for gated models; HF_TOKEN does the same", metavar="TOKEN")
    group.flag("device_index", "which NVIDIA GPU (default: 0)", type=_index)
    group.ignored("fp16", type=_bool)


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "output")
    group.flag("output_dir", "folder for the results (default: .)", "-o", metavar="DIR")
    group.flag(
        "output_format",
        f"{', '.join(FORMATS)}; several with commas; all: {', '.join(WHISPERX_ALL)}, and rttm with --diarize "
        "(default: all)",
        "-f",
        metavar="FORMATS",
    )
    group.flag("max_line_width", "characters in a line of subtitles", type=_optional_int)
    group.flag("max_line_count", "lines of a subtitle, with --max_line_width", type=_optional_int)
    group.flag("highlight_words", "underline words in srt and vtt (default: False)", type=_bool)
    group.ignored("segment_resolution", choices=("sentence", "chunk"))
    group.flag("verbose", "progress and a summary per file, on stderr (default: True)", type=_bool)
    group.flag("print_progress", "progress as plain lines too (default: False)", type=_bool)
    group.flag("log_level", "what the libraries say, on stderr", choices=_LOG_LEVELS)
    parser.add_argument(
        "--version", "-V", action="version", version=f"%(prog)s {version('whisperx-mlx-mcp')}"
    )
    python = f"Python {platform.python_version()} ({platform.python_implementation()})"
    parser.add_argument("--python_version", "-P", action="version", version=python)


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "many files")
    group.flag("skip_existing", "leave out recordings whose results are there and newer", action="store_true")
    group.flag(
        "watch",
        "go on and take what comes into the folders; look every N seconds, 5 without N",
        nargs="?",
        const=5.0,
        type=_seconds,
        metavar="N",
    )
    group.flag(
        "ray",
        "spread the files over a Ray cluster; without ADDRESS, one on this machine for the time being",
        nargs="?",
        const="",
        metavar="ADDRESS",
    )
    group.flag("workers", "processes of the cluster; without it, one per GPU, else per machine", type=_count)
    group.flag("json", "a line of JSON per file on stdout", action="store_true")


def _add_speech(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "speech to text")
    group.option("task", "translate: into English", choices=_choices("task"))
    group.option("language", "code or English name; without it, it is detected", type=_optional_text)
    group.option("multilingual", "each chunk in its own language", action="store_true")
    group.option("initial_prompt", "text that comes before, for style and spelling", metavar="TEXT")
    group.option("vocabulary", "names and terms to expect, with commas", type=_terms, metavar="TERMS")
    group.flag("hotwords", "the same as --vocabulary", type=_terms, metavar="TERMS")
    group.flag("start", "skip what is before: seconds or [hh:]mm:ss", type=_clock, metavar="TIME")
    group.flag("end", "skip what is after", type=_clock, metavar="TIME")
    group.flag("max_duration", "refuse longer recordings", type=_clock, metavar="TIME")
    group.option("force", "do the work again instead of taking it from the cache", action="store_true")
    group.flag("no_cache", "take nothing from the cache and leave nothing in it", action="store_true")


def _add_align(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "words on the clock")
    group.flag(
        "align_backend",
        "backend (default: auto)",
        choices=_backends("align"),
        type=_backend,
    )
    group.option("align_model", "wav2vec2 bundle, hub repository or folder")
    group.option("no_align", "leave words without times", action="store_true")
    group.option(
        "interpolate_method",
        "times of words that could not be placed",
        choices=_choices("interpolate_method"),
    )
    group.option("return_char_alignments", "times of characters in the JSON", action="store_true")
    group.option("return_phone_alignments", "each word's phones with times in the JSON", action="store_true")


def _add_vad(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "voice activity detection")
    group.option("vad_method", "backend", choices=_choices("vad_method"))
    group.option("vad_onset", "speech begins above this probability", type=float)
    group.option("vad_offset", "speech ends below this probability", type=float)
    group.option("chunk_size", "longest chunk, in seconds", type=float)


def _add_diarize(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "speakers")
    group.flag("diarize", "say who speaks", action="store_true")
    group.flag(
        "diarize_backend",
        "backend (default: auto)",
        choices=_backends("diarize"),
        type=_backend,
    )
    group.option(
        "diarize_mode",
        "mlx and torch: pyannote's own turns, or others much faster; auto picks by the weights",
        choices=_choices("diarize_mode"),
    )
    group.option("diarize_model", "pyannote pipeline: name, hub repository or folder")
    group.option("num_speakers", "how many there are, where that is known", type=int)
    group.option("min_speakers", "at least", type=int)
    group.option("max_speakers", "at most", type=int)
    group.option("channels", "one speaker a channel", choices=_choices("channels"))
    group.option("speaker_embeddings", "each speaker's voice, as numbers, in the JSON", action="store_true")


def _add_decoding(parser: argparse.ArgumentParser) -> None:
    group = _Group(parser, "decoding")
    group.option("temperature", "for sampling", type=float)
    group.option("temperature_increment_on_fallback", "steps of the fallback", type=_optional_float)
    group.option("compression_ratio_threshold", "fall back above this", type=_optional_float)
    group.option("logprob_threshold", "fall back below this average", type=_optional_float)
    group.option("no_speech_threshold", "silence above this", type=_optional_float)
    group.option("beam_size", "beams at temperature 0", type=_optional_int)
    group.option("patience", "of the beam search", type=float)
    group.option("length_penalty", "of the beam search", type=float)
    group.option("suppress_tokens", "token ids with commas; -1: the usual set", type=_ids, metavar="IDS")
    group.option("suppress_numerals", "write numbers as words", action="store_true")
    group.option("best_of", "samples above temperature 0, of which the likeliest counts", type=_optional_int)
    group.option("condition_on_previous_text", "read each chunk with the text before it", type=_bool)
    group.option("without_timestamps", "one segment per window of 30 s", action="store_true")


class _Group:
    """Adds flags to one group of the help page."""

    def __init__(self, parser: argparse.ArgumentParser, title: str) -> None:
        self._group = parser.add_argument_group(title)

    def flag(self, name: str, text: str, *short: str, **kwargs: Any) -> None:
        """A flag of the command line itself."""
        self._group.add_argument(f"--{name}", *short, help=text, **_tidy(kwargs))

    def option(self, name: str, text: str, **kwargs: Any) -> None:
        """The flag of an option, under its name; the default on the help page is the option's."""
        default = next(m.model_fields[name].default for m in _MODELS if name in m.model_fields)
        shown = "" if default in (None, False, ()) else f" (default: {_shown(default)})"
        self.flag(name, text + shown, **kwargs)

    def ignored(self, name: str, **kwargs: Any) -> None:
        """One of :data:`WITHOUT_EFFECT`."""
        self.flag(name, f"no effect: {WITHOUT_EFFECT[name]}", **kwargs)


_MODELS = (*GROUPS.values(), Options)


def _tidy(kwargs: dict[str, Any]) -> dict[str, Any]:
    if kwargs.get("type") is _bool:
        kwargs.setdefault("metavar", "{True,False}")
    elif kwargs.get("type") in (int, float, _optional_int, _optional_float):
        kwargs.setdefault("metavar", "N")
    return kwargs


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _backends(room: str) -> tuple[str, ...]:
    return ("auto", *backends.available(room))


def _choices(option: str) -> tuple[str, ...]:
    model = next(m for m in GROUPS.values() if option in m.model_fields)
    return get_args(model.model_fields[option].annotation)


# From what was typed to settings.


def _settings(parser: argparse.ArgumentParser, given: dict[str, Any]) -> Settings:
    """Takes out the command line's own flags; what is left must be names of options."""
    warnings = _without_effect(parser, given)
    if "ray" in given and "watch" in given:
        parser.error("give --ray or --watch, not both")
    if "workers" in given and "ray" not in given:
        parser.error("--workers goes with --ray")
    if "device_index" in given and "ray" in given:
        parser.error("--device_index does not go with --ray, which gives every process its own GPU")
    diarize = given.pop("diarize", False)
    own = {
        name: given.pop(name)
        for name in (
            "verbose",
            "print_progress",
            "log_level",
            "hf_token",
            "json",
            "skip_existing",
            "watch",
            "ray",
            "workers",
            "device_index",
            "no_cache",
        )
        if name in given
    }
    return Settings(
        audio=tuple(given.pop("audio", ())),
        operation="transcribe_diarized" if diarize else "transcribe",
        output_dir=Path(given.pop("output_dir", ".")).expanduser(),
        formats=_formats(parser, given.pop("output_format", "all"), diarize),
        subtitles=_subtitles(parser, given),
        warnings=warnings,
        options=_options(parser, given),
        **own,
    )


def _options(parser: argparse.ArgumentParser, given: dict[str, Any]) -> Options:
    for flag, option in (("start", "start_s"), ("end", "end_s"), ("max_duration", "max_duration_s")):
        if flag in given:
            given[option] = given.pop(flag)
    if "hotwords" in given:
        given["vocabulary"] = given.get("vocabulary", ()) + given.pop("hotwords")
    for name in _NO_NONE:
        if name in given and given[name] is None:
            del given[name]
    if given.get("compute_type") == "default":
        given["compute_type"] = "auto"
    _name_mlx(parser, given)
    named = any(given.get(name) for name in ("model", "align_model", "diarize_model"))
    only_here = given.pop("model_cache_only", False)
    given["allow_download"] = named and not only_here
    return Options.from_flat(**given)


def _name_mlx(parser: argparse.ArgumentParser, given: dict[str, Any]) -> None:
    """``--mlx_model`` asks for a model, and for an MLX backend."""
    if "mlx_model" not in given:
        return
    if "model" in given:
        parser.error("give --model or --mlx_model, not both")
    given["model"] = given.pop("mlx_model")
    if given.setdefault("backend", "mlx") not in ("mlx", "mlx_whisper"):
        parser.error(f"--mlx_model does not go with --backend {given['backend']}")


def _without_effect(parser: argparse.ArgumentParser, given: dict[str, Any]) -> tuple[Warning_, ...]:
    messages = [f"--{name} has no effect: {why}" for name, why in WITHOUT_EFFECT.items() if name in given]
    for name in WITHOUT_EFFECT:
        given.pop(name, None)
    if given.get("max_line_count") and not given.get("max_line_width"):
        messages.append("--max_line_count has no effect without --max_line_width")
    if not given.get("diarize"):
        messages += [f"--{name} has no effect without --diarize" for name in _OF_DIARIZE if name in given]
    if given.get("no_align"):
        messages += [f"--{name} has no effect with --no_align" for name in _OF_ALIGN if name in given]
    for name in SubtitleOptions.model_fields:
        if given.get("no_align") and given.get(name):
            parser.error(f"--{name} is not possible with --no_align")
    return tuple(Warning_(code="flag_ignored", message=message) for message in messages)


def _subtitles(parser: argparse.ArgumentParser, given: dict[str, Any]) -> SubtitleOptions:
    try:
        return SubtitleOptions(
            **{name: given.pop(name) for name in SubtitleOptions.model_fields if name in given}
        )
    except ValidationError as error:
        first = error.errors()[0]
        parser.error(f"--{first['loc'][0]}: {first['msg']}")


def _formats(parser: argparse.ArgumentParser, asked: str, diarize: bool) -> tuple[str, ...]:
    names = tuple(name.strip() for name in asked.split(","))
    if names == ("all",):
        return (*WHISPERX_ALL, "rttm") if diarize else WHISPERX_ALL
    for name in names:
        if name not in FORMATS:
            parser.error(f"there is no output format {name!r}; choose from all, {', '.join(FORMATS)}")
    return names


# What argparse calls with the text of a flag; a ValueError becomes its usage error.


def underscored(word: str) -> str:
    """``--max-speakers=3`` as ``--max_speakers=3``; everything else as it is."""
    flag, equals, value = word.partition("=")
    return flag[:2] + flag[2:].replace("-", "_") + equals + value if flag.startswith("--") else word


def _bool(text: str) -> bool:
    """True or False as WhisperX wants it, in any case."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() == "true"


def _optional_int(text: str) -> int | None:
    return None if text == "None" else int(text)


def _optional_float(text: str) -> float | None:
    return None if text == "None" else float(text)


def _count(text: str) -> int:
    """One or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 1")
    return value


def _index(text: str) -> int:
    """From 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 0")
    return value


def _seconds(text: str) -> float:
    """More than nothing."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _optional_text(text: str) -> str | None:
    return None if text == "None" else text


def _backend(text: str) -> str:
    return text.replace("-", "_")


def _terms(text: str) -> tuple[str, ...]:
    return tuple(term.strip() for term in text.split(",") if term.strip())


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


def _clock(text: str) -> float:
    """``90``, ``1:30`` and ``0:01:30.5`` in seconds."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
