"""Why a failed run failed, as `env-check explain` reads it from the end of the log."""

from __future__ import annotations

import io

from env_check.explain.causes import Diagnosis
from env_check.explain.diagnose import explain_file
from runner.record.layout import RunDir

TAIL_BYTES = 512 * 1024
SURE_ENOUGH = 0.5


def diagnose(run: RunDir) -> Diagnosis | None:
    """Return the likeliest cause in the environment, or None where nothing speaks for one."""
    try:
        with run.log.open("rb") as log:
            log.seek(max(0, log.seek(0, io.SEEK_END) - TAIL_BYTES))
            found = explain_file(io.BytesIO(log.read()))
    except OSError:
        return None
    return found[0] if found and found[0].confidence >= SURE_ENOUGH else None


def render_diagnosis(diagnosis: Diagnosis) -> str:
    """Return cause, reason and commands as `key  value` lines."""
    lines = [("likely cause", f"{diagnosis.cause_id} ({diagnosis.layer})")]
    lines += [("why", diagnosis.why)]
    lines += [("fix", command) for command in diagnosis.fix]
    lines += [("then verify", diagnosis.verify)]
    return "\n".join(f"{name:14} {value}" for name, value in lines)
