"""How the phone heads and the spelling rules of ``encoder_head`` are made; see README.md in this folder."""
