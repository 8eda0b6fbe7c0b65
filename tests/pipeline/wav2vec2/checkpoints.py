"""Checkpoints of every variant in the sizes of a test, with random weights, and what the reference makes of them.

Weights are drawn so that logits are some ten units wide, as a trained model's are: then a wrong norm shows.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "conv_dim": (24,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 32,
    "pad_token_id": 0,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
VARIANTS = {
    "wav2vec2 base": ("wav2vec2", {}),
    "wav2vec2 base with biases": ("wav2vec2", {"conv_bias": True}),
    "wav2vec2 large, XLSR": ("wav2vec2", STABLE),
    "odd positions": ("wav2vec2", {"num_conv_pos_embeddings": 15}),
    "HuBERT base": ("hubert", {}),
    "HuBERT large": ("hubert", STABLE),
    "HuBERT without a norm of features": ("hubert", {"feat_proj_layer_norm": False}),
    "MMS": ("wav2vec2", {**STABLE, "adapter_attn_dim": 8}),
}


def random_model(kind: str, more: dict):
    """A transformers model with a CTC head."""
    import torch
    from transformers import HubertConfig, HubertForCTC, Wav2Vec2Config, Wav2Vec2ForCTC

    config, model = {"wav2vec2": (Wav2Vec2Config, Wav2Vec2ForCTC), "hubert": (HubertConfig, HubertForCTC)}[
        kind
    ]
    torch.manual_seed(0)
    return randomised(model(config(**{**SMALL, **more})).eval(), "lm_head")


def randomised(model, head: str):
    """The model with norms and biases that are not one and zero, and wide logits."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(
                    float("norm" in name and name.endswith("weight")) + 0.1 * torch.randn(len(parameter))
                )
            elif name == f"{head}.weight":
                parameter.normal_(0, 1.5)
    return model


def save(model, folder: Path, *, normalise: bool = True, pickled: bool = False) -> Path:
    """The model as a checkpoint in the Hugging Face format."""
    model.save_pretrained(folder, safe_serialization=not pickled)
    vocabulary = {"<pad>": 0, "<unk>": 1, "|": 2} | {chr(97 + i): 3 + i for i in range(26)}
    if getattr(model.config, "adapter_attn_dim", None) is not None:
        vocabulary = {"eng": vocabulary, "fra": {**vocabulary, "é": 29}}
        save_adapter(model, folder / "adapter.fra.safetensors")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": normalise}))
    return folder


def save_adapter(model, path: Path) -> None:
    """What belongs to one language: the blocks' adapters and the head."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().contiguous() for name, tensor in model._get_adapters().items()}, path)


def waveforms(*seconds: float) -> list[np.ndarray]:
    """Noise of several colours and levels."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.uniform(0.01, 0.5) * np.convolve(rng.normal(0, 1, round(16_000 * s)), np.ones(3) / 3, "same")
        ).astype(np.float32)
        for s in seconds
    ]


def reference(model, waveform: np.ndarray) -> np.ndarray:
    """Logits (frames, vocabulary) of a transformers or torchaudio model."""
    import torch

    with torch.inference_mode():
        out = model(torch.from_numpy(waveform)[None])
    return (out.logits if hasattr(out, "logits") else out[0])[0].numpy()
