"""Text similarity by the character trigrams that two texts share.

Serve it locally with

    modal-local examples/similarity.py

and call it from SQL as 'local:similarity/compute_similarity'.  It needs
nothing but Python's standard library.  To run the same function on Modal,
see docs/getting-started.md.
"""

from collections import Counter
from functools import lru_cache
from math import sqrt

_N = 3


@lru_cache(maxsize=1024)
def _profile(text: str) -> tuple[dict[str, int], int]:
    """How often each n-gram occurs in the text, and the squared length of that vector."""
    padded = f"  {' '.join(text.lower().split())} "
    counts = Counter(padded[i : i + _N] for i in range(len(padded) - _N + 1))
    return counts, sum(n * n for n in counts.values())


def compute_similarity(query: str, body: str) -> float:
    """Cosine of the two texts' n-gram counts: 0 (nothing shared) to 1 (same text)."""
    query_counts, query_square = _profile(query)
    body_counts, body_square = _profile(body)
    shared = sum(n * body_counts[gram] for gram, n in query_counts.items() if gram in body_counts)
    return shared / sqrt(query_square * body_square)
