"""The product's contract: immutable records, their text forms and their digests."""
