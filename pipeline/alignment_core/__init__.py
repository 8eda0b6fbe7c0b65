"""Text on the clock: the exact best path of a text through a model's frames, for CTC models and phone models.

A text is words; a word is one or more alternatives (pronunciations, spellings, ways to say a number); an
alternative is units (columns of the emission), or :data:`WILDCARD` for what has none. :func:`ctc_graph` and
:func:`hmm_graph` lay them out as a linear graph of states, :func:`align` finds the best path through it.

Imports numpy; numba when there is something to align, and where numba is missing numpy does the work.
"""

from pipeline.alignment_core.graph import EDGE, WILDCARD, Graph, ctc_graph, hmm_graph
from pipeline.alignment_core.viterbi import Alignment, PlacedUnits, PlacedWord, Span, align

__all__ = [
    "EDGE",
    "WILDCARD",
    "Alignment",
    "Graph",
    "PlacedUnits",
    "PlacedWord",
    "Span",
    "align",
    "ctc_graph",
    "hmm_graph",
]
