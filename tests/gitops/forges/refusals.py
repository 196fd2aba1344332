"""How GitHub says no."""

from typing import Any

Json = Any


class Refusal(Exception):  # noqa: N818 (an answer, not a failure)
    """GitHub says no."""

    def __init__(self, status: int, message: str, **more: Json) -> None:
        """Say no with a status and words."""
        super().__init__(message)
        self.status, self.body = status, {"message": message, "documentation_url": "https://docs.github.test"} | more


def invalid(message: str, resource: str = "PullRequest") -> Refusal:
    """Return the refusal of what cannot be."""
    error = {"resource": resource, "code": "custom", "message": message}
    return Refusal(422, "Validation Failed", errors=[error])
