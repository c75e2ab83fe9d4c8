"""What is broken in a training environment, why, and the command that mends it."""
