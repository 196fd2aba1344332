"""Serve a release: lanes, one HTTP interface, and the Bento that carries it."""
