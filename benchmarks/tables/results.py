"""The results file: a line of JSON for each training, appended as soon as it is done."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Key = tuple[str, int, str, str, int]


def key(record: Record) -> Key:
    """Return what makes a training the same: set, seed, method, version of the method, limit of the rows."""
    return record["set"], record["seed"], record["method"], record["version"], record["max_rows"]


def read(path: Path) -> list[Record]:
    """Return the records of the file, the last of each key; none if there is no file.

    A line that was cut off, because the process ended while it wrote, is left out.
    """
    found: dict[Key, Record] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            found.pop(key(record), None)  # so that the order is that of the last ones
            found[key(record)] = record
    return list(found.values())


def append(path: Path, record: Record) -> None:
    """Append the record, after the end of a line that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(record).encode() + b"\n")


def newest(records: Iterable[Record], max_rows: int) -> list[Record]:
    """Return the records with that limit of rows, of the version that each method was last run in; nothing is mixed."""
    own = [record for record in records if record["max_rows"] == max_rows]
    last = {record["method"]: record["version"] for record in own}
    return [record for record in own if last[record["method"]] == record["version"]]
