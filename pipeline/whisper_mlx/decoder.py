"""Whisper's text decoder, one step or one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from pipeline.whisper_mlx.config import Dims
from pipeline.whisper_mlx.kernels import Kernels, KeysValues
from pipeline.whisper_mlx.kv_cache import CrossLayers, SelfCache, TracedCache, hidden_value
from pipeline.whisper_mlx.layers import LayerNorm, Linear, QuantizedLinear, Reader, split_heads

AnyLinear = Linear | QuantizedLinear


@dataclass(frozen=True)
class DecoderBlock:
    """``qkv`` and ``cross_query`` give scaled queries; ``cross_kv`` keys and values side by side."""

    attn_ln: LayerNorm
    qkv: AnyLinear
    out: AnyLinear
    cross_ln: LayerNorm
    cross_query: AnyLinear
    cross_kv: AnyLinear
    cross_out: AnyLinear
    mlp_ln: LayerNorm
    up: AnyLinear
    down: AnyLinear


class Decoder:
    """Tokens and cross-attention keys and values to logits."""

    def __init__(self, reader: Reader, dims: Dims, kernels: Kernels) -> None:
        self.dims = dims
        self.kernels = kernels
        self.dtype = reader.dtype
        self.embedding = reader.embedding("decoder.token_embedding")
        self.positions = reader.tensor("decoder.positional_embedding")
        scale = (dims.n_text_state // dims.n_text_head) ** -0.5 * kernels.softmax_scale
        self.blocks = [_block(reader, f"decoder.blocks.{i}", scale) for i in range(dims.n_text_layer)]
        self.ln = reader.norm("decoder.ln")
        self.head = reader.linear("decoder.token_embedding")

    def cross(self, features: mx.array) -> list[KeysValues]:
        """Keys and values of each layer, once per window; features (windows, ctx, state)."""
        return [self._cross_kv(block, features) for block in self.blocks]

    def _cross_kv(self, block: DecoderBlock, features: mx.array) -> KeysValues:
        keys, values = split_heads(block.cross_kv(features), 2, self.dims.n_text_head)
        return self.kernels.cross_keys(keys), mx.contiguous(values)

    def __call__(
        self,
        tokens: mx.array,
        positions: mx.array,
        cache: SelfCache | TracedCache,
        mask: mx.array,
        cross: CrossLayers,
        watch: Callable[[int, mx.array], None] = lambda layer, queries: None,
    ) -> mx.array:
        """Hidden states (windows, n, state) of tokens (windows, n), whose keys enter the cache's next n columns.

        ``mask`` is additive, (windows or 1, 1, n, columns in view). ``watch`` is shown each layer's
        cross-attention queries, (windows, heads, n, head_dim).
        """
        x = self.embedding[tokens] + self.positions[positions]
        for i, block in enumerate(self.blocks):
            x = x + self._self_attend(i, block, block.attn_ln(x), cache, mask)
            (q,) = split_heads(block.cross_query(block.cross_ln(x)), 1, self.dims.n_text_head)
            watch(i, q)
            x = x + block.cross_out(_joined(self.kernels.cross_attention(q, cross[i])))
            x = x + self.kernels.mlp(block.mlp_ln(x), block.up, block.down)
        return self.ln(x)

    def prefill(self, tokens: mx.array, cross: CrossLayers) -> tuple[mx.array, SelfCache]:
        """Hidden states and cache of whole prompts (windows, n)."""
        windows, n = tokens.shape
        cache = SelfCache.empty(self.dims, windows, 1, n, self.dtype)
        hidden = self(tokens, mx.arange(n)[None], cache, causal_mask(n, self.dtype), cross)
        cache.column = n
        return hidden, cache

    def logits(self, hidden: mx.array) -> mx.array:
        """(..., state) to float32 (..., vocabulary)."""
        return self.head(hidden).astype(mx.float32)

    def attention_weights(
        self, tokens: mx.array, cross: CrossLayers, heads: Sequence[tuple[int, int]]
    ) -> mx.array:
        """Cross-attention of (layer, head) pairs in one teacher-forced pass, (windows, heads, n, frames).

        Word times come out of these: tokens (windows, n) are the prompt, the text and the end.
        """
        recorded: dict[int, mx.array] = {}

        def watch(layer: int, queries: mx.array) -> None:
            if any(layer == wanted for wanted, _ in heads):
                recorded[layer] = self.kernels.cross_weights(queries, cross[layer])

        windows, n = tokens.shape
        cache = SelfCache.empty(self.dims, windows, 1, n, self.dtype)
        self(tokens, mx.arange(n)[None], cache, causal_mask(n, self.dtype), cross, watch)
        return mx.stack([recorded[layer][:, head] for layer, head in heads], axis=1)

    def _self_attend(
        self, i: int, block: DecoderBlock, x: mx.array, cache: SelfCache | TracedCache, mask: mx.array
    ) -> mx.array:
        q, k, v = split_heads(block.qkv(x), 3, self.dims.n_text_head)
        keys, values = cache.write(i, k, v)
        return block.out(_joined(self.kernels.attention(q, keys, values, mask)))


def _joined(x: mx.array) -> mx.array:
    """(windows, heads, n, head_dim) to (windows, n, state)."""
    windows, _, n, _ = x.shape
    return x.transpose(0, 2, 1, 3).reshape(windows, n, -1)


def causal_mask(n: int, dtype: mx.Dtype) -> mx.array:
    """Additive, (1, 1, n, n)."""
    i = mx.arange(n)
    return mx.where(i[:, None] >= i[None], 0.0, hidden_value(dtype)).astype(dtype)[None, None]


def _block(reader: Reader, name: str, scale: float) -> DecoderBlock:
    attn, cross = f"{name}.attn", f"{name}.cross_attn"
    return DecoderBlock(
        attn_ln=reader.norm(f"{name}.attn_ln"),
        qkv=reader.linear(f"{attn}.query", f"{attn}.key", f"{attn}.value", scales=(scale, 1.0, 1.0)),
        out=reader.linear(f"{attn}.out"),
        cross_ln=reader.norm(f"{name}.cross_attn_ln"),
        cross_query=reader.linear(f"{cross}.query", scales=(scale,)),
        cross_kv=reader.linear(f"{cross}.key", f"{cross}.value"),
        cross_out=reader.linear(f"{cross}.out"),
        mlp_ln=reader.norm(f"{name}.mlp_ln"),
        up=reader.linear(f"{name}.mlp1"),
        down=reader.linear(f"{name}.mlp2"),
    )
