"""What can be asked for, per stage. The only place where a default is written.

Names follow WhisperX's command line where it has one. ``auto`` leaves the choice to the plan; anything else is
a requirement: it is met or the request fails.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from schemas._frozen import Frozen

Operation = Literal["transcribe", "align", "diarize", "transcribe_diarized"]
Task = Literal["transcribe", "translate"]
VadMethod = Literal["auto", "silero", "pyannote", "energy"]
AsrBackend = Literal["auto", "mlx", "faster_whisper", "mlx_whisper", "echo"]
AlignBackend = Literal["auto", "encoder_head", "wav2vec2_mlx", "whisperx", "cross_attention", "even"]
DiarizeBackend = Literal["auto", "mlx", "torch", "pyannote", "channels", "one_speaker"]
DiarizeMode = Literal["auto", "exact", "fast"]
Channels = Literal["auto", "mix", "split"]
Device = Literal["auto", "cpu", "cuda", "mps"]
ComputeType = Literal["auto", "float32", "float16", "bfloat16", "int8", "int4"]

OPERATIONS: tuple[str, ...] = get_args(Operation)


class AudioOptions(Frozen):
    """Which part of the recording."""

    start_s: float = Field(0.0, ge=0, description="Skip everything before, in seconds.")
    end_s: float | None = Field(None, gt=0, description="Skip everything after, in seconds.")
    max_duration_s: float = Field(24 * 3600.0, gt=0, description="Refuse longer recordings, in seconds.")

    @model_validator(mode="after")
    def _in_order(self) -> AudioOptions:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError("end_s must be greater than start_s")
        return self


class VadOptions(Frozen):
    """Voice activity detection, and how speech regions are packed into chunks."""

    vad_method: VadMethod = "auto"
    vad_onset: float = Field(0.5, gt=0, lt=1, description="Speech begins above this probability.")
    vad_offset: float = Field(0.363, gt=0, lt=1, description="Speech ends below this probability.")
    chunk_size: float = Field(30.0, ge=1, le=600, description="Longest chunk, in seconds.")


class AsrOptions(Frozen):
    """Speech to text with Whisper."""

    backend: AsrBackend = "auto"
    model: str | None = Field(None, description="Name, hub repository or folder; none leaves it to the plan.")
    device: Device = "auto"
    compute_type: ComputeType = "auto"
    language: str | None = Field(None, description="Code or English name; none detects it.")
    task: Task = "transcribe"
    multilingual: bool = Field(
        False, description="Each chunk in its own language; `language` is that of chunks that leave it open."
    )
    batch_size: int | None = Field(
        None, ge=1, le=256, description="Most chunks decoded at a time; none: what suits device and model."
    )
    beam_size: int = Field(5, ge=1, le=32)
    best_of: int = Field(
        5, ge=1, le=32, description="Samples of a temperature above 0; the likeliest counts."
    )
    patience: float = Field(1.0, gt=0)
    length_penalty: float = Field(1.0, ge=0)
    temperature: float = Field(0.0, ge=0, le=1)
    temperature_increment_on_fallback: float | None = Field(
        0.2, gt=0, le=1, description="None switches the fallback off."
    )
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    initial_prompt: str | None = Field(None, max_length=4000)
    vocabulary: tuple[str, ...] = Field((), max_length=200, description="Names and terms to expect.")
    condition_on_previous_text: bool = Field(
        False, description="Chunks are read with the text before them; loops can spread that way."
    )
    without_timestamps: bool = Field(
        False, description="One segment per window: faster, and nothing shows where speech was skipped."
    )
    suppress_tokens: tuple[int, ...] = (-1,)
    suppress_numerals: bool = False
    threads: int = Field(0, ge=0, description="CPU threads; 0 lets the backend decide.")

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The first temperature and those of the fallback, up to 1."""
        step = self.temperature_increment_on_fallback
        if step is None:
            return (self.temperature,)
        count = int(round((1.0 - self.temperature) / step, 6)) + 1
        return tuple(round(self.temperature + i * step, 6) for i in range(count))


class AlignOptions(Frozen):
    """Words on the clock."""

    align_backend: AlignBackend = "auto"
    align_model: str | None = None
    no_align: bool = Field(False, description="Leave the words without times.")
    interpolate_method: Literal["nearest", "linear", "ignore"] = "nearest"
    return_char_alignments: bool = False
    return_phone_alignments: bool = Field(False, description="Give each word its phones, with times.")


