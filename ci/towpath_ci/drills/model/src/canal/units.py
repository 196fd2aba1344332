"""Units of the river."""

KNOT = 0.514444  # m/s
