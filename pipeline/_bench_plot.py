"""The picture beside the tables of ``whisperx-mlx bench``: a panel of bars for each thing that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import InvalidArgument, OutputFailed

ENDINGS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Panel:
    """``title`` says what is measured and which way is better; ``form`` writes a value beside its bar."""

    title: str
    bars: tuple[tuple[str, float], ...]
    form: str = "{:.1f}"


def check(target: Path) -> None:
    """Raises :class:`InvalidArgument` for a file name that is no picture's."""
    if target.suffix.lower() not in ENDINGS:
        raise InvalidArgument(
            f"--plot {target}: a picture's name is needed", hint=f"end it with {', '.join(ENDINGS)}"
        )


def draw(panels: Sequence[Panel], title: str, target: Path) -> None:
    """Writes the picture in the format of the file's ending. Raises :class:`OutputFailed`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [1 + len(panel.bars) for panel in panels]
    figure = Figure(figsize=(8, 0.6 + 0.4 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    every = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, panel in zip(every, panels, strict=True):
        names, values = zip(*panel.bars, strict=True)
        bars = axes.barh(names, values, color=["#1f6feb", *["#9aa4b2"] * (len(names) - 1)])
        axes.bar_label(bars, [f" {panel.form.format(value)}" for value in values], fontsize=8)
        axes.set_title(panel.title, loc="left", fontsize=9)
        axes.margins(x=0.12)
        axes.invert_yaxis()
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=150)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {target}: {error.strerror}", hint="name another file with --plot"
        ) from None
