"""Keys and values that the decoder keeps: self-attention's grow by columns, cross-attention's are fixed.

All slots of a batch write the same columns, whatever the age of their windows; what a hypothesis may see is a row
of an additive mask. So a new window needs a slot whose mask is cleared and no more, a beam that changes its parent
copies a row of the mask instead of its keys and values, and the hypotheses of a slot share one product.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from pipeline.whisper_mlx.config import Dims
from pipeline.whisper_mlx.kernels import KeysValues

STEP = 32
"""Columns in view are a multiple of this, so that shapes repeat."""

WindowCross = list[KeysValues]
"""One window's cross-attention keys and values by layer, each (heads, ·, ·)."""


def hidden_value(dtype: mx.Dtype) -> float:
    """What the additive mask holds where nothing may be seen."""
    return -1e4 if dtype == mx.float16 else -1e9


class SelfCache:
    """Self-attention keys and values, a layer each (slots, heads, columns, head_dim)."""

    def __init__(self, keys: list[mx.array], values: list[mx.array], mask: mx.array) -> None:
        self.keys = keys
        self.values = values
        self.mask = mask  # (slots, 1, width, columns), additive
        self.column = 0  # the next one to be written
        self.starts = [0] * mask.shape[0]  # each slot's first column

    @classmethod
    def empty(cls, dims: Dims, slots: int, width: int, columns: int, dtype: mx.Dtype) -> SelfCache:
        """A cache that shows nothing, for ``width`` hypotheses a slot."""
        shape = (slots, dims.n_text_head, columns, dims.n_text_state // dims.n_text_head)
        layers = range(dims.n_text_layer)
        return cls(
            [mx.zeros(shape, dtype) for _ in layers],
            [mx.zeros(shape, dtype) for _ in layers],
            mx.full((slots, 1, width, columns), hidden_value(dtype), dtype),
        )

    @property
    def columns(self) -> int:
        """Columns that there is room for."""
        return self.mask.shape[-1]

    def view(self, n: int) -> slice:
        """The columns that a step of ``n`` tokens looks at."""
        first = min(self.starts) // STEP * STEP
        last = min(self.columns, -(-(self.column + n) // STEP) * STEP)
        return slice(first, last)

    def write(self, layer: int, keys: mx.array, values: mx.array) -> KeysValues:
        """Store ``n`` tokens' keys and values (slots, heads, n, head_dim); return those in view."""
        n = keys.shape[2]
        self.keys[layer][:, :, self.column : self.column + n] = keys
        self.values[layer][:, :, self.column : self.column + n] = values
        seen = self.view(n)
        return self.keys[layer][:, :, seen], self.values[layer][:, :, seen]

    def open_columns(self) -> mx.array:
        """Let every hypothesis see its own next column; returns the mask in view, (slots, 1, width, columns)."""
        width = self.mask.shape[2]
        self.make_room(width)
        self.mask[:, :, :, self.column : self.column + width] = own_columns(width, self.mask.dtype)
        return self.mask[:, :, :, self.view(width)]

    def advance(self, parents: mx.array | None = None) -> None:
        """After a step: hypotheses inherit what their parents (slots, width) saw."""
        self.column += self.mask.shape[2]
        if parents is not None:
            self.mask = inherited(self.mask, parents)

    def admit(self, slots: Sequence[int], prompt: SelfCache) -> None:
        """Give slots to the rows of ``prompt``, right before the next column."""
        n = prompt.column
        self.make_room(max(0, n - self.column))
        self.column = max(self.column, n)
        first = self.column - n
        for row, slot in enumerate(slots):
            for mine, new in zip(self.keys + self.values, prompt.keys + prompt.values, strict=True):
                mine[slot, :, first : self.column] = new[row, :, :n]
            self.mask[slot] = hidden_value(self.mask.dtype)
            self.mask[slot, :, :, first : self.column] = 0.0
            self.starts[slot] = first

    def keep(self, slots: Sequence[int]) -> None:
        """Drop all other slots."""
        index = mx.array(list(slots))
        self.keys = [k[index] for k in self.keys]
        self.values = [v[index] for v in self.values]
        self.mask = self.mask[index]
        self.starts = [self.starts[s] for s in slots]

    def arrays(self) -> list[mx.array]:
        """Everything that has to be evaluated."""
        return [*self.keys, *self.values, self.mask]

    def make_room(self, n: int) -> None:
        """Have room for ``n`` more columns."""
        if self.column + n <= self.columns:
            return
        unused = min(self.starts) // STEP * STEP
        if unused >= 2 * STEP:
            self._shift(unused)
        if self.column + n > self.columns:
            self._grow(max(n, 4 * STEP * self.mask.shape[2]))

    def _shift(self, by: int) -> None:
        def shifted(a: mx.array, fill: float) -> mx.array:
            axis = a.ndim - 1 if a is self.mask else 2
            kept = a[..., by:] if axis == 3 else a[:, :, by:]
            return _extended(kept, by, axis, fill)

        self.keys = [shifted(k, 0.0) for k in self.keys]
        self.values = [shifted(v, 0.0) for v in self.values]
        self.mask = shifted(self.mask, hidden_value(self.mask.dtype))
        self.column -= by
        self.starts = [start - by for start in self.starts]

    def _grow(self, by: int) -> None:
        by = -(-by // STEP) * STEP
        self.keys = [_extended(k, by, 2, 0.0) for k in self.keys]
        self.values = [_extended(v, by, 2, 0.0) for v in self.values]
        self.mask = _extended(self.mask, by, 3, hidden_value(self.mask.dtype))


class TracedCache:
    """A step's view of a :class:`SelfCache` within a compiled function, where the next column is an array.

    All columns are in view, so that the function's shapes stay the same from step to step.
    """

    def __init__(
        self, keys: Sequence[mx.array], values: Sequence[mx.array], mask: mx.array, column: mx.array
    ):
        self.keys = list(keys)
        self.values = list(values)
        self.mask = mask
        self.column = column

    def open_columns(self) -> mx.array:
        """As :meth:`SelfCache.open_columns`, for columns that there is room for."""
        slots, _, width, _ = self.mask.shape
        own = mx.broadcast_to(own_columns(width, self.mask.dtype), (slots, 1, width, width))
        self.mask = mx.slice_update(self.mask, own, self.column, (3,))
        return self.mask

    def write(self, layer: int, keys: mx.array, values: mx.array) -> KeysValues:
        """As :meth:`SelfCache.write`."""
        self.keys[layer] = mx.slice_update(self.keys[layer], keys, self.column, (2,))
        self.values[layer] = mx.slice_update(self.values[layer], values, self.column, (2,))
        return self.keys[layer], self.values[layer]


def inherited(mask: mx.array, parents: mx.array) -> mx.array:
    """Each hypothesis' row of the mask (slots, 1, width, columns), from its parent (slots, width)."""
    return mx.take_along_axis(mask, parents[:, None, :, None], axis=2)


def own_columns(width: int, dtype: mx.Dtype) -> mx.array:
    """Additive, (width, width): each hypothesis sees its own of the columns that a step writes."""
    return mx.where(mx.eye(width) > 0, 0.0, hidden_value(dtype)).astype(dtype)


def _extended(a: mx.array, by: int, axis: int, fill: float) -> mx.array:
    shape = list(a.shape)
    shape[axis] = by
    return mx.concatenate([a, mx.full(shape, fill, a.dtype)], axis=axis)


class StackedCross:
    """Cross-attention keys and values of all slots in one array a layer, for kernels that take batches."""

    def __init__(self, windows: Sequence[WindowCross]) -> None:
        self.layers = [
            (mx.stack([k for k, _ in layer]), mx.stack([v for _, v in layer]))
            for layer in zip(*windows, strict=True)
        ]

    def __getitem__(self, i: int) -> KeysValues:
        """A layer's, (slots, heads, ·, ·) each."""
        return self.layers[i]

    def put(self, slot: int, window: WindowCross) -> None:
        """Replace what a slot holds."""
        for (keys, values), (k, v) in zip(self.layers, window, strict=True):
            keys[slot] = k
            values[slot] = v

    def window(self, slot: int) -> WindowCross:
        """What a slot holds."""
        return [(k[slot], v[slot]) for k, v in self.layers]

    def keep(self, slots: Sequence[int]) -> None:
        """Drop all other slots."""
        index = mx.array(list(slots))
        self.layers = [(k[index], v[index]) for k, v in self.layers]


class ListedCross:
    """The same, a pair for each slot: nothing is copied when windows come and go."""

    def __init__(self, windows: Sequence[WindowCross]) -> None:
        self.windows = list(windows)

    def __getitem__(self, i: int) -> list[KeysValues]:
        """A layer's, one pair a slot, (heads, ·, ·) each."""
        return [window[i] for window in self.windows]

    def put(self, slot: int, window: WindowCross) -> None:
        """Replace what a slot holds."""
        self.windows[slot] = window

    def window(self, slot: int) -> WindowCross:
        """What a slot holds."""
        return self.windows[slot]

    def keep(self, slots: Sequence[int]) -> None:
        """Drop all other slots."""
        self.windows = [self.windows[s] for s in slots]


CrossCache = StackedCross | ListedCross
CrossLayers = CrossCache | Sequence[KeysValues]
"""What a decoder reads: by layer, each (slots, heads, ·, ·) or a pair a slot."""


def split_windows(layers: Sequence[KeysValues]) -> list[WindowCross]:
    """A batch's keys and values by layer, (windows, heads, ·, ·), as one list a window."""
    count = layers[0][0].shape[0]
    return [[(k[w], v[w]) for k, v in layers] for w in range(count)]
