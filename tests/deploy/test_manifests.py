"""Every overlay and component renders and validates; what we say about running is true of each Pod."""

import importlib
import runpy
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from heliograph_kit.settings import ServiceSettings, variables

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy/k8s"
VALIDATOR = runpy.run_path(str(K8S / "validate.py"))
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
EDGE = "gateway"  # HTTP and nothing behind it: neither database nor bus
GRPC = [service for service in SERVICES if service != EDGE]
TARGETS = VALIDATOR["targets"]()
OVERLAYS = ["dev", "production"]

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed; it renders the manifests"
)


@cache
def rendered(folder: Path) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = VALIDATOR["render"](folder)
    return objects


def of_kind(overlay: str, *kinds: str) -> list[dict[str, Any]]:
    return [resource for resource in rendered(K8S / "overlays" / overlay) if resource["kind"] in kinds]


def workloads(overlay: str) -> list[dict[str, Any]]:
    return of_kind(overlay, "Deployment", "StatefulSet")


def our_workloads(overlay: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Service, Pod spec and container of each workload that runs one of our services."""
    for workload in workloads(overlay):
        service = workload["metadata"]["labels"]["app.kubernetes.io/name"].removeprefix("heliograph-")
        if service in SERVICES:
            pod = workload["spec"]["template"]["spec"]
            yield service, pod, pod["containers"][0]


def settings_of(overlay: str) -> dict[str, str]:
    (found,) = [r for r in of_kind(overlay, "ConfigMap") if r["metadata"]["name"].startswith("heliograph-settings")]
    data: dict[str, str] = found["data"]
    return data


@pytest.mark.parametrize("folder", TARGETS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_folder_renders_and_is_valid(folder: Path) -> None:
    assert list(VALIDATOR["problems"](rendered(folder))) == []


def a_service(**changes: Any) -> dict[str, Any]:
    spec = {"selector": {"a": "b"}, "ports": [{"port": 1}], **changes}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}, "spec": spec}


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        pytest.param(a_service(clusterIp="None"), "clusterIp", id="a field that does not exist"),
        pytest.param(a_service(ports=[{"port": "grpc"}]), "grpc", id="a value of the wrong type"),
        pytest.param({**a_service(), "kind": "Servise"}, "no such kind", id="a kind that does not exist"),
        pytest.param({**a_service(), "apiVersion": "example.com/v1"}, "no such kind", id="a group that does not exist"),
        pytest.param({**a_service(), "metadata": {}}, "has no name", id="an object without a name"),
    ],
)
def test_the_validation_refuses(resource: dict[str, Any], said: str) -> None:
    assert list(VALIDATOR["problems"]([a_service()])) == []
    found = list(VALIDATOR["problems"]([resource]))

    assert found, "nothing was refused"
    assert said in " ".join(found)


def test_a_folder_that_does_not_render_or_validate_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    assert VALIDATOR["main"]([str(tmp_path)]) == 1
    (tmp_path / "missing.yaml").write_text("apiVersion: example.com/v1\nkind: Unheard\nmetadata: {name: x}\n")
    assert VALIDATOR["main"]([str(tmp_path)]) == 1

    said = capsys.readouterr().out
    assert "does not render" in said
    assert "no such kind" in said


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_is_deployed_and_can_be_found(overlay: str) -> None:
    found = {service for service, _, _ in our_workloads(overlay)}
    headless = {r["metadata"]["name"] for r in of_kind(overlay, "Service") if r["spec"].get("clusterIP") == "None"}

    assert found == set(SERVICES)
    assert {f"heliograph-{service}" for service in GRPC} <= headless
    assert f"heliograph-{EDGE}" not in headless, "an ingress wants one address"
    for service in GRPC:
        assert settings_of(overlay)[f"HELIOGRAPH_PEER_{service.upper()}"] == f"dns:///heliograph-{service}:50051"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted(overlay: str) -> None:
    for workload in workloads(overlay):
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            resources = container["resources"]
            assert resources["requests"]["cpu"]
            assert resources["limits"] == {"memory": resources["requests"]["memory"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_liveness_and_readiness_ask_for_different_names(overlay: str) -> None:
    for service, _, container in our_workloads(overlay):
        if service == EDGE:
            continue
        assert container["livenessProbe"]["grpc"] == {"port": 50051, "service": "liveness"}, service
        assert container["startupProbe"]["grpc"] == {"port": 50051, "service": "liveness"}, service
        assert container["readinessProbe"]["grpc"] == {"port": 50051, "service": "readiness"}, service
        assert {port["containerPort"] for port in container["ports"]} == {50051}
    assert settings_of(overlay)["HELIOGRAPH_LISTEN"] == "0.0.0.0:50051"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_edge_is_probed_over_http_and_holds_no_secret_of_the_database(overlay: str) -> None:
    ((pod, container),) = [(pod, container) for service, pod, container in our_workloads(overlay) if service == EDGE]
    (service,) = [r for r in of_kind(overlay, "Service") if r["metadata"]["name"] == f"heliograph-{EDGE}"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}

    assert [probe["httpGet"]["path"] for probe in probes.values()] == ["/livez", "/livez", "/readyz"]
    assert not any("grpc" in probe for probe in probes.values())
    assert container["ports"] == [{"name": "http", "containerPort": 7180}]
    assert given["HELIOGRAPH_GATEWAY_LISTEN"] == "0.0.0.0:7180"
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    assert "HELIOGRAPH_DATABASE_URL" not in given
    assert not pod["initContainers"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_the_time_to_end_what_it_began(overlay: str) -> None:
    settings = settings_of(overlay)
    for service, pod, container in our_workloads(overlay):
        grace = settings.get(
            f"HELIOGRAPH_{service.upper()}_SHUTDOWN_GRACE_SECONDS", settings["HELIOGRAPH_SHUTDOWN_GRACE_SECONDS"]
        )
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        needed = pause + float(settings["HELIOGRAPH_DRAIN_SECONDS"]) + float(grace) + 5
        assert pod["terminationGracePeriodSeconds"] >= needed, service
        if service == "messaging":
            config = importlib.import_module("heliograph_messaging.config")
            provider = config.MessagingSettings.model_fields["send_timeout_seconds"].default
            assert float(grace) >= provider
            assert pod["terminationGracePeriodSeconds"] >= provider + 15


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting_of_its_service(overlay: str) -> None:
    classes: dict[str, type[ServiceSettings]] = {}
    for service in SERVICES:
        module = importlib.import_module(f"heliograph_{service}.config")
        classes[service] = next(
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, ServiceSettings) and value is not ServiceSettings
        )
    shared = {f"HELIOGRAPH_{name.upper()}" for name in ServiceSettings.model_fields}
    own = {name for cls in classes.values() for name in variables(cls)}

    assert set(settings_of(overlay)) <= shared | own | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    for service, pod, container in our_workloads(overlay):
        for each in [container, *pod["initContainers"]]:
            given = {variable["name"] for variable in each["env"]} - {"TMPDIR"}  # that is the operating system's
            assert given <= shared | set(variables(classes[service]))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_workload_has_a_budget_an_account_and_migrates_first(overlay: str) -> None:
    budgets = {
        tuple(sorted(r["spec"]["selector"]["matchLabels"].items())) for r in of_kind(overlay, "PodDisruptionBudget")
    }
    accounts = {r["metadata"]["name"] for r in of_kind(overlay, "ServiceAccount")}

    for workload in workloads(overlay):
        name = workload["metadata"]["labels"]["app.kubernetes.io/name"]
        if name.removeprefix("heliograph-") not in SERVICES:
            continue
        pod = workload["spec"]["template"]["spec"]
        assert tuple(sorted(workload["spec"]["selector"]["matchLabels"].items())) in budgets
        assert pod["serviceAccountName"] in accounts
        if name == f"heliograph-{EDGE}":
            continue
        assert pod["initContainers"][0]["args"] == ["--migrate-only"]
        assert pod["initContainers"][0]["image"] == pod["containers"][0]["image"]
    assert settings_of(overlay)["HELIOGRAPH_MIGRATE_ON_START"] == "false"


def test_production_brings_no_secret_and_no_trial_server() -> None:
    kinds = {resource["kind"] for resource in rendered(K8S / "overlays/production")}
    names = {resource["metadata"]["name"] for resource in workloads("production")}

    assert "Secret" not in kinds
    assert "NetworkPolicy" in kinds
    assert not names & {"heliograph-nats", "heliograph-postgres", "heliograph-otel-collector"}
    assert settings_of("production")["HELIOGRAPH_NATS_REPLICAS"] == "3"


def test_production_runs_two_of_everything_apart_but_one_writer_of_events() -> None:
    for workload in workloads("production"):
        if workload["metadata"]["name"] == "heliograph-analytics":
            assert workload["spec"]["replicas"] == 1
            continue
        assert workload["spec"]["replicas"] >= 2, workload["metadata"]["name"]
        spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {rule["topologyKey"] for rule in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_the_secrets_of_the_trial_are_accepted_by_the_services() -> None:
    (secret,) = [r for r in of_kind("dev", "Secret") if r["metadata"]["name"].startswith("heliograph-secrets")]
    keys = {"database-url", "internal-secret", "messaging-secret-key", "registry10dlc-secret-key", "bootstrap-key"}
    assert set(secret["data"]) == keys

    used = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for overlay in OVERLAYS
        for _, _, container in our_workloads(overlay)
        for variable in container["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    readme = (K8S / "README.md").read_text()
    assert used == set(secret["data"])
    assert all(f"`{key}`" in readme for key in used), "each key of the Secret is explained"
