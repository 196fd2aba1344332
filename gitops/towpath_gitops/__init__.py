"""What is released where, and how that may change: the ground floor of Towpath."""
