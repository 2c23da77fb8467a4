"""Files after a kill, an error of the disk or a power failure."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

from skmlp.callbacks import Checkpoint, HistoryWriter, StopWhen, _files
from skmlp.callbacks._files import append_lines, move_into_place, remove_stale, temporary_beside

WITH_LOCKS = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def never(line: bytes) -> bool:
    return False


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that loads the module without the rest of the package, which takes long to import."""
    load = (
        "import importlib.util, os, signal, sys; spec = importlib.util.spec_from_file_location('files', sys.argv[1]); "
        "files = importlib.util.module_from_spec(spec); spec.loader.exec_module(files)\n"
    )
    command = [sys.executable, "-c", load + code, _files.__file__, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


# Writes one half of a checkpoint, and the other one after a line from stdin.
HALF = """
with files.temporary_beside(sys.argv[2]) as temporary:
    with open(temporary, "wb") as file:
        file.write(b"half")
        file.flush()
        print("ready", flush=True)
        if sys.stdin.readline() == "die\\n":
            os.kill(os.getpid(), signal.SIGKILL)
        file.write(b" and half")
    files.move_into_place(temporary, sys.argv[2])
"""


@WITH_LOCKS
def test_only_temporary_files_of_killed_processes_are_removed(tmp_path: Path, data: Any, small: Any) -> None:
    dead, alive = (start(HALF, tmp_path / name) for name in ("dead.joblib", "alive.joblib"))
    assert [each.stdout.readline() for each in (dead, alive) if each.stdout] == ["ready\n"] * 2
    assert len(names(tmp_path)) == 2
    dead.communicate("die\n", timeout=60)
    assert dead.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    small(max_iter=1).set_callbacks(Checkpoint(tmp_path / "at.joblib")).fit(*data)
    left, mine = names(tmp_path)
    assert left.startswith(".skmlp-")
    assert left.endswith(".alive.joblib")
    assert mine == "at.joblib"
    alive.communicate("finish\n", timeout=60)
    assert names(tmp_path) == ["alive.joblib", "at.joblib"]
    assert (tmp_path / "alive.joblib").read_bytes() == b"half and half"


@WITH_LOCKS
def test_a_new_history_file_removes_temporary_files_of_killed_processes(tmp_path: Path, data: Any, small: Any) -> None:
    dead = start(HALF, tmp_path / "history.csv")
    dead.communicate("die\n", timeout=60)
    small(max_iter=1).set_callbacks(HistoryWriter(tmp_path / "history.csv")).fit(*data)
    assert names(tmp_path) == ["history.csv"]


def test_other_files_are_not_removed(tmp_path: Path) -> None:
    others = [".skmlp", ".skmlp-notes.txt", "skmlp-0123456789abcdef.at", f".{'0' * 32}.at.joblib", ".hidden"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".skmlp-0123456789abcdef.folder").mkdir()
    remove_stale(str(tmp_path))
    assert names(tmp_path) == sorted([*others, ".skmlp-0123456789abcdef.folder"])
    remove_stale(str(tmp_path / "none"))


@WITH_LOCKS
def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def has_none(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", has_none)
    path = tmp_path / ".skmlp-0123456789abcdef.at.joblib"
    path.touch()
    remove_stale(str(tmp_path))
    assert path.exists()
    with temporary_beside(str(tmp_path / "b")) as temporary:
        move_into_place(temporary, str(tmp_path / "b"))
    append_lines(str(tmp_path / "b"), b"line\n", never)
    assert (tmp_path / "b").read_bytes() == b"line\n"
    assert names(tmp_path) == [path.name, "b"]


@WITH_LOCKS
def test_a_temporary_file_removed_before_its_lock_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, seen = _files._lock, []

    def too_late(descriptor: int, *, wait: bool = True) -> bool:
        seen.append(names(tmp_path))
        if len(seen) == 1:
            (tmp_path / seen[0][0]).unlink()
        return lock(descriptor, wait=wait)

    monkeypatch.setattr(_files, "_lock", too_late)
    with temporary_beside(str(tmp_path / "at")) as temporary:
        assert len(seen) == 2
        assert names(tmp_path) == [Path(temporary).name] == seen[1]
    assert names(tmp_path) == []


def test_file_and_folder_are_synchronized_around_the_replacement(
    tmp_path: Path, data: Any, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            steps.append(name)
            return call(*arguments)

        return noted

    monkeypatch.setattr(os, "fsync", note("fsync", fsync))
    monkeypatch.setattr(os, "replace", note("replace", replace))
    small(max_iter=2).set_callbacks(Checkpoint(tmp_path / "at.joblib")).fit(*data)
    folder = [] if sys.platform == "win32" else ["fsync"]
    assert steps == ["fsync", "replace", *folder] * 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_an_error_of_fsync_keeps_the_old_file_with_one_warning(
    code: int, tmp_path: Path, data: Any, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "at.joblib"
    small(max_iter=1).set_callbacks(Checkpoint(path)).fit(*data)
    before = path.read_bytes()

    def fails(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fails)
    stop = StopWhen(lambda history: len(history["loss"]) == 4)
    with pytest.warns(RuntimeWarning, match=rf"Cannot store .*at\.joblib \(OSError: .*{code}") as caught:
        estimator = small().set_callbacks(Checkpoint(path), stop).fit(*data)
    assert len([warning for warning in caught if warning.category is RuntimeWarning]) == 1
    assert estimator.n_iter_ == 4  # the other callback still works
    assert path.read_bytes() == before
    assert names(tmp_path) == ["at.joblib"]


def test_fsync_may_be_unsupported(tmp_path: Path, data: Any, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def has_none(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", has_none)
    small(max_iter=1).set_callbacks(Checkpoint(tmp_path / "at.joblib")).fit(*data)
    assert joblib.load(tmp_path / "at.joblib").n_iter_ == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_lines_over_the_file_size_limit_are_written_completely_or_not_at_all(tmp_path: Path) -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))
for line in (b"0123456789\\n", b"another\\n", b"too long\\n", b"yes\\n"):
    try:
        files.append_lines(sys.argv[2], line, lambda torn: False)
    except OSError as error:
        print(error.errno, flush=True)
"""
    process = start(code, tmp_path / "lines")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.split() == [str(errno.EFBIG)]
    assert (tmp_path / "lines").read_bytes() == b"0123456789\nanother\nyes\n"


def test_an_interrupted_write_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\n")
    real_open = open

    class Interrupted:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Interrupted":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, content: bytes) -> int:
            self.file.write(content[:3])
            raise KeyboardInterrupt

    monkeypatch.setattr(_files, "open", lambda *args, **kwargs: Interrupted(real_open(*args, **kwargs)), raising=False)
    with pytest.raises(KeyboardInterrupt):
        append_lines(str(path), b"second\n", never)
    assert path.read_bytes() == b"first\n"


@WITH_LOCKS
def test_the_incomplete_line_of_a_killed_process_does_not_affect_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    code = """
for number in range(50):
    files.append_lines(sys.argv[2], f"{sys.argv[3]} {number} {'x' * 100}\\n".encode(), lambda torn: False)
with open(sys.argv[2], "ab", buffering=0) as file:
    file.write(b"torn")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = start(code, path, 0)
    assert end(killed) == -signal.SIGKILL
    others = [start(code.partition("with open")[0], path, number) for number in (1, 2)]
    assert [end(other) for other in others] == [0, 0]
    written = path.read_text().splitlines()
    assert sorted(written) == sorted(f"{who} {number} {'x' * 100}" for who in range(3) for number in range(50))
