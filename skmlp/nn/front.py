"""The front of a network for tables: from the columns of an encoded table to the inputs of the first dense layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from skmlp.nn.layers import CategoryEmbedding, Columns, Layer, NumericEmbedding, OneHot, Parallel, Scale

__all__ = ["Front", "TableLayout"]


@dataclass(frozen=True)
class TableLayout:
    """What the columns of an encoded table are, group after group.

    Attributes
    ----------
    n_numbers : int
    n_flags : int
        Columns of -1 and 1 for two categories, and 0 for one not seen in training.
    one_hot, embedded : tuple of int
        The number of columns of codes, and of categories in all of them, for each of the two ways to treat categories.
        The codes count through the columns of a group.
    """

    n_numbers: int
    n_flags: int = 0
    one_hot: tuple[int, int] = (0, 0)
    embedded: tuple[int, int] = (0, 0)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.n_numbers + self.n_flags + self.one_hot[0] + self.embedded[0]


@dataclass(frozen=True)
class Front:
    """Branches that embed numbers and categories, each reading its columns, with a learned scale of their outputs.

    Attributes
    ----------
    layout : TableLayout
    numeric_embedding : NumericEmbedding or None
        None passes numbers on.
    dimension : int
        Of the embeddings of categories.
    input_scale : float or None
        The factor on the learning rate of the learned scales; None has none.
    """

    layout: TableLayout
    numeric_embedding: NumericEmbedding | None = None
    dimension: int = 8
    input_scale: float | None = None

    def layers(self) -> list[Layer | Parallel]:
        """Return the layers, whose output goes to the first dense layer."""
        layout, stop = self.layout, 0
        branches: list[Sequence[Layer]] = []
        for n, layers in (
            (layout.n_numbers, self._embed(layout.n_numbers)),
            (layout.n_flags, []),
            (layout.one_hot[0], [OneHot(*layout.one_hot)]),
            (layout.embedded[0], [CategoryEmbedding(*layout.embedded, self.dimension)]),
        ):
            start, stop = stop, stop + n
            if n == layout.n_columns:
                branches.append(layers)
            elif n > 0:
                branches.append([Columns(layout.n_columns, start, stop), *layers])
        found: list[Layer | Parallel] = [Parallel(*branches)] if len(branches) > 1 else list(*branches)
        return found if self.input_scale is None else [*found, Scale(self.width, self.input_scale)]

    @property
    def width(self) -> int:
        """Number of columns of the output."""
        layout = self.layout
        embedded = self._embed(layout.n_numbers)
        n_numbers = embedded[0].n_out if embedded else layout.n_numbers
        return n_numbers + layout.n_flags + layout.one_hot[1] + layout.embedded[0] * self.dimension

    def _embed(self, n_numbers: int) -> list[Layer]:
        return [] if self.numeric_embedding is None or n_numbers == 0 else [self.numeric_embedding.layer(n_numbers)]
