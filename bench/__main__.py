"""C{python -m bench}: measure, print, and write it down."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.cases import CASES
from bench.contents import WrongArrival
from bench.lab import QUICK, Lab, Sizes
from bench.machine import describe
from bench.packages import available, system_packages
from bench.peers import Peer
from bench.processes import SOURCE_TREE, Failed
from bench.report import Record, rendered, terminal

DOCS = SOURCE_TREE / "docs"
KEPT, DOCUMENT, CHART = "performance.json", "performance.md", "performance.svg"


def arguments(argv: list[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure xfer beside its peers, and write docs/performance.md.",
    )
    parser.add_argument(
        *("--case", "-c"), action="append", choices=list(CASES), help="measure this one; repeatable"
    )
    parser.add_argument("--rounds", "-r", type=int, default=5, help="5 if not given")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that all works; writes nothing"
    )
    parser.add_argument("--only", choices=["xfer"], help="leave out the peers")
    parser.add_argument("--no-write", action="store_true", help="leave the document as it is")
    parser.add_argument("--no-install", action="store_true", help="install no system packages")
    parser.add_argument("--directory", type=Path, help="where temporary files go")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: write the document anew"
    )
    asked = parser.parse_args(argv)
    if asked.rounds < 1:
        parser.error("--rounds: at least 1")
    return asked


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def measure(asked: argparse.Namespace) -> dict[str, Record]:
    """Run the cases that are asked for."""
    peers: list[type[Peer]] = []
    if asked.only:
        left_out = ["the peers: only xfer was asked for"]
    else:
        peers, left_out = available(not asked.no_install, tell)
    records = {}
    with tempfile.TemporaryDirectory(prefix="xfer-bench-", dir=asked.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # servers that give up root's rights must get at theirs
        sizes = QUICK if asked.quick else Sizes()
        lab = Lab(directory, asked.rounds, sizes, tell, peers, left_out)
        machine = describe(directory, () if asked.only else system_packages())
        for case in asked.case or CASES:
            tell(f"{case}: {CASES[case].title}")
            result = CASES[case].run(lab)
            date = datetime.now(UTC).date().isoformat()
            records[case] = Record(CASES[case].title, date, asked.rounds, machine, result)
            for line in terminal(records[case]):
                tell(line)
            if asked.quick:
                tell("  (with --quick, sizes are too small for the goals to mean anything)")
            if not (asked.quick or asked.no_write):
                write({case: records[case]})
    return records


def write(records: dict[str, Record]) -> None:
    """Keep the records, and make the document of all that are kept."""
    from bench.chart import draw  # its library is for this alone

    kept = DOCS / KEPT
    known = json.loads(kept.read_text()) if kept.exists() else {}
    known.update({case: record.to_json() for case, record in records.items()})
    known = {case: known[case] for case in CASES if case in known}
    kept.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    all_records = {case: Record.from_json(record) for case, record in known.items()}
    document = DOCS / DOCUMENT
    document.write_text(rendered(document.read_text(), all_records))
    draw(all_records, DOCS / CHART)


def end(*_: object) -> None:
    """Let a signal end the bench in the way of an exception: all that runs is stopped."""
    raise SystemExit(1)


def main(argv: list[str]) -> int:
    """Run it: the exit status."""
    asked = arguments(argv)
    signal.signal(signal.SIGTERM, end)
    if asked.render:
        write({})
        return 0
    try:
        measure(asked)
    except (Failed, WrongArrival) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
