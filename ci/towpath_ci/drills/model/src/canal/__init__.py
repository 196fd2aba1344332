"""The owner's code of the drills' model."""
