"""Controls that public frameworks ask for, mapped to the evidence that git holds; a gap is printed as a gap."""
