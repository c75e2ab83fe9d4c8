"""Score explain on labelled reports: `python -m tests.env_check.explain.score FOLDER…`.

A folder holds the texts and `labels.yaml`: file name → `cause` (null for a sound text) and
`also_ok` (list of causes that are right too).
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.env_check.explain.reports import LabelledReport, false_alarms, misses


def labelled_folder(folder: Path) -> list[LabelledReport]:
    """Read one folder of texts with their labels."""
    labels = yaml.safe_load((folder / "labels.yaml").read_text(encoding="utf-8"))
    found = []
    for name, label in sorted(labels.items()):
        cause = label["cause"]
        causes = frozenset([cause, *label["also_ok"]]) if cause else frozenset()
        text = (folder / name).read_text(encoding="utf-8", errors="replace")
        found.append(LabelledReport(name, text, causes))
    return found


def score(reports: list[LabelledReport]) -> str:
    """Return the three figures, and the reports that went wrong."""
    faulty = sum(bool(report.causes) for report in reports)
    first, third = misses(reports, within=1), misses(reports, within=3)
    alarms = false_alarms(reports)
    right = {report.name: sorted(report.causes) for report in reports}
    lines = [
        f"first {faulty - len(first)}/{faulty}, within three {faulty - len(third)}/{faulty}, "
        f"false alarms {len(alarms)}/{len(reports) - faulty}"
    ]
    lines += [f"  {each} instead of {right[each.partition(': ')[0]]}" for each in first]
    lines += [f"  {each} in a sound text" for each in alarms]
    return "\n".join(lines)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"{argument}: {score(labelled_folder(Path(argument)))}")
