"""The base model before torch: where it comes from, its configuration, its tokenizer."""
