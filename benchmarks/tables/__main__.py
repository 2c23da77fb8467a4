"""The commands; see the docstring of the package."""

import argparse
import os
import sys
from pathlib import Path

import benchmarks.tables
from benchmarks.tables import archives, report, results, running
from benchmarks.tables.methods import METHODS
from benchmarks.tables.sets import BY_NAME, TABLES

RESULTS = Path("benchmarks/results")
MAX_ROWS = 10_000


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return a parser with the options that commands have in common."""
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.tables {command}".strip(),
        description=benchmarks.tables.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "tables.jsonl", help="the file of the results")
    if command in ("", "fetch"):
        default = os.environ.get("PUBLIC_DIR")
        folder = Path(default) if default else None
        parser.add_argument("--data", type=Path, default=folder, required=folder is None, help="folder of the packages")
    return parser


def expand(names: list[str]) -> list[str]:
    """Return names of sets; a task or a purpose stands for all its sets, and no name for all."""
    unknown = [name for name in names if name not in BY_NAME and not any(name in (t.task, t.purpose) for t in TABLES)]
    if unknown:
        raise SystemExit(f"no set is named {', '.join(unknown)}; python -m benchmarks.tables list")
    return [t.name for t in TABLES if not names or {t.name, t.task, t.purpose} & set(names)]


def main_run(arguments: list[str]) -> None:
    """Train and store."""
    parser = parser_of("")
    parser.add_argument(
        "--sets", nargs="+", default=[], help="names, or development, final, classification, regression"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", help="default 0 1 2, but 0 for the slowest methods")
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS, help="for training")
    parser.add_argument("--cores", type=int, default=2, help="of every method")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds of a training, its imports included")
    parser.add_argument("--resume", action="store_true", help="leave out what is stored")
    parser.add_argument(
        "--any-version", action="store_true", help="with --resume: stored with any version of the method"
    )
    parser.add_argument("--retry", action="store_true", help="with --resume: repeat what failed")
    options = parser.parse_args(arguments)
    try:
        usable, reasons = running.available(options.methods)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    for name, reason in reasons.items():
        print(f"{name}: skipped, {reason}")
    # Absolute, since it is handed to other processes.
    rest = {"max_rows": options.max_rows, "cores": options.cores, "data": str(options.data.absolute())}
    todo = list(running.pieces(usable, expand(options.sets), options.seeds, **rest))
    if options.resume:
        stored = results.read(options.results)
        todo = running.remaining(todo, stored, any_version=options.any_version, retry=options.retry)
    running.run(todo, options.results, options.limit)


def main_report(arguments: list[str]) -> None:
    """Write the tables and the plot."""
    parser = parser_of("report")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of tables.md and tables.png")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument(
        "--sets", nargs="+", default=[], help="names, or development, final, classification, regression"
    )
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS, help="only trainings with this limit")
    parser.add_argument("--reference", help="the method whose times are 1; default skmlp, else hgb")
    options = parser.parse_args(arguments)
    chosen = set(expand(options.sets))
    stored = results.newest(results.read(options.results), options.max_rows)
    records = [
        record
        for record in stored
        if record["set"] in chosen and (not options.methods or record["method"] in options.methods)
    ]
    print(report.write(records, options.output, options.reference))


def main_fetch(arguments: list[str]) -> None:
    """Download the packages."""
    failed = archives.fetch(parser_of("fetch").parse_args(arguments).data)
    for name, reason in failed.items():
        print(f"{name}: not downloaded, {reason}")
    if failed:
        raise SystemExit(1)


def main_list(arguments: list[str]) -> None:
    """Print sets and methods."""
    parser_of("list").parse_args(arguments)
    for table in TABLES:
        print(f"{table.name:18}{table.purpose:13}{table.task:16}{table.package}: {', '.join(table.members)}")
    for name, method in METHODS.items():
        reason = method.why_not()
        print(f"{name:18}{method.module:13}{reason or method.version()}")


def main() -> None:
    """Run the command."""
    commands = {"run": main_run, "report": main_report, "fetch": main_fetch, "list": main_list}
    command, *rest = sys.argv[1:] or [""]
    if command in commands:
        commands[command](rest)
    else:
        main_run(sys.argv[1:])


if __name__ == "__main__":
    main()
