"""The typed client of a release: one file of the standard library alone, written from the release's signature."""
