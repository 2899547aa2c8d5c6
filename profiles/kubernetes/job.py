"""A Snakemake job as a Kubernetes Job on a shared volume: submit, status, cancel, for the cluster-generic executor."""

import argparse
import json
import os
import re
import subprocess
import sys


def manifest(script: str, image: str, claim: str) -> dict:
    """The Job that runs a job script in the working directory, with the resources that the script states.

    claim: ``NAME:PATH``, the volume claim that holds the working directory and where it is mounted.
    """
    with open(script, encoding="utf-8") as file:
        properties = json.loads(re.search(r"^# properties = (.*)$", file.read(), re.MULTILINE)[1])
    asked, (name, path) = properties["resources"], claim.split(":")
    amounts = {"cpu": str(properties.get("threads", 1)), "memory": f"{asked.get('mem_mb', 1000)}M"}
    if asked.get("gpu"):
        amounts["nvidia.com/gpu"] = str(asked["gpu"])
    container = {
        "name": "step",
        "image": image,
        "command": ["sh", os.path.abspath(script)],
        "workingDir": os.getcwd(),
        "resources": {"requests": amounts, "limits": amounts},
        "volumeMounts": [{"name": "work", "mountPath": path}],
    }
    volumes = [{"name": "work", "persistentVolumeClaim": {"claimName": name}}]
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    # Snakemake starts failed jobs again, with more memory; Kubernetes does not.
    limits = {"backoffLimit": 0, "activeDeadlineSeconds": 60 * int(asked.get("runtime", 60))}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "ipcir-", "labels": {"app": "ipcir"}},
        "spec": {**limits, "ttlSecondsAfterFinished": 86400, "template": {"spec": pod}},
    }


def kubectl(*words: str, text: str | None = None) -> str:
    return subprocess.run(["kubectl", *words], input=text, check=True, stdout=subprocess.PIPE, text=True).stdout


def state(name: str) -> str:
    """What the executor understands: success, failed or running."""
    conditions = json.loads(kubectl("get", name, "-o", "json")).get("status", {}).get("conditions", [])
    reached = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return "success" if "Complete" in reached else "failed" if "Failed" in reached else "running"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["submit", "status", "cancel"])
    parser.add_argument("--image", help="image of the pods, with every family and Snakemake")
    parser.add_argument("--claim", help="NAME:PATH of the volume claim that holds this directory")
    parser.add_argument("names", nargs="+", help="a job script, or names of jobs")
    args = parser.parse_args()
    if args.action == "submit":
        job = manifest(args.names[0], args.image, args.claim)
        sys.stdout.write(kubectl("create", "-f", "-", "-o", "name", text=json.dumps(job)))
    elif args.action == "status":
        print(state(args.names[0]))
    else:
        kubectl("delete", "--wait=false", *args.names)


if __name__ == "__main__":
    main()
