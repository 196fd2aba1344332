"""A cluster that speaks TLS, with certificates that this test makes; what leads there is the environment alone."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dask
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import LocalCluster
from distributed.security import Security

from towpath_flows.cluster import local_settings, opened
from towpath_flows.training.benches import ClusterBench, LocalBench
from towpath_flows.training.preparation import Prepared
from towpath_flows.training.trainers import TRAINERS, Data, Setting
from towpath_flows.training.trainers.clustered import trainer_on
from towpath_flows.training_spec import ClusterSpec
from towpath_gitops.errors import NotFoundError, UnavailableError

VARIABLES = {"CA_FILE": "ca.pem", "CLIENT__CERT": "own.pem", "CLIENT__KEY": "own.key"}
X = np.random.default_rng(0).random((2000, 5), dtype=np.float32)
ROWS = Data(X, (X[:, 0] > 0.5).astype(np.int64))
SETTING = Setting("binary", 2, rounds=20, patience=20, seed=1, threads=1)


def name(common: str) -> x509.Name:
    """Return a name of one part."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certify(folder: Path) -> Path:
    """Write an authority's certificate, and one of its for this machine with its key."""
    folder.mkdir(exist_ok=True)
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now, day = datetime.now(UTC), timedelta(days=1)
    for file, key, common in (("ca.pem", authority, "authority"), ("own.pem", own, "canal")):
        builder = x509.CertificateBuilder(
            name("authority"), name(common), key.public_key(), x509.random_serial_number()
        )
        builder = builder.not_valid_before(now - day).not_valid_after(now + day)
        builder = builder.add_extension(x509.BasicConstraints(ca=key is authority, path_length=None), critical=True)
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = builder.add_extension(here, critical=False).sign(authority, hashes.SHA256())
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "own.key").write_bytes(own.private_bytes(serialization.Encoding.PEM, kind, plain))
    return folder


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of certificates."""
    return certify(tmp_path_factory.mktemp("tls") / "true")


@pytest.fixture(scope="module")
def spec(certificates: Path) -> Iterator[ClusterSpec]:
    """Run two workers that refuse whatever is not encrypted, and return what model.yaml would say of them."""
    own = {
        f"tls_{who}_{what}": str(certificates / file)
        for who in ("scheduler", "worker", "client")
        for what, file in (("cert", "own.pem"), ("key", "own.key"))
    }
    security = Security(tls_ca_file=str(certificates / "ca.pem"), require_encryption=True, **own)
    with LocalCluster(**local_settings(2), security=security, protocol="tls") as cluster:
        yield ClusterSpec(address=cluster.scheduler_address)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Dask read its configuration from this test's environment, and afterwards from the one before."""
    yield
    monkeypatch.undo()
    dask.config.refresh()


def export(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Name the certificates of a folder, as a shell would."""
    for variable, file in VARIABLES.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{variable}", str(folder / file))
    dask.config.refresh()


@pytest.mark.usefixtures("environment")
def test_fits_and_trials_on_a_cluster_that_speaks_tls(
    spec: ClusterSpec, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the environment's certificates both libraries fit over both workers, and trials tell of their rounds."""
    export(monkeypatch, certificates)
    with opened(spec) as found:
        assert found is not None
        assert all(worker.startswith("tls://") for worker in found.workers)
        for framework in ("xgboost", "lightgbm"):
            fitted = trainer_on(found, framework).fit(ROWS, None, TRAINERS[framework].defaults(), SETTING)
            assert fitted.workers == 2
        folds = [Prepared(None, ROWS, ROWS, None)] * 2  # type: ignore[arg-type]  # a bench looks at the rows only
        steps = list[int]()
        params, given = TRAINERS["xgboost"].defaults(), replace(SETTING, rounds=70, patience=70)
        tried = ClusterBench.of(found, folds, given).fit("xgboost", params, lambda step, _: steps.append(step))
        assert steps
        assert tried.loss == LocalBench(folds, given, 1).fit("xgboost", params).loss


@pytest.mark.usefixtures("environment")
def test_certificates_that_are_missing_are_named(
    spec: ClusterSpec, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any, or with paths that lead nowhere, the variables are told; the scheduler is not asked."""
    with pytest.raises(NotFoundError, match="no certificates for the cluster at tls://") as told, opened(spec):
        pass
    assert "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY" in told.value.hint
    export(monkeypatch, certificates / "nowhere")
    with pytest.raises(NotFoundError) as told, opened(spec):
        pass
    assert "files that are none" in told.value.why


@pytest.mark.usefixtures("environment")
def test_a_strangers_certificates_are_refused(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates of another authority lead to no cluster."""
    monkeypatch.setattr("towpath_flows.cluster.CONNECT_TIMEOUT_S", 3.0)
    export(monkeypatch, certify(tmp_path / "false"))
    with pytest.raises(UnavailableError, match="does not answer"), opened(spec):
        pass
