"""Numeric embeddings: several learned numbers in place of each numeric feature.

A plain network finds it hard to learn jumps and fine patterns in a feature. An embedding gives it functions of the
feature that are bent already: cosines of many frequencies, or pieces of straight lines.
"""

from abc import abstractmethod

from skmlp._configurable import Configurable
from skmlp.nn.layers.base import Layer

__all__ = ["NUMERIC_EMBEDDINGS", "NumericEmbedding"]

NUMERIC_EMBEDDINGS: "dict[str, type[NumericEmbedding]]" = {}


class NumericEmbedding(Configurable):
    """A kind of numeric embedding.

    ``class PBLD(NumericEmbedding, name="pbld")`` gives it a name.
    """

    registry = NUMERIC_EMBEDDINGS

    @abstractmethod
    def layer(self, n_features: int) -> Layer:
        """Return the layer for that many numeric features. Its output has the numbers of the features side by side."""
