"""One module per subject: probe(system) returns facts; never judges, never raises."""
