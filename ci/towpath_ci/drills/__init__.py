"""Faults injected on purpose, each to prove that its gate refuses it."""
