"""What some methods need done to a frame: missing numbers replaced, categories as columns."""

from typing import Any

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def one_hot_and_standardized() -> Any:
    """Return the transformer of a frame into an array: one-hot categories, standardized numbers without gaps."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
    )


class MedianAndIndicator:
    """Replaces missing numbers of a frame by the median and says where; categories stay as they are."""

    def fit(self, frame: pd.DataFrame) -> "MedianAndIndicator":
        """Learn medians, and which columns have missing values."""
        numbers = frame.select_dtypes("number")
        self.medians = numbers.median().fillna(0.0)  # a column without any value has no median
        self.gaps = [name for name in numbers if numbers[name].isna().any()]
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame without missing numbers, and with a column of 0 and 1 for each that had some."""
        flags = {f"{name}_missing": frame[name].isna().astype(float) for name in self.gaps}
        return frame.fillna(self.medians.to_dict()).assign(**flags)
