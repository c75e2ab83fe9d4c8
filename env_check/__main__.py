"""`python -m env_check`."""

from env_check.cli import main

raise SystemExit(main())
