"""A packaged release becomes a container image that can be made again, looked into and moved by its digest."""
