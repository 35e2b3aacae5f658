"""Text embeddings by feature hashing: words and character trigrams, hashed
into a vector of unit length, so that the dot product of two embeddings is the
cosine similarity of their texts.

    modal-local examples/embeddings.py

serves 'local:embeddings/embed_text', which returns a list of floats that fits
a float4[] column (or pgvector's vector), and 'local:embeddings/Embedder{…}.embed',
a class whose number of dimensions is a parameter.
"""

from hashlib import blake2b
from math import sqrt


def _features(text: str):
    words = text.lower().split()
    yield from words
    for word in words:
        padded = f"<{word}>"
        for i in range(len(padded) - 2):
            yield padded[i : i + 3]


def embed_text(text: str, dimensions: int = 64) -> list[float]:
    """The text's embedding, of unit length (all zero for an empty text)."""
    vector = [0.0] * dimensions
    for feature in _features(text):
        hashed = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
        vector[(hashed >> 1) % dimensions] += 1.0 if hashed & 1 else -1.0
    length = sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]


class Embedder:
    """embed_text with the number of dimensions fixed once, as a class parameter."""

    dimensions: int = 64

    def embed(self, text: str) -> list[float]:
        return embed_text(text, self.dimensions)
