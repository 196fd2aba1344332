"""What a service remembers of its answers: a sample of requests and predictions as Parquet, see `settings.Journal`.

Importing this package costs nothing; its modules need pyarrow, which an image holds only where the journal is on there.
"""