class DiarizeOptions(Frozen):
    """Who spoke when."""

    diarize_backend: DiarizeBackend = "auto"
    diarize_mode: DiarizeMode = Field(
        "auto", description="Of mlx and torch: pyannote's own turns, or others for far less work; auto picks."
    )
    diarize_model: str | None = None
    num_speakers: int | None = Field(None, ge=1, le=64)
    min_speakers: int | None = Field(None, ge=1, le=64)
    max_speakers: int | None = Field(None, ge=1, le=64)
    channels: Channels = Field(
        "auto", description="One speaker a channel: as the levels say, never (mix), or always (split)."
    )
    speaker_embeddings: bool = Field(
        False, description="Put each speaker's voice, as numbers, into the result."
    )

    @model_validator(mode="after")
    def _consistent(self) -> DiarizeOptions:
        low, high = self.min_speakers, self.max_speakers
        if low is not None and high is not None and low > high:
            raise ValueError("min_speakers must not be greater than max_speakers")
        if self.num_speakers is not None and (low is not None or high is not None):
            raise ValueError("give num_speakers, or min_speakers and max_speakers, not both")
        by_channel = self.diarize_backend == "channels"
        if self.channels == "split" and not by_channel and self.diarize_backend != "auto":
            raise ValueError(
                f"channels=split leaves nothing to do for diarize_backend={self.diarize_backend}"
            )
        if self.channels == "mix" and by_channel:
            raise ValueError("diarize_backend=channels needs channels=auto or split")
        able = {"auto", "mlx", "torch"} | ({"pyannote"} if self.diarize_mode == "exact" else set())
        if self.diarize_mode != "auto" and self.diarize_backend not in able:
            raise ValueError(
                f"diarize_backend={self.diarize_backend} has no diarize_mode={self.diarize_mode}"
            )
        return self


class SubtitleOptions(Frozen):
    """How SRT and VTT are laid out. Not part of a request: they change the files, never the transcript."""

    max_line_width: int | None = Field(None, ge=1, description="Characters in a line; none does not break.")
    max_line_count: int | None = Field(None, ge=1, description="Lines of a subtitle, with max_line_width.")
    highlight_words: bool = Field(False, description="Underline each word while it is spoken.")


class Options(Frozen):
    """All of a request but the recording."""

    audio: AudioOptions = AudioOptions()
    vad: VadOptions = VadOptions()
    asr: AsrOptions = AsrOptions()
    align: AlignOptions = AlignOptions()
    diarize: DiarizeOptions = DiarizeOptions()
    model_dir: str | None = Field(None, description="Another folder for models.")
    allow_download: bool = Field(False, description="Missing weights may be fetched from the hub.")
    force: bool = Field(False, description="Do the work again instead of taking it from the stage cache.")

    @classmethod
    def from_flat(cls, **values: object) -> Options:
        """Options from flat keywords, ``Options.from_flat(language="en", num_speakers=3)``.

        Raises :class:`schemas.errors.InvalidArgument` for a name that no stage has (with the nearest right
        spelling) and for values out of range.
        """
        return _from_flat(cls, values)


GROUPS: dict[str, type[Frozen]] = {
    "audio": AudioOptions,
    "vad": VadOptions,
    "asr": AsrOptions,
    "align": AlignOptions,
    "diarize": DiarizeOptions,
}


def flat_names() -> dict[str, str | None]:
    """Every flat option name, with the group that it belongs to (none: ``Options`` itself)."""
    names: dict[str, str | None] = {
        field: group for group, model in GROUPS.items() for field in model.model_fields
    }
    names.update({field: None for field in Options.model_fields if field not in GROUPS})
    return names


def _from_flat(cls: type[Options], values: dict[str, object]) -> Options:
    from difflib import get_close_matches

    from pydantic import ValidationError

    from schemas.errors import InvalidArgument

    names = flat_names()
    grouped: dict[str, dict[str, object]] = {group: {} for group in GROUPS}
    own: dict[str, object] = {}
    for name, value in values.items():
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise InvalidArgument(
                f"there is no option {name!r}", hint=f"did you mean {near[0]!r}?" if near else None
            )
        group = names[name]
        (own if group is None else grouped[group])[name] = value
    try:
        return cls(**{g: GROUPS[g](**fields) for g, fields in grouped.items()}, **own)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(f"{where}: {first['msg']}" if where else first["msg"]) from None
