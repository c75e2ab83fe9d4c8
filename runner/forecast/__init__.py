"""What a run will take beside memory: time, tokens, disk and money; ranges with their basis."""
