"""How a release may enter an environment, and how it leaves: change, proposal, review."""
