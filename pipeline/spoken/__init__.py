"""How written words are said: "$5.20" as "five dollars twenty", "GPT-4" as "g p t four", "2014" three ways.

An aligner has to find in the sound what a transcript writes down. Every written word gets a few spoken forms, the
likelier ones first; which of them was said, the sound decides. A form keeps the way back: each of its letters
knows which written character it stands for.

Numbers are spelt by num2words (LGPL-2.1), some fifty languages; units, symbols and abbreviations stand in one file
per language in ``languages/``. Where a language lacks words for a numeral or a symbol, the form says
:data:`UNKNOWN`: something is said there that nobody can spell.
"""

from __future__ import annotations

from pipeline.spoken._forms import MOST_FORMS, UNKNOWN, Form, spoken_forms
from pipeline.spoken._language import language as spoken_language

__all__ = ["MOST_FORMS", "UNKNOWN", "Form", "spoken_forms", "spoken_language"]
