"""Callbacks for scikit-learn's ``set_callbacks``, on an estimator, a pipeline or a search."""

from skmlp.callbacks.checkpoint import Checkpoint
from skmlp.callbacks.history_writer import HistoryWriter
from skmlp.callbacks.live_plot import LivePlot
from skmlp.callbacks.stop_when import StopWhen, TargetLoss

__all__ = ["Checkpoint", "HistoryWriter", "LivePlot", "StopWhen", "TargetLoss"]
