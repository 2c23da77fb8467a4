"""How often the diagnosis finds a known fault, and only that, and how often its first remedy helps.

    python -m benchmarks.health [--cases 20] [--healthy 100] [--first 0] [--only vanishing_gradients overfitting]

Each row is a fault that is built into trainings on real data (``benchmarks/health_cases.py``), one per seed: how many
the diagnosis finds, in how many of these the first remedy lowers the validation loss (log loss, with balanced classes
for class imbalance, or mean squared error), and which other findings of at least a warning there are. The last row is
the number of healthy trainings with such findings. The thresholds of the rules were chosen on seeds below 20 (healthy
trainings: 30); ``--first 100`` uses others.
"""

import argparse
import math
import warnings
from collections import Counter
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.utils.class_weight import compute_sample_weight

from benchmarks.health_cases import FAULTS, Case, healthy
from skmlp.diagnosis import Diagnosis

# These findings are infos, and their remedies lower no loss.
INFOS = ("unused_capacity", "constant_inputs")


def fit(case: Case) -> Any:
    """Return the fitted estimator of a case; None if the fit raises an error."""
    try:
        return case.estimator.fit(case.X, case.y, X_val=case.X_val, y_val=case.y_val)
    except ValueError:
        return None


def validation_loss(model: Any, case: Case, *, balanced: bool) -> float:
    """Return the loss on the validation rows; infinite for a fit that failed."""
    if model is None:
        return math.inf
    if not is_classifier(model):
        with np.errstate(over="ignore"):
            return float(mean_squared_error(case.y_val, np.nan_to_num(model.predict(case.X_val), nan=1e300)))
    weight = compute_sample_weight("balanced", case.y_val) if balanced else None
    # Clipped, so that a single confident mistake is not infinite.
    probabilities = np.clip(model.predict_proba(case.X_val), 1e-15, 1.0)
    return float(log_loss(case.y_val, probabilities / probabilities.sum(axis=1, keepdims=True), sample_weight=weight))


def improves(case: Case, diagnosis: Diagnosis, code: str) -> bool:
    """Return whether the first remedy lowers the validation loss of a fitted case."""
    finding = diagnosis.find(code)
    assert finding is not None
    balanced = code == "class_imbalance"
    remedied = finding.remedies[0].apply(case.estimator)
    if hasattr(remedied, "steps"):  # a pipeline with a scaler: the validation rows need scaling, too
        scaler, network = remedied[0].fit(case.X), remedied[-1]
        better_case = Case(network, scaler.transform(case.X), case.y, scaler.transform(case.X_val), case.y_val)
    else:
        better_case = case._replace(estimator=remedied)
    before = validation_loss(case.estimator, case, balanced=balanced)
    return validation_loss(fit(better_case), better_case, balanced=balanced) < before


def fault_row(code: str, n_cases: int, first: int) -> tuple[int, int, int]:
    """Print a row; return the number of cases, of those found, and of those that the remedy improves."""
    found = improved = n_fitted = 0
    others: Counter[str] = Counter()
    for case in map(FAULTS[code], range(first, first + n_cases)):
        if fit(case) is None:
            continue
        n_fitted += 1
        diagnosis = case.estimator.diagnose()
        warnings_ = {finding.code for finding in diagnosis.at_least("warning")}
        if code in warnings_ or (code in INFOS and code in diagnosis.codes):
            found += 1
            improved += code not in INFOS and improves(case, diagnosis, code)
        others.update(warnings_ - {code})
    remedy = "-" if code in INFOS else f"{improved}/{found}"
    beside = ", ".join(f"{other} {count}" for other, count in others.most_common()) or "-"
    print(f"| `{code}` | {FAULTS[code].__doc__} | {found}/{n_fitted} | {remedy} | {beside} |", flush=True)
    return n_fitted, found, improved


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--healthy", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", nargs="*", choices=list(FAULTS), default=list(FAULTS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| fault | how it is made | found | remedy helps | also found |\n|---|---|---|---|---|")
    rows = {code: fault_row(code, options.cases, options.first) for code in options.only}
    n_cases, found, _ = np.sum(list(rows.values()), axis=0)
    tried = [row for code, row in rows.items() if code not in INFOS]
    n_tried, improved = sum(row[1] for row in tried), sum(row[2] for row in tried)
    helped = f"{improved}/{n_tried} ({improved / max(1, n_tried):.0%})"
    print(f"| all | | {found}/{n_cases} ({found / n_cases:.0%}) | {helped} | |")
    if options.healthy:
        seeds = range(options.first, options.first + options.healthy)
        grave = [fit(healthy(seed)).diagnose().at_least("warning") for seed in seeds]
        alarms = Counter(finding.code for findings in grave for finding in findings)
        beside = ", ".join(f"{code} {count}" for code, count in alarms.most_common()) or "-"
        print(f"| none | {healthy.__doc__} | {sum(map(bool, grave))}/{options.healthy} | - | {beside} |")


if __name__ == "__main__":
    main()
