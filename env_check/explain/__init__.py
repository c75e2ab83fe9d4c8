"""Read a pasted report or a whole log, and name what is broken in the environment behind it."""

from env_check.explain.causes import Diagnosis
from env_check.explain.command import add_arguments, run
from env_check.explain.diagnose import explain_file, explain_text

__all__ = ["Diagnosis", "add_arguments", "explain_file", "explain_text", "run"]
