"""The service of the drills' model."""  # noqa: INP001 (run by path, as in every model repository)

from towpath_bento.server import model_server

service = model_server(name="canal")
