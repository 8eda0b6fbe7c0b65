"""pyannote.audio's speaker diarization without torch: windows, counting, clustering, reconstruction in numpy.

The two networks (segmentation, speaker embedding) are handed in, so that the same core runs over MLX or torch.
Method: Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech 2023; powerset segmentation:
Plaquet and Bredin, Interspeech 2023; VBx: Landini et al., Computer Speech & Language 2022. Reference:
pyannote.audio 4.0.7, ``pipelines/speaker_diarization.py`` and ``pipelines/clustering.py`` (MIT).
"""
