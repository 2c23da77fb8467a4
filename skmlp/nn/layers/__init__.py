"""The kinds of layers that networks are made of, one in each file."""

from skmlp.nn.layers.activation import ActivationLayer
from skmlp.nn.layers.base import Batch, Kernels, Layer, LayerTrace, Quantity
from skmlp.nn.layers.batch_normalization import BatchNorm, BatchNormalization
from skmlp.nn.layers.categories import CategoryEmbedding, EmbedCategories, OneHot
from skmlp.nn.layers.columns import Columns
from skmlp.nn.layers.cosine_embedding import Cosine, CosineEmbedding
from skmlp.nn.layers.dense import Dense
from skmlp.nn.layers.dropout import Dropout
from skmlp.nn.layers.layer_normalization import LayerNorm, LayerNormalization
from skmlp.nn.layers.normalization import NORMALIZATIONS, Normalization
from skmlp.nn.layers.numeric_embedding import NUMERIC_EMBEDDINGS, NumericEmbedding
from skmlp.nn.layers.parallel import Concatenate, Parallel
from skmlp.nn.layers.parametric_activation import ParametricActivation, activation_layer
from skmlp.nn.layers.pbld import PBLD, PBLDLayer
from skmlp.nn.layers.piecewise_linear_embedding import PiecewiseLinear, PiecewiseLinearEmbedding
from skmlp.nn.layers.residual import Residual
from skmlp.nn.layers.scale import Scale

__all__ = [
    "NORMALIZATIONS",
    "NUMERIC_EMBEDDINGS",
    "ActivationLayer",
    "Batch",
    "BatchNorm",
    "BatchNormalization",
    "CategoryEmbedding",
    "Columns",
    "Concatenate",
    "Cosine",
    "CosineEmbedding",
    "Dense",
    "Dropout",
    "EmbedCategories",
    "Kernels",
    "Layer",
    "LayerNorm",
    "LayerNormalization",
    "LayerTrace",
    "Normalization",
    "NumericEmbedding",
    "OneHot",
    "PBLD",
    "PBLDLayer",
    "Parallel",
    "ParametricActivation",
    "PiecewiseLinear",
    "PiecewiseLinearEmbedding",
    "Quantity",
    "Residual",
    "Scale",
    "activation_layer",
]
