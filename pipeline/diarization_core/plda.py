"""Speaker embeddings to features in which VBx compares them: centring, LDA, PLDA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh


@dataclass(frozen=True)
class Plda:
    """community-1's transform; reference: pyannote.audio ``utils/vbx.py`` (Apache-2.0), ``vbx_setup``."""

    mean1: np.ndarray  # (embedding,)
    mean2: np.ndarray  # (lda,)
    lda: np.ndarray  # (embedding, lda)
    mu: np.ndarray  # (lda,)
    transform: np.ndarray  # (lda, lda)
    phi: np.ndarray  # (lda,) between-class variances

    @classmethod
    def from_files(cls, xvec_transform: Path, plda: Path, dimension: int = 128) -> Plda:
        """From ``xvec_transform.npz`` and ``plda.npz``. Pickled arrays are refused."""
        x = np.load(xvec_transform, allow_pickle=False)
        p = np.load(plda, allow_pickle=False)
        tr, psi = p["tr"], p["psi"]
        within = np.linalg.inv(tr.T.dot(tr))
        between = np.linalg.inv((tr.T / psi).dot(tr))
        variances, vectors = eigh(between, within)
        return cls(
            x["mean1"],
            x["mean2"],
            x["lda"],
            p["mu"],
            vectors.T[::-1][:dimension],
            variances[::-1][:dimension],
        )

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings (n, embedding) to features (n, dimension)."""
        wide, narrow = self.lda.shape
        reduced = self.lda.T.dot(np.sqrt(wide) * _unit(embeddings - self.mean1).T).T - self.mean2
        return (np.sqrt(narrow) * _unit(reduced) - self.mu).dot(self.transform.T)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, ord=2)[:, np.newaxis]
