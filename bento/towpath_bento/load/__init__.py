"""Load tests: what callers send, when, and what services answer. Locust drives, in a process of its own.

Importing this package costs nothing. `caller` and `driving` import Locust, which patches the whole process with gevent.
"""
