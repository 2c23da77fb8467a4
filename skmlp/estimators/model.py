"""The model of a fitted estimator: a network with its parameters, and the state needed to continue training.

Its stored form (pickle, joblib, skops) consists of arrays, numbers, strings, lists and dicts, so that no code of the
package has to be trusted when a file is loaded. Only objects passed by the user, such as a custom activation, are
stored as they are.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp._version import __version__
from skmlp.estimators.targets import loss_object
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.front import Front, TableLayout
from skmlp.nn.layers import NORMALIZATIONS, NUMERIC_EMBEDDINGS, EmbedCategories, Normalization, NumericEmbedding
from skmlp.nn.losses import LOSSES, Loss
from skmlp.nn.network import Network, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters
from skmlp.optim.schedules import Scheduled
from skmlp.training.engine import Buffers
from skmlp.training.monitor import Monitor
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

# Version of the stored form. It is increased when earlier versions of the package cannot read a new form; `_complete`
# then adds what earlier forms lack. Format 1 had no number.
FORMAT = 3


@dataclass(frozen=True)
class Architecture:
    """The architecture of the network, in terms of the constructor's parameters.

    Attributes
    ----------
    layer_sizes : tuple of int
        ``(n_features, *hidden_layer_sizes, n_outputs)``.
    activations : tuple of str or Activation
        One for each hidden layer.
    loss : str or Loss
        From :func:`~skmlp.estimators.targets.choose_loss`.
    normalization : str, Normalization or None
    dropout : tuple of float or Scheduled
        One for each hidden layer. Alone among these it may change from one training to the next.
    residual : bool
    parametrization : {"standard", "ntk"}
    layout : TableLayout or None
        The columns of an encoded table; None where the features are numbers as they are.
    numeric_embedding : str, NumericEmbedding or None
    categorical_embedding : EmbedCategories or None
    input_scale : float or None
    """

    layer_sizes: tuple[int, ...]
    activations: tuple[str | Activation, ...]
    loss: str | Loss
    normalization: str | Normalization | None = None
    dropout: tuple[float | Scheduled, ...] = ()
    residual: bool = False
    parametrization: str = "standard"
    layout: TableLayout | None = None
    numeric_embedding: str | NumericEmbedding | None = None
    categorical_embedding: EmbedCategories | None = None
    input_scale: float | None = None

    def build_network(self) -> Network:
        """Return the network."""
        chosen = self.normalization
        return multilayer_perceptron(
            self.layer_sizes,
            [_named(each, ACTIVATIONS, "activation") if isinstance(each, str) else each for each in self.activations],
            normalization=_named(chosen, NORMALIZATIONS, "normalization")() if isinstance(chosen, str) else chosen,
            front=self._front(),
            dropout=self.dropout,
            residual=self.residual,
            ntk=self.parametrization == "ntk",
        )

    def _front(self) -> Front | None:
        """Return the front of a network for tables."""
        if self.layout is None:
            return None
        embedding, categories = self.numeric_embedding, self.categorical_embedding or EmbedCategories()
        if isinstance(embedding, str):
            embedding = _named(embedding, NUMERIC_EMBEDDINGS, "numeric_embedding")()
        return Front(self.layout, embedding, categories.dimension, self.input_scale)

    def changes_from(self, fitted: "Architecture") -> str:
        """Describe the differences from the `fitted` architecture by parameter; empty if there are none."""
        pairs: Sequence[tuple[str, Any, Any]] = (
            ("hidden_layer_sizes", fitted.layer_sizes[1:-1], self.layer_sizes[1:-1]),
            ("activation", fitted.activations, self.activations),
            ("loss", fitted.loss, self.loss),
            ("normalization", fitted.normalization, self.normalization),
            ("residual", fitted.residual, self.residual),
            ("parametrization", fitted.parametrization, self.parametrization),
            ("numeric_embedding", fitted.numeric_embedding, self.numeric_embedding),
            ("categorical_embedding", fitted.categorical_embedding, self.categorical_embedding),
            ("input_scale", fitted.input_scale, self.input_scale),
        )
        return ", ".join(f"{name} was {was!r} and is now {now!r}" for name, was, now in pairs if was != now)


class Model:
    """A network with parameters and the state of its training.

    Attributes
    ----------
    architecture : Architecture
    network : Network
    loss : Loss
    state : TrainingState
    split_seed : int
        Seed of the validation split, the same for all fits that continue this one.
    learning_rate_init : float
        Of the last training.
    recipe : Recipe or None
        Of the last training. Not stored: the next training builds it again.
    settings : tuple
        Parameter values that training depends on, in the last call of partial_fit; empty after fit.
    schedule_in_words : str
        The repr of the last training's schedule, to detect a change: the object itself can be changed in place. After
        loading, it has no addresses of functions.
    """

    def __init__(
        self,
        architecture: Architecture,
        network: Network,
        state: TrainingState,
        split_seed: int,
        learning_rate_init: float,
    ) -> None:
        self.architecture = architecture
        self.network = network
        self.state = state
        self.split_seed = split_seed
        self.learning_rate_init = learning_rate_init
        self.recipe: Recipe | None = None
        self.settings: tuple[Any, ...] = ()
        self.schedule_in_words = ""
        self._buffers: Buffers | None = None
        self._monitor: Monitor | None = None
        self._monitor_before: Monitor | None = None
        self._saved: dict[str, Any] | None = None

    @property
    def params(self) -> Parameters:
        """The parameters to predict with."""
        return self.state.eval_params

    @property
    def loss(self) -> Loss:
        """The loss, with its link."""
        return loss_object(self.architecture.loss)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The compute type."""
        return self.state.params.vector.dtype

    def set_dropout(self, rates: tuple[float | Scheduled, ...]) -> None:
        """Change the dropout rates: new layers on the same parameters."""
        self.architecture = replace(self.architecture, dropout=rates)
        self.network = self.architecture.build_network()
        state = self.state
        state.params = self.network.parameters(state.params.vector)
        if state.average is not None:
            state.average = self.network.parameters(state.average.vector)
        self._buffers = self._monitor = None

    def buffers_for(self, n_samples: int) -> Buffers:
        """Return working memory for batches of `n_samples` rows, reused if it is large enough."""
        if self._buffers is None or n_samples > self._buffers.n_samples:
            self._buffers = Buffers(Objective(self.network, self.loss), self.params, n_samples)
        return self._buffers

    def monitor_for(self, every: int | None, first_epoch: int, *, closely: bool) -> Monitor:
        """Return the monitor of the training: that of the last call, which continues counting, if it still fits."""
        if self._monitor is None or self._monitor.every != every:
            self._monitor = Monitor(self.params, every=every, first_epoch=first_epoch, closely=closely)
        return self._monitor

    def fork(self) -> "Model":
        """Return an independent copy to train on."""
        model = copy.copy(self)
        model.state = self.state.copy()
        model._monitor = None if self._monitor is None else self._monitor.copy()
        model._saved = None
        return model

    def save(self) -> FloatArray:
        """Save the model before a training; return the parameters to predict with."""
        self._monitor_before = None if self._monitor is None else self._monitor.copy()
        self._saved = self.state.save(self._saved)
        vector: FloatArray = self._saved["params" if self.state.average is None else "average"]
        return vector

    def go_back(self) -> None:
        """Restore what was last saved."""
        assert self._saved is not None
        self.state.restore(self._saved)
        self._saved = None
        self._monitor = self._monitor_before

    def snapshot(self) -> "Model":
        """Return the same model with copies of its parameters; the rest is shared."""
        state, average = self.state, self.state.average
        model = copy.copy(self)
        model.state = replace(
            state,
            params=state.params.on(state.params.vector.copy()),
            average=None if average is None else average.on(average.vector.copy()),
        )
        model._buffers = None  # the training that continues uses it
        return model

    def with_params(self, vector: FloatArray) -> "Model":
        """Return the same model with other values of its parameters; the rest is shared."""
        state = replace(self.state, params=self.params.on(vector), average=None)
        return Model(self.architecture, self.network, state, self.split_seed, self.learning_rate_init)

    def to_plain(self) -> dict[str, Any]:
        """Return the stored form."""
        architecture = self.architecture
        return {
            "format": FORMAT,
            "layer_sizes": list(architecture.layer_sizes),
            "activations": list(architecture.activations),
            "loss": architecture.loss,
            "normalization": architecture.normalization,
            "dropout": list(architecture.dropout),
            "residual": architecture.residual,
            "parametrization": architecture.parametrization,
            "layout": None if architecture.layout is None else asdict(architecture.layout),
            "numeric_embedding": plain_embedding(architecture.numeric_embedding),
            "categorical_embedding": plain_embedding(architecture.categorical_embedding),
            "input_scale": architecture.input_scale,
            **self.state.to_plain(),
            "learning_rate_init": self.learning_rate_init,
            "split_seed": self.split_seed,
            "schedule_in_words": without_addresses(self.schedule_in_words),
            "monitor": None if self._monitor is None else self._monitor.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Model":
        """Undo :meth:`to_plain`, also of earlier formats.

        Raises
        ------
        ValueError
            When the format is newer, a key is missing, or a name is not registered.
        """
        plain = _complete(plain)
        if isinstance(plain["loss"], str):
            _named(plain["loss"], LOSSES, "loss")
        architecture = Architecture(
            tuple(plain["layer_sizes"]),
            tuple(plain["activations"]),
            plain["loss"],
            plain["normalization"],
            tuple(plain["dropout"]),
            plain["residual"],
            plain["parametrization"],
            None if plain["layout"] is None else _layout(plain["layout"]),
            restore_embedding(plain["numeric_embedding"]),
            restore_embedding(plain["categorical_embedding"]),
            plain["input_scale"],
        )
        network = architecture.build_network()
        state = TrainingState.from_plain(plain, network.parameters)
        model = cls(architecture, network, state, plain["split_seed"], plain["learning_rate_init"])
        model.schedule_in_words = plain["schedule_in_words"]
        if plain["monitor"] is not None:
            model._monitor = Monitor.from_plain(plain["monitor"], state.params)
        return model


def _layout(plain: Mapping[str, Any]) -> TableLayout:
    groups = {name: tuple(plain[name]) for name in ("one_hot", "embedded")}
    return TableLayout(**{**plain, **groups})


def plain_embedding(embedding: Any) -> Any:
    """Return the stored form of a parameter that chooses an embedding.

    An object of this package becomes its name and its settings, or its settings alone if there is one class to choose
    from; a user's own object, a name and None stay as they are.
    """
    if type(embedding) is EmbedCategories:
        return asdict(embedding)
    name = next((name for name, kind in NUMERIC_EMBEDDINGS.items() if type(embedding) is kind), None)
    return embedding if name is None else [name, embedding.get_params(deep=False)]


def restore_embedding(plain: Any) -> Any:
    """Undo :func:`plain_embedding`."""
    if isinstance(plain, dict):
        return EmbedCategories(**plain)
    if isinstance(plain, list):
        name, settings = plain
        return _named(name, NUMERIC_EMBEDDINGS, "numeric_embedding")(**settings)
    return plain


def without_addresses(words: str) -> str:
    """Return a repr without memory addresses, which differ between processes."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", words)


class Complete(dict[str, Any]):
    """A stored form, with an error for a missing key."""

    def __missing__(self, key: str) -> Any:
        raise ValueError(
            f"The stored estimator is damaged: there is no {key!r} in it. Load an intact copy, or fit it again."
        )


def _complete(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a stored form in the current format."""
    written = plain.get("format", 1)
    if written > FORMAT:
        raise ValueError(
            f"The estimator was stored by a later version of skmlp, in format {written}. This version, {__version__}, "
            f"reads formats up to {FORMAT}: upgrade skmlp to load the estimator."
        )
    added: dict[str, Any] = {"schedule_in_words": "", "monitor": None, "is_long": False} if written == 1 else {}
    if written < 3:
        tables = ("layout", "numeric_embedding", "categorical_embedding", "input_scale")
        added |= {"parametrization": "standard", **dict.fromkeys(tables)}
    return Complete(added | plain)


def _named(name: str, registry: Mapping[str, Any], kind: str) -> Any:
    """Return the registered object of this name."""
    if name not in registry:
        raise ValueError(
            f"The stored estimator needs the {kind} {name!r}, which is not registered. If it is your own, register it "
            f"before you load the estimator; if it belongs to a later version of skmlp than {__version__}, upgrade "
            "skmlp."
        )
    return registry[name]
