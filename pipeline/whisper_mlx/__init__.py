"""A batched Whisper on MLX: encoder and decoder in batches, windows taken in as others finish.

Whisper is by OpenAI (MIT; Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022).
The names of weights are those of mlx-whisper (MIT, Apple). Reading order: ``config``, ``weights``, ``log_mel``,
``encoder``, ``decoder``, ``kv_cache``, ``timestamp_rules``, ``decoding``, ``batch``, ``engine``.
"""
