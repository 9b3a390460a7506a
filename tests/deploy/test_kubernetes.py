"""The Kubernetes manifests, against the schemas of the Dask operator and against each other."""

import functools
import importlib.resources
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from rrl_batch import __version__
from rrl_batch.cluster.environment import worker_environment
from rrl_batch.cluster.security import CA, CERTIFICATE, KEY

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
MANIFESTS = {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
DASK = sorted(name for name, m in MANIFESTS.items() if m["apiVersion"] == "kubernetes.dask.org/v1")


@functools.cache
def schema_of(kind):
    """Return the schema of a resource of the operator; keys that it does not know are refused."""
    chart = "operator/deployment/helm/dask-kubernetes-operator/crds"
    text = importlib.resources.files("dask_kubernetes") / chart / f"{kind.lower()}.yaml"
    # yaml.safe_load takes seconds
    (version,) = yaml.load(text.read_text(), yaml.CSafeLoader)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    return strict(schema)


def strict(schema):
    """Refuse what a Kubernetes server would drop without a word."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    open_ended = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(schema)
    if isinstance(schema.get("properties"), dict) and "type" in schema and not open_ended:
        found["additionalProperties"] = False
    return found


def faults(schema, document):
    return [
        f"{e.json_path}: {e.message}" for e in Draft202012Validator(schema).iter_errors(document)
    ]


@pytest.mark.parametrize("name", DASK)
def test_the_operator_takes_a_manifest(name):
    manifest = MANIFESTS[name]
    assert faults(schema_of(manifest["kind"]), manifest) == []


def test_a_misspelt_key_or_a_wrong_type_would_be_noticed():
    job = yaml.safe_load((FOLDER / "job.yaml").read_text())
    job["spec"]["cluster"]["spec"]["worker"]["spec"]["containers"][0]["resource"] = {}
    job["spec"]["cluster"]["spec"]["worker"]["replicas"] = "four"
    found = " ".join(faults(schema_of("DaskJob"), job))
    assert "('resource' was unexpected)" in found
    assert "'four' is not of type 'integer'" in found


def test_the_volume_is_one_that_pods_know():
    claim = MANIFESTS["storage"]
    volumes = schema_of("DaskCluster")["properties"]["spec"]["properties"]["worker"]["properties"][
        "spec"
    ]["properties"]["volumes"]["items"]["properties"]
    template = volumes["ephemeral"]["properties"]["volumeClaimTemplate"]["properties"]["spec"]
    assert faults(template, claim["spec"]) == []
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods().values():
        (data,) = (volume for volume in pod["volumes"] if volume["name"] == "data")
        assert data["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def pods():
    """Return the specification of every pod, by what it is."""
    job, cluster = MANIFESTS["job"]["spec"], MANIFESTS["cluster"]["spec"]
    return {
        "job": job["job"]["spec"],
        "job's scheduler": job["cluster"]["spec"]["scheduler"]["spec"],
        "job's worker": job["cluster"]["spec"]["worker"]["spec"],
        "GPU worker": MANIFESTS["gpu-workers"]["spec"]["worker"]["spec"],
        "scheduler": cluster["scheduler"]["spec"],
        "worker": cluster["worker"]["spec"],
    }


@pytest.mark.parametrize("pod", pods().values(), ids=pods())
def test_no_pod_has_rights_or_resources_without_bounds(pod):
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    writable = {volume["name"] for volume in pod["volumes"] if "secret" not in volume}
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        mounts = {mount["name"] for mount in container.get("volumeMounts", ())}
        assert mounts <= writable | {"tls"}
        assert container["image"].removesuffix("-cuda") == (
            f"REGISTRY/rrl-batch:{__version__.rpartition('.')[0]}"
        )


def test_keys_are_for_the_pods_group_only():
    secrets = {
        name: volume["secret"]
        for name, pod in pods().items()
        for volume in pod["volumes"]
        if "secret" in volume
    }
    assert {name: secret["secretName"] for name, secret in secrets.items()} == {
        "job": "rrl-batch-client", "job's scheduler": "rrl-batch-scheduler",
        "job's worker": "rrl-batch-worker", "GPU worker": "rrl-batch-worker",
    }  # fmt: skip
    assert {secret["defaultMode"] for secret in secrets.values()} == {0o440}
    assert {pods()[name]["securityContext"]["fsGroup"] for name in secrets} == {1000}
    text = (FOLDER / "job.yaml").read_text()
    assert set(re.findall(r"/tls/([\w.]+)", text)) == {CA, CERTIFICATE, KEY}


def test_schedulers_and_workers_of_both_clusters_differ_by_encryption_only():
    encrypted, plain = MANIFESTS["job"]["spec"]["cluster"]["spec"], MANIFESTS["cluster"]["spec"]

    def without_tls(spec):
        text = yaml.safe_dump(spec, width=10_000).replace("full-sky", "rrl-batch")
        spec = yaml.safe_load(text)
        for part in (spec["scheduler"]["spec"], spec["worker"]["spec"]):
            part["volumes"] = [v for v in part["volumes"] if v["name"] != "tls"]
            (container,) = part["containers"]
            container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] != "tls"]
            container["args"] = [a for a in container["args"] if a not in ("--protocol", "tls")]
            container["env"] = [
                v
                for v in container.get("env", ())
                if "COMM" not in v["name"] and v["name"] != "DASK_SCHEDULER_ADDRESS"
            ]
        return spec

    assert without_tls(encrypted) == without_tls({k: plain[k] for k in ("scheduler", "worker")})


def test_the_job_runs_a_job_file_of_the_image_with_its_own_scheduler():
    (container,) = pods()["job"]["containers"]
    assert (ROOT / container["args"][2].lstrip("/")).exists()
    scheduler = f"{MANIFESTS['job']['metadata']['name']}-scheduler"
    assert f"tls://{scheduler}:8786" in container["args"]
    for name in ("job's worker", "GPU worker"):
        (worker,) = pods()[name]["containers"]
        environment = {variable["name"]: variable["value"] for variable in worker["env"]}
        assert environment["DASK_SCHEDULER_ADDRESS"] == f"tls://{scheduler}:8786"


def test_the_autoscaler_can_ask_a_scheduler_that_encrypts():
    (scheduler,) = pods()["job's scheduler"]["containers"]
    routes = {v["name"]: v["value"] for v in scheduler["env"]}[
        "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES"
    ]
    import dask.config
    import distributed  # noqa: F401 -- brings the defaults

    defaults = dask.config.get("distributed.scheduler.http.routes")
    assert yaml.safe_load(routes) == [*defaults, "distributed.http.scheduler.api"]


def test_the_image_has_what_every_worker_is_started_with(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    dockerfile = (FOLDER / "Dockerfile").read_text()
    set_there = dict(re.findall(r"(\w+)=(\S+?)(?: \\)?$", dockerfile, re.MULTILINE))
    for name, value in worker_environment().items():
        assert set_there[name] == value
    (python,) = re.findall(r"ARG PYTHON=(\S+)", dockerfile)
    tested = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert f"Programming Language :: Python :: {python}" in tested
