"""Sample answers: read from the terminal channel, shown side by side."""

from __future__ import annotations

import json

from runner.samples import Samples


def test_answers_before_and_after_are_shown_together() -> None:
    """A question is shown once with the answer before and the answer after."""
    samples = Samples()
    for phase, answer in (("before", "I do not know."), ("after", "Drink\nwater.")):
        line = {"kind": "sample", "phase": phase, "index": 3, "prompt": "Q?", "answer": answer}
        samples.line(json.dumps(line))
    assert samples.render().splitlines() == [
        "question       Q?",
        "answer before  I do not know.",
        "answer after   Drink water.",
    ]


def test_other_output_is_ignored() -> None:
    """What a library prints is not taken for a sample."""
    samples = Samples()
    for line in ("Loading…", "[1, 2]", '{"kind": "other"}', ""):
        samples.line(line)
    assert samples.render() == ""
