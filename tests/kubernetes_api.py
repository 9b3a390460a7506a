"""As much of a Kubernetes server with the Dask operator as a cluster needs to start and end."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DASK = "kubernetes.dask.org/v1"
KINDS = {"v1": ("Pod", "Service"), DASK: ("DaskCluster", "DaskWorkerGroup", "DaskAutoscaler")}

CONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: a, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: b, user: {{token: c}}}}]
contexts: [{{name: d, context: {{cluster: a, user: b}}}}]
current-context: d
"""


def discovery() -> dict[str, dict]:
    """Return what the server answers when it is asked what there is."""
    version = {"groupVersion": DASK, "version": "v1"}
    group = {"name": "kubernetes.dask.org", "versions": [version], "preferredVersion": version}
    kinds = {
        f"/{'api' if group == 'v1' else 'apis'}/{group}": {
            "resources": [
                {"name": f"{kind.lower()}s", "singularName": kind.lower(), "kind": kind,
                 "namespaced": True, "verbs": ["get", "list", "create", "delete", "patch"]}
                for kind in names
            ]
        }
        for group, names in KINDS.items()
    }  # fmt: skip
    answers = {"/api": {"versions": ["v1"]}, "/apis": {"groups": [group]}}
    return answers | {"/version": {"gitVersion": "v1.31.0"}} | kinds


class Kubernetes(ThreadingHTTPServer):
    """The server: resources by their path, and the ports of the one scheduler that it knows."""

    daemon_threads = True

    def __init__(self, scheduler: int, dashboard: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ports = {"tcp-comm": scheduler, "http-dashboard": dashboard}
        self.resources: dict[str, dict] = {}
        self.ever: dict[str, dict] = {}

    def add(self, path: str, resource: dict) -> None:
        """Keep a resource; a cluster gets its scheduler, as by the operator."""
        name = resource["metadata"]["name"]
        resource["metadata"].setdefault("namespace", "default")
        self.resources[f"{path}/{name}"] = self.ever[f"{resource['kind']} {name}"] = resource
        if resource["kind"] != "DaskCluster":
            return
        resource["status"] = {"phase": "Running"}
        meta = {"name": f"{name}-scheduler"}
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
        state = {"phase": "Running", "conditions": ready}
        spec = {
            "type": "LoadBalancer",
            "selector": {"dask.org/component": "scheduler"},
            "ports": [{"name": n, "port": port} for n, port in self.ports.items()],
        }
        here = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": state}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": dict(meta), "spec": spec}
        self.add("/api/v1/namespaces/default/pods", pod)
        self.add("/api/v1/namespaces/default/services", service | {"status": here})


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's resources; selectors are not looked at."""

    protocol_version = "HTTP/1.1"
    server: Kubernetes

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _path(self) -> str:
        return self.path.partition("?")[0].rstrip("/")

    def _answer(self, found: object) -> None:
        body = json.dumps(found or {"kind": "Status", "message": "not found"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> dict:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return json.loads(text) if text else {}

    def do_GET(self) -> None:
        path = self._path()
        resources = self.server.resources
        listed = [found for at, found in resources.items() if at.rpartition("/")[0] == path]
        kind = path.rpartition("/")[2].removesuffix("s")
        is_list = any(kind == name.lower() for names in KINDS.values() for name in names)
        items = {"kind": "List", "items": listed} if is_list else None
        self._answer(discovery().get(path) or resources.get(path) or items)

    def do_POST(self) -> None:
        resource = self._body()
        self.server.add(self._path(), resource)
        self._answer(resource)

    def do_PATCH(self) -> None:
        self._body()
        self._answer(self.server.resources.get(self._path()))

    def do_DELETE(self) -> None:
        self._body()
        self._answer(self.server.resources.pop(self._path(), None))


@contextmanager
def kubernetes(scheduler: int, dashboard: int, config: Path) -> Iterator[Kubernetes]:
    """Run the server, and write the configuration of a client."""
    with Kubernetes(scheduler, dashboard) as server:
        config.write_text(CONFIG.format(port=server.server_port))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
