"""`--deep`: try the stack in child processes, each step with its own verdict."""
