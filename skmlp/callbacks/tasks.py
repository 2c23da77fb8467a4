"""Where a fit stands in scikit-learn's tree of tasks: the only place that reads its (experimental) contexts."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Place", "fit_name", "is_epoch", "is_fit", "is_fold", "place_of"]

# The tasks of a search that fit its estimator, and those of a halving search around them.
_EVALUATION, _REFIT = "candidate-split-evaluation", "refit-with-best-params"
_ITERATION = "halving-iteration"


@dataclass(frozen=True)
class Place:
    """A task in the tree that begins with the outermost fit.

    Attributes
    ----------
    tree : str
        Identifies the tree.
    ids : tuple of int
        The tasks' numbers on the way from the root to here.
    path : str
        The same in words, ``"GridSearchCV > search > Pipeline[3] > MLPClassifier"``.
    root_name : str
        Class of the outermost estimator.
    role : {"fit", "cv", "refit"}
        Outside any search; for a candidate on a split; again on all data with the best candidate.
    split : int or None
        For ``"cv"``: ``candidate * n_splits + split``.
    n_fits : int or None
        For ``"cv"``: how many such fits there are (in the halving iteration).
    iteration : int or None
        Of a halving search.
    """

    tree: str
    ids: tuple[int, ...]
    path: str
    root_name: str
    role: Literal["fit", "cv", "refit"]
    split: int | None = None
    n_fits: int | None = None
    iteration: int | None = None

    @property
    def is_root(self) -> bool:
        """True for the outermost fit itself."""
        return len(self.ids) == 1

    @property
    def is_first(self) -> bool:
        """True inside the one fit of a search that begins before all others."""
        return self.role == "cv" and self.split == 0 and self.iteration in (None, 0)

    @property
    def branch(self) -> str:
        """The way from the root to here, the same in every process: ``"/1.0"``; ``""`` for the root itself."""
        return f"/{'.'.join(map(str, self.ids[1:]))}" if len(self.ids) > 1 else ""


def place_of(context: Any) -> Place:
    """Return where the task of a callback context stands."""
    contexts = [context]
    while contexts[0].parent is not None:
        contexts.insert(0, contexts[0].parent)
    words = []
    role: Literal["fit", "cv", "refit"] = "fit"
    split = n_fits = iteration = None
    for task in contexts:
        numbered = task.source_task_name == _EVALUATION or task.task_name not in ("fit", "search")
        name = task.estimator_name if task.task_name == "fit" else task.task_name
        words.append(f"{name}[{task.task_id}]" if numbered else name)
        if role != "fit":
            continue  # a search inside a search: what counts is the outer one
        if task.source_task_name == _EVALUATION:
            role, split, n_fits = "cv", task.task_id, task.parent.max_subtasks
            iteration = task.parent.task_id if task.parent.task_name == _ITERATION else None
        elif task.source_task_name == _REFIT:
            role = "refit"
    return Place(
        tree=str(context.root_uuid),
        ids=tuple(task.task_id for task in contexts),
        path=" > ".join(words),
        root_name=contexts[0].estimator_name,
        role=role,
        split=split,
        n_fits=n_fits,
        iteration=iteration,
    )


def fit_name(context: Any) -> str:
    """Return a short name of the fit, unlike that of any other in the same search.

    ``"fit"`` outside any search; ``"cv7"`` for the fit ``candidate * n_splits + split`` of one, and ``"refit"``.
    Halving iterations and searches in searches come before it: ``"iteration1-cv7"``.
    """
    parts: list[str] = []
    task = context
    while task is not None:
        if task.source_task_name == _EVALUATION:
            parts.insert(0, f"cv{task.task_id}")
        elif task.source_task_name == _REFIT:
            parts.insert(0, "refit")
        elif task.task_name == _ITERATION:
            parts.insert(0, f"iteration{task.task_id}")
        task = task.parent
    return "-".join(parts) or "fit"


def is_epoch(context: Any) -> bool:
    """Tell whether a task is an epoch of an estimator of ours."""
    return bool(context.task_name == "epoch")


def is_fit(context: Any) -> bool:
    """Tell whether a task is a whole fit of an estimator, not a step inside of one."""
    return bool(context.task_name == "fit")


def is_fold(context: Any) -> bool:
    """Tell whether a task is the fit of a search's estimator."""
    return context.source_task_name in (_EVALUATION, _REFIT)
