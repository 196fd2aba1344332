"""Features that callers leave out are looked up in an online store, by the keys that their rows bring."""

from towpath_bento.online.lookups import Lookups

__all__ = ["Lookups"]
