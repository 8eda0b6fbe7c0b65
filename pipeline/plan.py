"""What ``auto`` chooses: a pure function from machine and request to a plan.

What was asked for explicitly is the only candidate of its stage. What was left to ``auto`` is a list: the first
candidate that loads and works does the stage, and each step down the list is a warning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.errors import BackendUnavailable
from schemas.options import Options

_ASR_ON_GPU = ("mlx", "mlx_whisper", "faster_whisper")
# On a CPU faster_whisper's int8 products are 12 to 20 % ahead of float32 ones at the same weights, beam and word
# errors, in half the memory (docs/asr.md; `make bench-asr` compares them). MLX has no int8 products there.
_ASR_ON_CPU = ("faster_whisper", "mlx", "mlx_whisper")


@dataclass(frozen=True)
class Machine:
    """What is installed and which hardware is there (see :func:`pipeline.machine.probe`)."""

    system: str  # "darwin" or "linux", as sys.platform
    arch: str  # "arm64", "x86_64", "aarch64"
    cores: int = 1
    memory_gb: float = 0.0
    accelerator: str | None = None  # "metal", "cuda" or none
    accelerator_gb: float = 0.0
    mlx_on_gpu: bool = False  # MLX's build here can use the accelerator
    backends: frozenset[str] = field(
        default_factory=frozenset
    )  # "asr/faster_whisper" whose packages are here

    def has(self, room: str, backend: str) -> bool:
        """Whether all packages of the backend are installed."""
        return f"{room}/{backend}" in self.backends


@dataclass(frozen=True)
class Choice:
    """One way to do a stage."""

    backend: str
    device: str = "cpu"  # "cpu", "cuda", "mps" (torch on Apple GPUs) or "metal" (MLX on Apple GPUs)
    model: str | None = None  # as for pipeline.models.find; none: the backend's own default, or no weights
    compute_type: str = "float32"
    required: bool = False  # the backend was asked for: it does the stage, or the request fails
    model_required: bool = False  # the model was asked for: no other weights may replace it


@dataclass(frozen=True)
class Plan:
    """Candidates per stage, best first."""

    vad: tuple[Choice, ...]
    asr: tuple[Choice, ...]
    align: tuple[Choice, ...]
    diarize: tuple[Choice, ...]


def plan(machine: Machine, options: Options) -> Plan:
    """The candidates of every stage. Nothing is imported, loaded or looked up.

    Raises :class:`BackendUnavailable` for a device that the machine does not have.
    """
    return Plan(
        vad=_vad(machine, options),
        asr=_asr(machine, options),
        align=_align(machine, options),
        diarize=_diarize(machine, options),
    )


def default_whisper(machine: Machine) -> str:
    """The Whisper size for a machine: large-v3-turbo on an accelerator that holds it, small elsewhere."""
    if machine.accelerator and machine.accelerator_gb >= 16:
        return "large-v3-turbo"
    return "small"


def _vad(machine: Machine, options: Options) -> tuple[Choice, ...]:
    return _candidates(machine, "vad", options.vad.vad_method, ("silero", "pyannote", "energy"), _on_cpu)


def _on_cpu(_backend: str) -> tuple[Choice, ...]:
    return (Choice(_backend),)


def _asr(machine: Machine, options: Options) -> tuple[Choice, ...]:
    asked = options.asr
    model = asked.model or default_whisper(machine)

    def ways(backend: str) -> tuple[Choice, ...]:
        devices = _mlx_devices(machine) if "mlx" in backend else _torch_devices(machine, mps=False)
        return tuple(
            Choice(
                backend,
                device,
                model,
                _compute_type(backend, device, asked.compute_type),
                model_required=asked.model is not None,
            )
            for device in _asked_device(asked.device, devices)
        )

    order = _ASR_ON_GPU if machine.mlx_on_gpu else _ASR_ON_CPU
    return _candidates(machine, "asr", asked.backend, order, ways)


def _align(machine: Machine, options: Options) -> tuple[Choice, ...]:
    asked = options.align

    def ways(backend: str) -> tuple[Choice, ...]:
        if backend == "even":
            return (Choice(backend),)
        if backend in ("encoder_head", "wav2vec2_mlx"):
            devices = _mlx_devices(machine)
        else:
            devices = _torch_devices(machine, mps=backend == "whisperx")
        if backend == "cross_attention" and machine.accelerator == "metal" and machine.mlx_on_gpu:
            devices = ("metal", *devices)
        # cross_attention reads the Whisper that wrote the text, align_model names a wav2vec2, heads have one model
        whisper = options.asr.model or default_whisper(machine)
        model = {"cross_attention": whisper, "encoder_head": None}.get(backend, asked.align_model)
        required = bool(options.asr.model if backend == "cross_attention" else model)
        return tuple(
            Choice(
                backend,
                device,
                model,
                _compute_type(backend, device, "auto"),
                model_required=required,
            )
            for device in _asked_device(options.asr.device, devices)
        )

    # A model that was asked for is a wav2vec2: nothing else can honour it.
    order = ("wav2vec2_mlx", "whisperx")
    if not asked.align_model:
        order = ("encoder_head", *order, "cross_attention", "even")
    return _candidates(machine, "align", asked.align_backend, order, ways)


def _diarize(machine: Machine, options: Options) -> tuple[Choice, ...]:
    asked = options.diarize

    def ways(backend: str) -> tuple[Choice, ...]:
        if backend in ("one_speaker", "channels"):
            return (Choice(backend),)
        devices = (
            _mlx_devices(machine) if backend == "mlx" else _torch_devices(machine, mps=backend == "pyannote")
        )
        return tuple(
            Choice(backend, device, asked.diarize_model, model_required=asked.diarize_model is not None)
            for device in _asked_device(options.asr.device, devices)
        )

    # MLX where it has a GPU; on a CPU torch is several times faster, and each can replace the other. pyannote has
    # the last word on pipelines with other networks. one_speaker is never a silent substitute: a wrong answer is
    # worse than none.
    order = ("mlx", "torch", "pyannote") if machine.mlx_on_gpu else ("torch", "mlx", "pyannote")
    if asked.diarize_mode == "fast":
        order = order[:2]
    backend = "channels" if asked.channels == "split" else asked.diarize_backend
    return _candidates(machine, "diarize", backend, order, ways)


def _candidates(machine, room, asked, order, ways) -> tuple[Choice, ...]:
    if asked != "auto":
        return tuple(_required(choice) for choice in ways(asked)[:1])
    return tuple(choice for backend in order if machine.has(room, backend) for choice in ways(backend))


def _required(choice: Choice) -> Choice:
    from dataclasses import replace

    return replace(choice, required=True)


def _mlx_devices(machine: Machine) -> tuple[str, ...]:
    return (machine.accelerator, "cpu") if machine.mlx_on_gpu and machine.accelerator else ("cpu",)


def _torch_devices(machine: Machine, *, mps: bool) -> tuple[str, ...]:
    if machine.accelerator == "cuda":
        return ("cuda", "cpu")
    if machine.accelerator == "metal" and mps:
        return ("mps", "cpu")
    return ("cpu",)


def _asked_device(asked: str, devices: tuple[str, ...]) -> tuple[str, ...]:
    """The devices to try: all of them for ``auto``, else the one asked for (``mps`` is MLX's ``metal`` too).

    A stage that cannot use an Apple GPU runs on the CPU when ``mps`` is asked for, as WhisperX's users expect.
    """
    if asked == "auto":
        return devices
    if asked in devices:
        return (asked,)
    if asked == "mps":
        return ("metal",) if "metal" in devices else ("cpu",)
    raise BackendUnavailable(
        f"device {asked!r} was asked for, and this machine does not have it",
        hint=f"use one of: auto, {', '.join(devices)}",
    )


def _compute_type(backend: str, device: str, asked: str) -> str:
    if asked != "auto":
        return asked
    if device == "cpu":
        return "int8" if backend in ("faster_whisper", "cross_attention") else "float32"
    return "float32" if backend == "whisperx" else "float16"
