"""The formats of the data sets: each function returns a frame from the bytes of a file."""

import io
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

Frame = pd.DataFrame


def delimited(content: bytes, **options: Any) -> Frame:
    """Return the frame of text with a separator; numbered columns are named x0, x1 and so on."""
    frame: Frame = pd.read_csv(io.BytesIO(content), skipinitialspace=True, **options)
    return frame.rename(columns=lambda name: name if isinstance(name, str) else f"x{name}")


def keel(content: bytes) -> Frame:
    """Return the frame of a file in the format of KEEL.

    Lines ``@attribute name ...`` name the columns, the rows follow ``@data``. Without that line all lines are rows. The
    last column is the target.
    """
    lines = content.decode("latin1").splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip().lower() == "@data"]
    if not starts:
        return delimited(content, header=None)
    words = [line.split() for line in lines[: starts[0]] if line.lower().startswith("@attribute")]
    names = [name.partition("{")[0] for _, name, *_ in words]
    text = "\n".join(lines[starts[0] + 1 :])
    return delimited(text.encode(), header=None, names=names)


def parquet(content: bytes) -> Frame:
    """Return the frame of a Parquet file; pyarrow reads it."""
    return pd.read_parquet(io.BytesIO(content))


def excel(content: bytes) -> Frame:
    """Return the frame of the first sheet of an Excel file; openpyxl reads it."""
    return pd.read_excel(io.BytesIO(content))


def pickled(content: bytes) -> Frame:
    """Return a frame that was pickled and compressed by xz."""
    frame: Frame = pd.read_pickle(io.BytesIO(content), compression="xz")
    return frame


def rda(content: bytes) -> Frame:
    """Return the first frame of a file of R; pyreadr reads it."""
    import pyreadr

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.rda"
        path.write_bytes(content)
        frame: Frame = next(iter(pyreadr.read_r(path).values()))
        return frame
