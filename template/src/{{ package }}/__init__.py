"""What the model knows about its data: the schema, the features, and where the rows come from."""
