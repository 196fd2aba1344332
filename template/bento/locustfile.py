"""Who calls the service in load tests: `make load` drives champion and candidate with it.

By hand: locust -f bento/locustfile.py --headless -u 8 -t 1m --host http://127.0.0.1:3000 --rate 200 --shape spike
"""

from towpath_bento.load.caller import Caller


class User(Caller):
    """Sends rows as they were observed, when they are due; override `send` where your callers do otherwise."""
