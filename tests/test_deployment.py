"""Manifests, compose file and Dockerfile, as far as they can be checked without a cluster."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from sqlalchemy import delete, insert, text

from models import __version__
from models.jobs.model import JobState
from models.jobs.worker.worker import JOBS_AT_ONCE
from models.settings import PREFIX, Settings
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import jobs, now

ROOT = Path(__file__).parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "dev", "ray")
CUSTOM = ("monitoring.coreos.com", "keda.sh")  # kinds that operators bring
PATCHES = {KUBERNETES / f"overlays/{name}/worker.yaml" for name in ("gpu", "ray")}
RAY_CLUSTER = json.loads((ROOT / "tests" / "ray_cluster.schema.json").read_text(encoding="utf-8"))
SETTINGS = {PREFIX + item.name.upper() for item in fields(Settings)}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
IMAGES = {"api", "worker", "worker-gpu"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

Manifest = dict[str, Any]


def files() -> list[Manifest]:
    """Every manifest as it is written; patches and kustomize's own files left out."""
    written = [
        document
        for path in sorted(KUBERNETES.rglob("*.yaml"))
        if path.name != "kustomization.yaml" and path not in PATCHES
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    assert len(written) > 15
    return written


def rendered(overlay: str) -> list[Manifest]:
    """The manifests that `kubectl apply -k` would send."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    return list(yaml.safe_load_all(done.stdout))


def manifests(source: str) -> list[Manifest]:
    return files() if source == "files" else rendered(source)


def pod_specs(documents: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for document in documents:
        if document["kind"] in ("Deployment", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]
        elif document["kind"] == "RayCluster":
            for name, template in ray_pods(document):
                yield name, template["spec"]


def ray_pods(cluster: Manifest) -> Iterator[tuple[str, Manifest]]:
    yield "head", cluster["spec"]["headGroupSpec"]["template"]
    for group in cluster["spec"]["workerGroupSpecs"]:
        yield group["groupName"], group["template"]


def named(documents: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (
        item for item in documents if item["kind"] == kind and item["metadata"]["name"] == name
    )
    return found


@pytest.mark.parametrize("source", ["files", *OVERLAYS])
def test_every_manifest_fits_the_schema_of_kubernetes(source):
    for document in manifests(source):
        if document["kind"] == "RayCluster":
            jsonschema.validate(document, RAY_CLUSTER)
            for name, template in ray_pods(document):
                pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}}
                kubernetes_validate.validate(pod | {"template": template}, "1.31", strict=True)
        elif document["apiVersion"].partition("/")[0] not in CUSTOM:
            kubernetes_validate.validate(document, "1.31", strict=True)


@pytest.mark.parametrize("source", ["files", *OVERLAYS])
def test_every_pod_meets_the_restricted_security_level(source):
    pods = list(pod_specs(manifests(source)))
    assert pods
    for name, pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        # Ray's autoscaler, on the head, asks Kubernetes for pods.
        assert pod["automountServiceAccountToken"] is (name == "head"), name
        for volume in pod["volumes"]:
            assert {"emptyDir", "persistentVolumeClaim"} & volume.keys(), (name, volume)
        for container in pod["containers"] + pod.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert all("hostPort" not in port for port in container.get("ports", [])), name


@pytest.mark.parametrize("source", ["files", *OVERLAYS])
def test_every_container_says_what_it_needs(source):
    for name, pod in pod_specs(manifests(source)):
        for container in pod["containers"]:
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("source", ["files", *OVERLAYS])
def test_every_environment_name_is_a_setting(source):
    names = set()
    for document in manifests(source):
        if document["kind"] in ("ConfigMap", "Secret"):
            names |= {*document.get("data", {}), *document.get("stringData", {})}
    for _, pod in pod_specs(manifests(source)):
        names |= {entry["name"] for item in pod["containers"] for entry in item.get("env", [])}
    ours = {name for name in names if name.startswith(PREFIX)}
    assert ours
    assert ours <= SETTINGS
    assert {name for name in names - ours if not name.startswith("AWS_")} == set()


@pytest.mark.parametrize("source", ["files", *OVERLAYS])
def test_probes_and_services_use_ports_that_the_containers_name(source):
    documents = manifests(source)
    for name, pod in pod_specs(documents):
        for container in pod["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    asked = container[probe].get("httpGet") or container[probe]["tcpSocket"]
                    assert asked["port"] in ports, (name, probe)
    for document in documents:
        if document["kind"] == "Service":
            labels = document["spec"]["selector"]
            deployment = named(documents, "Deployment", labels["app.kubernetes.io/name"])
            template = deployment["spec"]["template"]
            assert labels.items() <= template["metadata"]["labels"].items()
            ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in document["spec"]["ports"]} <= ports


@pytest.mark.parametrize("source", ["files", "cpu", "gpu"])
def test_a_rollout_of_the_api_leaves_time_to_drain(source):
    documents = manifests(source)
    api = named(documents, "Deployment", "luthier-api")["spec"]
    assert api["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    pod = api["template"]["spec"]
    (container,) = pod["containers"]
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    config = named(documents, "ConfigMap", "luthier")["data"]
    draining = int(config["LUTHIER_DRAIN_SECONDS"])
    finishing = 10  # seconds that gunicorn gives to requests under way
    assert pod["terminationGracePeriodSeconds"] > before + draining + finishing
    ready = container["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < draining


@pytest.mark.parametrize("source", ["files", "cpu", "gpu"])
def test_a_worker_has_time_to_score_its_last_trials(source):
    pod = named(manifests(source), "Deployment", "luthier-worker")["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    releasing = 12  # seconds that the rest of its end may take, as in luthier/embedded.py
    wanted = int(env["LUTHIER_EXIT_SECONDS"]) + releasing
    assert pod["terminationGracePeriodSeconds"] > wanted


def test_all_traffic_is_denied_but_for_what_is_listed():
    (deny,) = (item for item in files() if item["metadata"]["name"] == "default-deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_gpu_overlay_asks_for_a_gpu_and_insists_on_it():
    worker = named(rendered("gpu"), "Deployment", "luthier-worker")["spec"]
    assert worker["strategy"] == {"type": "Recreate"}
    pod = worker["template"]["spec"]
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "LUTHIER_REQUIRE_GPU", "value": "1"} in container["env"]
    assert container["image"].startswith("luthier-worker-gpu:")


def test_the_ray_overlay_runs_trials_on_the_nodes_of_its_cluster():
    documents = rendered("ray")
    cluster = named(documents, "RayCluster", "luthier")
    spec, pods = cluster["spec"], dict(ray_pods(cluster))
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert f"ray=={spec['rayVersion']} " in (ROOT / "requirements/dev.lock").read_text()
    worker = named(documents, "Deployment", "luthier-worker")["spec"]["template"]
    (container,) = worker["spec"]["containers"]
    assert f"--address={cluster['metadata']['name']}-head-svc:6379" in container["command"][-1]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert env["LUTHIER_EXECUTOR"] == "ray"
    (group,) = spec["workerGroupSpecs"]
    (node,) = pods["trials"]["spec"]["containers"]
    room = group["maxReplicas"] * int(node["resources"]["limits"]["cpu"])
    assert int(env["LUTHIER_TRIAL_SLOTS"]) * float(env["LUTHIER_RAY_CPUS"]) == room
    # Ray compares versions, and so does the worker: nodes and worker run one image.
    images = {each["spec"]["containers"][0]["image"] for each in [worker, *pods.values()]}
    assert images == {f"luthier-worker:{__version__}"}
    assert all("DATABASE" not in entry["name"] for entry in node["env"])
    (policy,) = (item for item in documents if item["metadata"]["name"] == "ray")
    for template in [worker, *pods.values()]:
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        assert wanted <= template["metadata"]["labels"].items()


def test_the_dockerfile_and_the_compose_file_name_only_what_exists():
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.M))
    for name, service in COMPOSE["services"].items():
        if "build" in service:
            assert service["build"]["args"]["IMAGE"] in IMAGES & stages, name
        for variable in service.get("environment", {}):
            assert not variable.startswith(PREFIX) or variable in SETTINGS, (name, variable)
    assert set(re.findall(r"\b(LUTHIER_[A-Z_]+)=", DOCKERFILE)) <= SETTINGS
    assert "requirements/${IMAGE}.lock" in DOCKERFILE
    for image in IMAGES:
        assert (ROOT / "requirements" / f"{image}.lock").exists()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_images_of_this_version_are_run(overlay):
    path = KUBERNETES / "overlays" / overlay / "kustomization.yaml"
    images = yaml.safe_load(path.read_text(encoding="utf-8"))["images"]
    assert {image["newTag"] for image in images} == {__version__}


def test_no_image_runs_as_root():
    runtime = DOCKERFILE.split("AS runtime", 1)[1]
    assert re.search(r"^USER 10001:10001$", runtime, re.M)
    assert not re.search(r"^USER (0|root)", runtime, re.M)


def test_the_api_image_has_no_tensorflow():
    lock = (ROOT / "requirements" / "api.lock").read_text(encoding="utf-8")
    assert "onnxruntime==" in lock
    assert not re.search(r"^(tensorflow|keras|numba|tf2onnx)==", lock, re.M)


def test_workers_are_scaled_by_the_queue_that_the_database_counts(postgres, tmp_path):
    """The component, rendered into an overlay; its query, asked of a real database."""
    base, component = (
        os.path.relpath(KUBERNETES / part, tmp_path.resolve())
        for part in ("overlays/cpu", "components/keda")
    )
    overlay = {"resources": [base], "components": [component], "namespace": "luthier"}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    documents = rendered(str(tmp_path))
    scaled = named(documents, "ScaledObject", "luthier-worker")
    worker = named(documents, "Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    assert "replicas" not in worker["spec"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["metadata"]["namespace"] == worker["metadata"]["namespace"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "postgresql"
    access = named(documents, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    (source,) = access["spec"]["secretTargetRef"]
    assert source["key"] in named(documents, "Secret", source["name"])["stringData"]
    assert int(trigger["metadata"]["targetQueryValue"]) == JOBS_AT_ONCE
    down = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    grace = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert [policy["value"] for policy in down["policies"]] == [1]
    assert down["policies"][0]["periodSeconds"] > grace

    database = Database(postgres.url("postgres"))
    migrate(database)
    row = {"model": "m", "spec": {}, "planned_trials": 1, "created": now()}
    with database.write() as connection:
        connection.execute(delete(jobs))
        states = [{"id": f"job_{state}", "state": state, **row} for state in JobState]
        connection.execute(insert(jobs), states)
        found = connection.execute(text(trigger["metadata"]["query"])).scalar_one()
        connection.execute(delete(jobs))
    database.close()
    assert found == len([state for state in JobState if not state.is_final]) - 1  # one is paused
