"""The command line, the demo, the drills and the doctor: the top floor, which may use every room below."""
