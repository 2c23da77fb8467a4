"""MLflow: every fit, fold and epoch on the dashboard. The only part of skmlp that imports mlflow, when first used."""

from skmlp.tracking.autologging import autolog
from skmlp.tracking.callback import MLflowCallback
from skmlp.tracking.dashboard import dashboard_url
from skmlp.tracking.hooks import TrackingError, TrackingWarning
from skmlp.tracking.models import log_model
from skmlp.tracking.spool import replay

__all__ = ["MLflowCallback", "TrackingError", "TrackingWarning", "autolog", "dashboard_url", "log_model", "replay"]
