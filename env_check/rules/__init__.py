"""Pure functions from facts to a finding or None; one module per family, all listed in table.py."""
