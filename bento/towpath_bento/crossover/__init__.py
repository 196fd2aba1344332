"""Who answers many rows: measured on the machine that serves, proved equal, and kept as a number of rows.

Few rows are always onnxruntime's on one thread, and so golden requests have the same bytes whatever is measured.
"""
