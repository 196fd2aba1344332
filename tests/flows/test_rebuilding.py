"""What is told of a release that is made again elsewhere than it was made."""

from pathlib import Path

from towpath_flows.data import load
from towpath_flows.project import Project
from towpath_flows.rebuilding import Request, rebuild
from towpath_flows.recipe import recipe_of
from towpath_flows.training import Exported, Model


def test_another_number_of_workers_is_told(shop: Project, model: Model, exported: Exported, tmp_path: Path) -> None:
    """The size of the cluster decides the trees, and so another one counts as another environment."""
    table = load(shop)
    request = Request(
        checkout=shop.root,
        artifact=exported.folder,
        into=tmp_path / "again",
        since=None,
        until=None,
        data=table.digest,
        recipe=recipe_of(shop, model),
    )
    outcome = rebuild(request)
    assert outcome.identical
    assert outcome.environment == ()
    many = request.recipe.model_copy(update={"workers": 2})
    outcome = rebuild(request.model_copy(update={"into": tmp_path / "other", "recipe": many}))
    told = "fitted by one machine without a cluster, then by 2 workers of a cluster: the trees are others"
    assert outcome.environment == (told,)
