"""One module per sub-command, each with add_arguments and run."""
