"""wav2vec 2.0 and HuBERT with a CTC head, on MLX.

Baevski et al., "wav2vec 2.0", 2020; Hsu et al., "HuBERT", 2021; Pratap et al., "Scaling Speech Technology to
1,000+ Languages" (MMS), 2023.

The shapes and names are those of transformers' ``Wav2Vec2ForCTC`` and torchaudio's ``Wav2Vec2Model``; the network
follows the papers and is written for inference.

``config``      what a checkpoint says about its shape
``checkpoint``  files in: weights under one set of names, configuration, labels, normalisation
``network``     waveforms to logits
"""
