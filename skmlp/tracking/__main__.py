"""Commands: python -m skmlp.tracking replay PATH, python -m skmlp.tracking dashboard [EXPERIMENT]."""

import argparse
from collections.abc import Sequence

from skmlp.tracking.dashboard import serve
from skmlp.tracking.spool import replay

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m skmlp.tracking", description="Tracking in MLflow.")
    commands = parser.add_subparsers(dest="command", required=True)
    resend = commands.add_parser("replay", help="send the records that could not be sent during a fit")
    resend.add_argument("path", help="the file or folder named in the warning")
    show = commands.add_parser("dashboard", help="open the dashboard of an experiment")
    show.add_argument("experiment", nargs="?", help="name of the experiment; by default MLflow's current one")
    show.add_argument("--port", type=int, default=5000, help="port of the server that is started for a local store")
    show.add_argument("--no-browser", action="store_true", help="only print the address")
    for command in (resend, show):
        command.add_argument(
            "--tracking-uri",
            help="the store; by default the original one for replay, and MLflow's current one for dashboard. Set "
            "MLFLOW_TRACKING_URI instead if it contains a password, since other users can see the command line",
        )
    options = parser.parse_args(arguments)
    if options.command == "replay":
        return _replay(options.path, options.tracking_uri)
    serve(
        options.experiment,
        tracking_uri=options.tracking_uri,
        port=options.port,
        open_browser=not options.no_browser,
    )
    return 0


def _replay(path: str, tracking_uri: str | None) -> int:
    replayed = replay(path, tracking_uri=tracking_uri)
    print(f"{replayed.n_metrics} values of {len(replayed.runs)} runs were sent")
    for reason in replayed.rejected:
        print(f"refused: {reason}")
    return 1 if replayed.rejected else 0


if __name__ == "__main__":
    raise SystemExit(main())
