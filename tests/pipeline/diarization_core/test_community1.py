"""community-1's own intermediate results on four files, from pyannote's pipeline (speakrs project, Apache-2.0)."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.diarization_core import frames, reconstruction
from pipeline.diarization_core.clustering import INACTIVE, Bounds, Vbx, trainable, vbx

SHARED = Path(os.environ.get("WHISPERX_MLX_AUDIO", Path(__file__).parents[4] / "shared" / "audio"))
GOLDEN = SHARED / "golden_community1"
FILES = ("3speakers", "pipeline", "short", "single_speaker")

pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="golden_community1 is not in the folder of shared recordings"
)


def golden(name):
    return np.load(GOLDEN / f"{name}.npy")


class GoldenPlda:
    """The features that pyannote's PLDA gave for the training embeddings of the file."""

    phi = golden("pipeline_plda_phi") if GOLDEN.is_dir() else None

    def __call__(self, train):
        np.testing.assert_array_equal(train, golden("pipeline_train_embeddings"))
        return golden("pipeline_plda_features")


@pytest.mark.parametrize("file", FILES)
def test_the_number_of_speakers_in_each_frame(file):
    counted = frames.speaker_count(golden(f"{file}_segmentation_data"), 1.0)
    np.testing.assert_array_equal(counted, golden(f"{file}_speaker_counting_data")[:, 0])


def test_powerset_classes_become_speakers():
    np.testing.assert_array_equal(
        frames.binarize(golden("powerset_input_logits")), golden("powerset_hard_output")
    )


def test_which_embeddings_take_part_in_clustering():
    windows, speakers = trainable(golden("pipeline_embeddings_data"), golden("pipeline_segmentation_data"))
    np.testing.assert_array_equal(windows, golden("pipeline_train_chunk_idx"))
    np.testing.assert_array_equal(speakers, golden("pipeline_train_speaker_idx"))


def test_vbx_responsibilities_and_priors():
    gamma, priors = vbx(
        golden("pipeline_plda_features"), GoldenPlda.phi, golden("pipeline_ahc_clusters"), 0.07, 0.8
    )
    np.testing.assert_allclose(gamma, golden("pipeline_vbx_gamma"), atol=1e-12)
    np.testing.assert_allclose(priors, golden("pipeline_vbx_pi"), atol=1e-12)


def test_from_embeddings_to_turns():
    activity = golden("pipeline_segmentation_data")
    clusters = Vbx(GoldenPlda())(golden("pipeline_embeddings_data"), activity, Bounds())
    labels = clusters.labels.copy()
    labels[activity.sum(axis=1) == 0] = INACTIVE
    np.testing.assert_array_equal(labels, golden("pipeline_hard_clusters"))
    count = frames.speaker_count(activity, 1.0)
    speaking = reconstruction.most_active(reconstruction.activations(activity, labels, 1.0), count)
    np.testing.assert_array_equal(speaking, golden("pipeline_discrete_diarization_data"))
    found = reconstruction.turns(speaking)
    rttm = [line.split() for line in (GOLDEN / "pipeline_expected.rttm").read_text().splitlines()]
    assert [(f"{s:.6f}", f"{e - s:.6f}") for s, e, _ in found] == [(row[3], row[4]) for row in rttm]
    names = reconstruction.names_in_order(found)
    assert [names[speaker] for _, _, speaker in found] == [row[7] for row in rttm]
