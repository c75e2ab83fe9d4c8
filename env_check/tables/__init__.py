"""The product's tables: published facts, one row each, with the source of the row."""
