r"""Forward and backward through a table of dense layers with activations, in one piece of memory.

The equations are those of :mod:`skmlp.nn.network`. A layer is a row of a table: its sizes, where its parameters lie in
the flat vector, and where its arrays lie in the flat memory. So one compiled function serves every network.
"""

from typing import NamedTuple

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled import normalization, products
from skmlp.compiled.activations import activate
from skmlp.compiled.intrinsics import matrix
from skmlp.compiled.jit import exact, inlined

__all__ = [
    "ACTIVATION",
    "BIASES",
    "DELTA",
    "DEVIATION",
    "DROPPED",
    "MASK",
    "NONE",
    "NORMALIZATION",
    "NORMALIZED",
    "N_COLUMNS",
    "N_IN",
    "N_OUT",
    "OFFSET",
    "OUTPUT",
    "RUNNING_MEAN",
    "RUNNING_VARIANCE",
    "SCALE",
    "SLOPES",
    "WEIGHTS",
    "Layers",
    "backward",
    "forward",
    "n_dropped",
]

# The columns of the table: sizes; the activation's number, NONE for the output layer; the kind of normalization; where
# the parameters begin; where the arrays of shape (n_samples, n_out) begin: output, slopes of the activation, mask of
# dropout, what it leaves, error signal, normalized units; where their deviations begin, and their running averages.
N_IN, N_OUT, ACTIVATION, NORMALIZATION, WEIGHTS, BIASES, SCALE, OFFSET = range(8)
OUTPUT, SLOPES, MASK, DROPPED, DELTA, NORMALIZED, DEVIATION, RUNNING_MEAN, RUNNING_VARIANCE = range(8, 17)
N_COLUMNS = 17
NONE = -1


class Layers(NamedTuple):
    """A network as arrays.

    Attributes
    ----------
    table : ndarray of shape (n_layers, N_COLUMNS), int64
    constants : ndarray of shape (n_layers, N_CONSTANTS)
        Of the activations.
    normalization : ndarray of shape (n_layers, 2), float64
        Epsilon and momentum of each layer's normalization.
    dropout : ndarray of shape (n_layers,), float64
        The rate of each layer's output.
    statistics : ndarray of shape (n_statistics,)
        The running averages, part of the parameters that are not trained.
    memory : ndarray of shape (n,)
        What passes write to.
    panel : ndarray of shape (products.panel_size(longest side of a matrix, itemsize),)
        For the matrix products.
    large : int
        Multiplications beyond which BLAS computes a product.
    """

    table: AnyArray
    constants: FloatArray
    normalization: FloatArray
    dropout: FloatArray
    statistics: FloatArray
    memory: FloatArray
    panel: FloatArray
    large: int


@inlined
def n_dropped(layers: Layers) -> int:
    """Return how many units of a row dropout draws a number for."""
    n_units = 0
    for index in range(layers.table.shape[0]):
        if layers.dropout[index] > 0.0:
            n_units += layers.table[index, N_OUT]
    return n_units


@inlined
def forward(
    layers: Layers,
    params: FloatArray,
    X: FloatArray,
    shares: FloatArray,
    total: float,
    uniforms: FloatArray,
    first: int,
    n_drawn: int,
) -> FloatArray:
    """Push `X` of shape (n_samples, n_features) through all layers and return `raw`.

    `shares` of shape (n_samples,) are those of the samples in the batch's weight `total`. `uniforms` holds the random
    numbers for dropout as NumPy would draw them, layer by layer, for `n_drawn` rows; `X` are those from `first` on.
    """
    n_samples, x, drawn = X.shape[0], X, 0
    for index in range(layers.table.shape[0]):
        layer = layers.table[index]
        n_in, n_out = layer[N_IN], layer[N_OUT]
        z = matrix(layers.memory, layer[OUTPUT], n_samples, n_out)
        products.forward(x, matrix(params, layer[WEIGHTS], n_in, n_out), z, layers.panel, layers.large)
        biases = params[layer[BIASES] : layer[BIASES] + n_out]
        if layer[NORMALIZATION] != normalization.NONE:
            _normalize(layers, index, params, z, shares, total)
            biases = params[layer[OFFSET] : layer[OFFSET] + n_out]
        if layer[ACTIVATION] == NONE:
            for row in range(n_samples):
                for unit in range(n_out):
                    z[row, unit] += biases[unit]
        else:
            slopes = matrix(layers.memory, layer[SLOPES], n_samples, n_out)
            activate(layer[ACTIVATION], layers.constants[index], z, biases, slopes)
        x = _passed_on(layers, index, n_samples)
        if layers.dropout[index] > 0.0:
            mask = matrix(layers.memory, layer[MASK], n_samples, n_out)
            _drop(layers.dropout[index], matrix(uniforms, drawn + first * n_out, n_samples, n_out), z, mask, x)
            drawn += n_drawn * n_out
    return x


@inlined
def _passed_on(layers: Layers, index: int, n_samples: int) -> FloatArray:
    """Return what the next layer gets: the output, or what dropout leaves of it."""
    layer = layers.table[index]
    return matrix(layers.memory, layer[DROPPED if layers.dropout[index] > 0.0 else OUTPUT], n_samples, layer[N_OUT])


