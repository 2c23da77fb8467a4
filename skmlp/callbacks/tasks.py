"""The place of a fit in scikit-learn's tree of tasks. Only this module reads the (experimental) callback contexts."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Place", "fit_name", "is_epoch", "is_fit", "is_fold", "place_of"]

# The tasks of a search that fit its estimator, and the iterations of a halving search.
_EVALUATION, _REFIT = "candidate-split-evaluation", "refit-with-best-params"
_ITERATION = "halving-iteration"


@dataclass(frozen=True)
class Place:
    """A task in the tree whose root is the outermost fit.

    Attributes
    ----------
    tree : str
        Identifies the tree.
    ids : tuple of int
        The numbers of the tasks from the root to this one.
    path : str
        The names of these tasks, ``"GridSearchCV > search > Pipeline[3] > MLPClassifier"``.
    root_name : str
        Name of the class of the outermost estimator.
    role : {"fit", "cv", "refit"}
        Outside a search; a candidate on a split; the best candidate on all data.
    split : int or None
        For ``"cv"``: ``candidate * n_splits + split``.
    n_fits : int or None
        For ``"cv"``: the number of such fits (in the halving iteration).
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
        """True inside the first fit of a search."""
        return self.role == "cv" and self.split == 0 and self.iteration in (None, 0)

    @property
    def branch(self) -> str:
        """The task numbers below the root as text, the same in every process: ``"/1.0"``; ``""`` for the root."""
        return f"/{'.'.join(map(str, self.ids[1:]))}" if len(self.ids) > 1 else ""


def place_of(context: Any) -> Place:
    """Return the place of a callback context's task."""
    contexts = [context]
    while contexts[0].parent is not None:
        contexts.insert(0, contexts[0].parent)
    names = []
    role: Literal["fit", "cv", "refit"] = "fit"
    split = n_fits = iteration = None
    for task in contexts:
        numbered = task.source_task_name == _EVALUATION or task.task_name not in ("fit", "search")
        name = task.estimator_name if task.task_name == "fit" else task.task_name
        names.append(f"{name}[{task.task_id}]" if numbered else name)
        if role != "fit":
            continue  # of nested searches, the outer one counts
        if task.source_task_name == _EVALUATION:
            role, split, n_fits = "cv", task.task_id, task.parent.max_subtasks
            iteration = task.parent.task_id if task.parent.task_name == _ITERATION else None
        elif task.source_task_name == _REFIT:
            role = "refit"
    return Place(
        tree=str(context.root_uuid),
        ids=tuple(task.task_id for task in contexts),
        path=" > ".join(names),
        root_name=contexts[0].estimator_name,
        role=role,
        split=split,
        n_fits=n_fits,
        iteration=iteration,
    )


def fit_name(context: Any) -> str:
    """Return a short name of the fit that is unique in its search.

    ``"fit"`` outside a search; in one ``"cv7"`` for the fit number ``candidate * n_splits + split``, and ``"refit"``.
    Iterations of a halving search and outer searches come first: ``"iteration1-cv7"``.
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
    """Return whether a task is an epoch of an skmlp estimator."""
    return bool(context.task_name == "epoch")


def is_fit(context: Any) -> bool:
    """Return whether a task is the complete fit of an estimator, not a part of one."""
    return bool(context.task_name == "fit")


def is_fold(context: Any) -> bool:
    """Return whether a task is the fit of a search's estimator."""
    return context.source_task_name in (_EVALUATION, _REFIT)
