"""The phone head, trained: frame cross-entropy against the phones that the synthesisers said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

UNKNOWN = -100
_BATCH_FRAMES = 6_000  # of the encoder
Example = tuple[torch.Tensor, torch.Tensor]
"""Features (frames, state) and phone ids (2 * frames,)."""


class Head(nn.Module):
    """LayerNorm, linear, two residual convolutions over three frames, two phones a frame."""

    def __init__(self, state: int, hidden: int, phones: int) -> None:
        super().__init__()
        self.phones = phones
        self.norm = nn.LayerNorm(state)
        self.inward = nn.Linear(state, hidden)
        self.conv1 = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.conv2 = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.outward = nn.Linear(hidden, 2 * phones)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(windows, frames, state) to logits (windows, 2 * frames, phones)."""
        x = F.gelu(self.inward(F.dropout(self.norm(x), 0.1, self.training))).transpose(1, 2)
        x = x + F.gelu(self.conv1(x))
        x = x + F.gelu(self.conv2(x))
        x = self.outward(F.dropout(x.transpose(1, 2), 0.1, self.training))
        return x.reshape(x.shape[0], -1, self.phones)


def trained(
    examples: Sequence[Example], phones: int, hidden: int, epochs: int, device: str, seed: int = 0
) -> tuple[Head, np.ndarray]:
    """The head and the share of frames that each phone has (phones,)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = Head(examples[0][0].shape[1], hidden, phones).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), 2e-3, weight_decay=1e-2)
    batches = _batches(examples)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * len(batches) + 1)
    for epoch in range(epochs):
        head.train()
        losses = []
        for number in rng.permutation(len(batches)):
            features, wanted = _stacked([examples[i] for i in batches[number]], device)
            loss = F.cross_entropy(head(features).flatten(0, 1), wanted.flatten(), ignore_index=UNKNOWN)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        print(f"epoch {epoch}: loss {torch.stack(losses).mean().item():.4f}", flush=True)
    counts = sum(torch.bincount(y[y != UNKNOWN].cpu(), minlength=phones) for _, y in examples)
    return head.eval(), (counts / counts.sum()).numpy()


@torch.inference_mode()
def accuracy(head: Head, examples: Sequence[Example], device: str) -> float:
    """Share of the frames whose phone is the most probable one."""
    right = total = 0
    for batch in _batches(examples):
        features, wanted = _stacked([examples[i] for i in batch], device)
        known = wanted != UNKNOWN
        right += int((head(features).argmax(-1)[known] == wanted[known]).sum())
        total += int(known.sum())
    return right / max(1, total)


def _batches(examples: Sequence[Example]) -> list[list[int]]:
    order = sorted(range(len(examples)), key=lambda i: len(examples[i][0]))
    batches: list[list[int]] = [[]]
    for index in order:
        if (len(batches[-1]) + 1) * len(examples[index][0]) > _BATCH_FRAMES:
            batches.append([])
        batches[-1].append(index)
    return [batch for batch in batches if batch]


def _stacked(chosen: Sequence[Example], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(x) for x, _ in chosen)
    features = torch.stack([F.pad(x.to(device).float(), (0, 0, 0, longest - len(x))) for x, _ in chosen])
    wanted = [F.pad(y.to(device), (0, 2 * longest - len(y)), value=UNKNOWN) for _, y in chosen]
    return features, torch.stack(wanted)
