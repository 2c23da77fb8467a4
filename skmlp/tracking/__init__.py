"""Tracking of fits in MLflow. Only this part of skmlp imports mlflow, and only when it is used."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skmlp.tracking.autologging import autolog
    from skmlp.tracking.callback import MLflowCallback
    from skmlp.tracking.dashboard import dashboard_url
    from skmlp.tracking.hooks import TrackingError, TrackingWarning
    from skmlp.tracking.models import log_model
    from skmlp.tracking.spool import replay
else:
    from skmlp._on_demand import on_demand

    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "MLflowCallback": "skmlp.tracking.callback",
            "TrackingError": "skmlp.tracking.hooks",
            "TrackingWarning": "skmlp.tracking.hooks",
            "autolog": "skmlp.tracking.autologging",
            "dashboard_url": "skmlp.tracking.dashboard",
            "log_model": "skmlp.tracking.models",
            "replay": "skmlp.tracking.spool",
        },
    )

__all__ = ["MLflowCallback", "TrackingError", "TrackingWarning", "autolog", "dashboard_url", "log_model", "replay"]