@inlined
def backward(layers: Layers, params: FloatArray, X: FloatArray, shares: FloatArray, grad: FloatArray) -> None:
    """Push the output layer's error signal back and write all gradients but that of the output biases into `grad`."""
    n_samples = X.shape[0]
    for index in range(layers.table.shape[0] - 1, -1, -1):
        layer = layers.table[index]
        n_in, n_out = layer[N_IN], layer[N_OUT]
        x = X if index == 0 else _passed_on(layers, index - 1, n_samples)
        delta = matrix(layers.memory, layer[DELTA], n_samples, n_out)
        products.weight_gradient(x, delta, matrix(grad, layer[WEIGHTS], n_in, n_out), layers.panel, layers.large)
        if index > 0:
            before = layers.table[index - 1]
            delta_before = matrix(layers.memory, before[DELTA], n_samples, n_in)
            products.error_signal(
                delta, matrix(params, layer[WEIGHTS], n_in, n_out), delta_before, layers.panel, layers.large
            )
            if layers.dropout[index - 1] > 0.0:
                _multiply(delta_before, matrix(layers.memory, before[MASK], n_samples, n_in))
            slopes = matrix(layers.memory, before[SLOPES], n_samples, n_in)
            is_plain = before[NORMALIZATION] == normalization.NONE
            begin = before[BIASES] if is_plain else before[OFFSET]
            _through_activation(delta_before, slopes, grad[begin : begin + n_in])
            if not is_plain:
                _through_normalization(layers, index - 1, params, delta_before, shares, grad)


@inlined
def _normalize(layers: Layers, index: int, params: FloatArray, z: FloatArray, shares: FloatArray, total: float) -> None:
    """Write the multiples of the normalized units into `z`, which needs the offset still."""
    layer, settings = layers.table[index], layers.normalization[index]
    n_samples, n_units = z.shape
    biases, scale = params[layer[BIASES] : layer[BIASES] + n_units], params[layer[SCALE] : layer[SCALE] + n_units]
    z_hat, deviation = matrix(layers.memory, layer[NORMALIZED], n_samples, n_units), layers.memory[layer[DEVIATION] :]
    if layer[NORMALIZATION] == normalization.BATCH:
        mean = layers.statistics[layer[RUNNING_MEAN] : layer[RUNNING_MEAN] + n_units]
        variance = layers.statistics[layer[RUNNING_VARIANCE] : layer[RUNNING_VARIANCE] + n_units]
        deviation = deviation[: 2 * n_units]
        normalization.forward_batch(z, biases, scale, shares, total, settings, z_hat, deviation, mean, variance)
    else:
        normalization.forward_layer(z, biases, scale, settings, z_hat, deviation[:n_samples])


@inlined
def _through_normalization(
    layers: Layers, index: int, params: FloatArray, delta: FloatArray, shares: FloatArray, grad: FloatArray
) -> None:
    """Push the error signal back through a normalization, and write the gradients of its scale and of the biases."""
    layer = layers.table[index]
    n_samples, n_units = delta.shape
    scale = params[layer[SCALE] : layer[SCALE] + n_units]
    scale_gradient = grad[layer[SCALE] : layer[SCALE] + n_units]
    offset_gradient = grad[layer[OFFSET] : layer[OFFSET] + n_units]
    bias_gradient = grad[layer[BIASES] : layer[BIASES] + n_units]
    z_hat, deviation = matrix(layers.memory, layer[NORMALIZED], n_samples, n_units), layers.memory[layer[DEVIATION] :]
    if layer[NORMALIZATION] == normalization.BATCH:
        normalization.backward_batch(
            delta, z_hat, scale, shares, deviation, scale_gradient, offset_gradient, bias_gradient
        )
    else:
        normalization.backward_layer(delta, z_hat, scale, deviation, scale_gradient, bias_gradient)


@exact
def _drop(rate: float, uniforms: FloatArray, a: FloatArray, mask: FloatArray, out: FloatArray) -> None:
    """Write 0 or ``1 / (1 - rate)`` into `mask` for each unit, and its product with `a` into `out`."""
    real = a.dtype.type
    least, kept, lost = real(rate), real(1.0 / (1.0 - rate)), real(0.0)
    for row in range(a.shape[0]):
        for unit in range(a.shape[1]):
            mask[row, unit] = kept if uniforms[row, unit] >= least else lost
            out[row, unit] = a[row, unit] * mask[row, unit]


@exact
def _multiply(delta: FloatArray, mask: FloatArray) -> None:
    for row in range(delta.shape[0]):
        for unit in range(delta.shape[1]):
            delta[row, unit] *= mask[row, unit]


@exact
def _through_activation(delta: FloatArray, slopes: FloatArray, bias_gradient: FloatArray) -> None:
    """Multiply the error signal by the slopes, and write its sum over the rows."""
    bias_gradient[:] = 0.0
    for row in range(delta.shape[0]):
        for unit in range(delta.shape[1]):
            signal = delta[row, unit] * slopes[row, unit]
            delta[row, unit] = signal
            bias_gradient[unit] += signal
