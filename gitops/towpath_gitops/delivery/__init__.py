"""What is released where: the model registry, the ledger, the targets, and the reconciler that moves them."""
