"""What is missing on this machine or in this repository, and the command that mends it.

A check is a class: its docstring is the title, the docstring of its `check` is what the user is told when it fails.
"""

from typing import Final

from towpath_ci.doctor import files, machine, repository, services
from towpath_ci.doctor.base import Check
from towpath_ci.doctor.rules import RULES

# One row for each check, in the order in which a newcomer would mend things.
CHECKS: Final[tuple[type[Check], ...]] = (
    machine.GitVersion,
    machine.PythonVersion,
    machine.DiskSpace,
    machine.TrainingLibraries,
    machine.ServingLibraries,
    machine.RegistryLibrary,
    machine.ContainerTools,
    repository.InsideRepository,
    repository.Identity,
    repository.HasCommit,
    repository.HasRemote,
    repository.MainIsTracked,
    repository.NothingUncommitted,
    repository.StateIsIgnored,
    files.ModelFile,
    files.PolicyFile,
    files.EnvironmentFiles,
    files.EveryEnvironmentHasAFile,
    files.Codeowners,
    files.EnoughOwners,
    files.Schemas,
    files.Lock,
    services.Ports,
    services.PrefectApi,
    services.MlflowServer,
    services.DaskCluster,
    *RULES,
)
