"""Pull requests on GitHub, or on a GitHub Enterprise server.

Who is who: a person is `@login`, as in CODEOWNERS. The author is whoever opened the pull request; an approval is an
approving review, for the commit that it was given on, until the same person asks for changes or it is dismissed. The
author, everybody behind the addresses of the commits whom GitHub knows, and everybody who pushed the branch had a hand
in it, so that their approvals count for nothing: an address can be claimed by anybody, a push cannot. An owner
`@organisation/team` stands for its members, for which the token must be allowed to read them. An email address in
CODEOWNERS stands for nobody, since GitHub tells nobody whose it is: write `@login`.

The token comes from GITHUB_TOKEN or GH_TOKEN and goes only to the address in the policy. Branches, commits and decision
documents travel by git to the clone's remote, with whatever git is allowed to do there.

What GitHub cannot promise: it merges an exact head, but onto whatever main is at that moment. Main is read just before,
and afterwards the merge commit says what it was; when main moved in that instant, the merge stands and
UnreviewedMergeError says so. A rule that a branch must be up to date before it is merged closes that gap (see
`Safeguards`); two changes of one environment file cannot fall into it, since they conflict.
"""

from towpath_gitops.forges.github.client import Api
from towpath_gitops.forges.github.forge import GitHubForge
from towpath_gitops.records.policy import GitHubSettings
from towpath_gitops.repository import Repository


def open_github(repository: Repository, settings: GitHubSettings) -> GitHubForge:
    """Return the forge that the policy names, with the token of this process's environment.

    Raises:
        RefusedError: there is no token, or the address is not to be trusted with one.
    """
    return GitHubForge(repository, settings.repository, Api.of(settings.api))
