"""From data to a registered release: load, validate, tune, train, evaluate, register; and monitor."""
