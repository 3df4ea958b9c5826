"""Render every overlay and every component with kustomize and check each object against the schemas of Kubernetes.

`make manifests`, or `python deploy/k8s/validate.py [folder ...]`. Stricter than the validator it wraps, which lets kinds
it does not know pass with a warning: here an unknown kind, an unknown field and an object without a name all fail.
Without `kubectl` nothing can be rendered: it says so and ends with 0, except under CI_REQUIRE_KUBECTL=1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import InvalidSchemaError, SchemaNotFoundError, ValidationError, validate

HERE = Path(__file__).resolve().parent
KUBERNETES = "1.32"  # the oldest minor version we promise to run on


class CannotRender(Exception):
    """kustomize refused a folder; the text is what it said."""


def targets() -> list[Path]:
    """Return every folder that is validated by itself or on top of the base."""
    return [HERE / "base", *sorted(HERE.glob("overlays/*")), *sorted(HERE.glob("components/*"))]


def render(folder: Path) -> list[dict[str, Any]]:
    """Return the objects a folder renders to; a component is laid over the base.

    Raises:
        CannotRender: kustomize does not accept the folder.
    """
    if folder.parent.name != "components":
        return kustomize(folder)
    # kustomize wants relative paths, and a component cannot be rendered alone.
    with tempfile.TemporaryDirectory(dir=HERE.parent, prefix=".render-") as temporary:
        relative = os.path.relpath(HERE, temporary)
        content = {"resources": [f"{relative}/base"], "components": [f"{relative}/components/{folder.name}"]}
        (Path(temporary) / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return kustomize(Path(temporary))


def kustomize(folder: Path) -> list[dict[str, Any]]:
    """Run `kubectl kustomize`, which needs no cluster."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRender(done.stderr.strip())
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def problems(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one sentence for each object that Kubernetes would refuse, or that names nothing it knows."""
    for number, resource in enumerate(objects):
        metadata = resource.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        title = f"{resource.get('apiVersion')} {resource.get('kind')} {name or f'number {number + 1}'}"
        if not name:
            yield f"{title}: has no name"
        try:
            validate(resource, KUBERNETES, strict=True)
        except SchemaNotFoundError:
            yield f"{title}: Kubernetes {KUBERNETES} has no such kind"
        except (ValidationError, InvalidSchemaError) as error:
            where = ".".join(str(part) for part in getattr(error, "path", []))
            yield f"{title}: {where}: {getattr(error, 'message', error)}"


def main(arguments: list[str]) -> int:
    """Validate the given folders, or all; return 0 when everything is right."""
    if shutil.which("kubectl") is None:
        print("manifests: skipped, kubectl is not installed (it renders the kustomize folders)")
        return 1 if os.environ.get("CI_REQUIRE_KUBECTL") == "1" else 0
    failed = False
    for folder in [Path(argument).resolve() for argument in arguments] or targets():
        title = os.path.relpath(folder, HERE)
        try:
            objects = render(folder)
        except CannotRender as error:
            found, objects = [f"does not render: {error}"], []
        else:
            found = list(problems(objects))
        failed = failed or bool(found)
        print(f"{'FAILED' if found else 'ok    '} {title} ({len(objects)} objects)", *found, sep="\n         ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
