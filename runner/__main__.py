"""Start the command line: `python -m runner`."""

from runner.cli import main

raise SystemExit(main())
