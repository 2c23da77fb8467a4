"""Types of matplotlib, which is optional and imported only when something is drawn."""

from typing import TYPE_CHECKING, Any

__all__ = ["Artist", "Axes", "Axis", "BboxBase", "Colorbar", "Figure", "Legend", "Line2D", "SubFigure"]

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.transforms import BboxBase
else:
    Artist = Axes = Axis = BboxBase = Colorbar = Figure = Legend = Line2D = SubFigure = Any
