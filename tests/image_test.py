"""Build the images, run the README's commands through them, and say what they weigh.

`make image-test` builds every image with buildah (as root, without a container engine) on the image
BASE, starts a PostgreSQL and an S3 server beside them, runs `luthier migrate`, the API and a worker
from the images, and types the curl commands of the README. On a machine without a GPU, the image
`worker-gpu` has to import what it trains with, refuse to work, and work where it is told that no
GPU is required. What a build needs besides (a mirror's certificates, for example) goes into
BUILD_FLAGS.
"""

import argparse
import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from tests.object_store import s3_server
from tests.postgres import PostgresServer
from tests.processes import free_bind
from tests.readme import ROOT, curl_commands, predicted_grams

BUILDAH = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
AWS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
IMAGES = ("api", "worker", "worker-gpu")
USER = 10001  # that of the images
_IMPORTS = """
import numba, onnxruntime, tensorflow as tf, tf2onnx
build = tf.sysconfig.get_build_info()
found = tf.config.list_physical_devices("GPU")
print(f"TensorFlow {tf.__version__} for CUDA {build.get('cuda_version')}, GPUs: {len(found)}")
"""
READY_WITHIN = 120.0  # seconds


def buildah(*arguments: str) -> str:
    """Run buildah; what it prints. Raises CalledProcessError."""
    done = subprocess.run(
        ["buildah", *arguments], env=BUILDAH, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def build(name: str, base: str, flags: str) -> str:
    """Build one image of the Dockerfile; return its whole name."""
    image = f"localhost/luthier-{name}"
    arguments = ["--build-arg", f"BASE={base}", "--build-arg", f"IMAGE={name}", "--tag", image]
    # Each layer of the GPU's environment would be kept once more.
    layers = [] if name == "worker-gpu" else ["--layers"]
    options = ["--quiet", "--format=docker", *layers, *shlex.split(flags)]
    buildah("build", *options, *arguments, str(ROOT))
    return image


class Container:
    """A container of an image, of which commands are run with the image's user and entry point."""

    def __init__(self, image: str, settings: dict[str, str]) -> None:
        self._name = buildah("from", image)
        described = json.loads(buildah("inspect", self._name))["OCIv1"]["config"]
        self._entry, self._command = described["Entrypoint"], described["Cmd"]
        assert described["User"] == f"{USER}:{USER}"
        self._settings = [f"--env={name}={value}" for name, value in settings.items()]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `remove`)

    def run(self, *command: str) -> None:
        """Run a command of `luthier` to its end."""
        subprocess.run(self._line(*command), env=BUILDAH, check=True)

    @contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """What the image runs by default, until the block is left."""
        process = subprocess.Popen(
            self._line(*self._command), env=BUILDAH, stdout=self._log, stderr=subprocess.STDOUT
        )
        outer = psutil.Process(process.pid)
        try:
            yield outer
        except BaseException:
            self._log.seek(0)
            print(self._log.read().decode(), file=sys.stderr)
            raise
        finally:
            for inner in reversed(outer.children(recursive=True)):
                inner.terminate()
            process.wait(60)

    def output(self, *command: str) -> str:
        """Run any program to its end, whatever its status; return what it prints."""
        line = ["buildah", "run", *self._settings, self._name, "--", *command]
        done = subprocess.run(
            line, env=BUILDAH, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.stdout

    def remove(self) -> None:
        """Remove it; the image stays."""
        self._log.close()
        buildah("rm", self._name)

    def _line(self, *command: str) -> list[str]:
        return ["buildah", "run", *self._settings, self._name, "--", *self._entry, *command]


def wait_for(url: str) -> float:
    """Seconds until `url` answers 200."""
    started = time.monotonic()
    while time.monotonic() < started + READY_WITHIN:
        try:
            if httpx.get(url, timeout=2.0).status_code == 200:
                return time.monotonic() - started
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(url)


def memory(outer: psutil.Process) -> int:
    """Bytes of what runs in the container: private memory and a share of what is shared."""
    inside = [item for item in outer.children(recursive=True) if item.uids().real == USER]
    return sum(item.memory_full_info().pss for item in inside)


def image_bytes(image: str) -> int:
    """The size of an image with its base."""
    (described,) = json.loads(buildah("images", "--json", image))
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
    number, unit = described["size"].split()
    return int(float(number) * units[unit])


def main() -> None:
    """Build, run, report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--base", required=True, help="image with Python 3.11 or newer and venv")
    options.add_argument("--images", nargs="*", default=IMAGES, choices=IMAGES)
    options.add_argument("--build-flags", default="", help="further arguments of `buildah build`")
    chosen = options.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # every request to the S3 server
    images = {name: build(name, chosen.base, chosen.build_flags) for name in chosen.images}
    if "worker-gpu" in images:
        check_gpu_image(images["worker-gpu"])
    if {"api", "worker"} <= images.keys():
        check_service(images)


def check_gpu_image(image: str) -> None:
    """Check what the image says and does on a machine without a GPU; print its size."""
    bind = free_bind()
    with ExitStack() as stack:
        strict, lax = (
            Container(image, {"LUTHIER_REQUIRE_GPU": required, "LUTHIER_WORKER_BIND": bind})
            for required in ("1", "0")
        )
        stack.callback(lax.remove)
        stack.callback(strict.remove)
        told = strict.output("python", "-c", _IMPORTS)
        print(f"{image}: {image_bytes(image) / 1e6:,.0f} MB, {told.strip().splitlines()[-1]}")
        assert "TensorFlow" in told, told
        strict.run("migrate")
        refusal = strict.output("luthier", "worker")
        print(next((line for line in refusal.splitlines() if "REQUIRE_GPU" in line), ""))
        assert "LUTHIER_REQUIRE_GPU=1: TensorFlow sees no GPU" in refusal, refusal
        lax.run("migrate")
        with lax.running():
            seconds = wait_for(f"http://{bind}/healthz")
            print(f"{image} works where no GPU is required, ready after {seconds:.1f} s")


def check_service(images: dict[str, str]) -> None:
    """Run the README's commands through API and worker; print what both weigh."""
    with ExitStack() as stack:
        database = PostgresServer()
        stack.callback(database.remove)
        artifacts = stack.enter_context(s3_server())
        api_bind, worker_bind = free_bind(), free_bind()
        settings = {
            "LUTHIER_DATABASE_URL": database.url("postgres"),
            "LUTHIER_ARTIFACTS": artifacts,
            "LUTHIER_BIND": api_bind,
            "LUTHIER_WORKER_BIND": worker_bind,
            **{name: text for name, text in os.environ.items() if name in AWS},
        }
        api = Container(images["api"], settings)
        stack.callback(api.remove)
        worker = Container(images["worker"], settings)
        stack.callback(worker.remove)
        api.run("migrate")
        serving = stack.enter_context(api.running())
        api_seconds = wait_for(f"http://{api_bind}/readyz")
        api_idle = memory(serving)
        working = stack.enter_context(worker.running())
        worker_seconds = wait_for(f"http://{worker_bind}/healthz")
        done = subprocess.run(
            ["bash", "-euc", curl_commands(f"http://{api_bind}")],
            cwd=stack.enter_context(tempfile.TemporaryDirectory()),
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
        )
        grams = predicted_grams(done.stdout)
        assert 2700 < grams < 4800, grams
        table = Table(title=f"The README's commands, answered by the images: {grams:.0f} g")
        for heading in ("", "image", "ready after", "memory at rest", "memory after a job"):
            table.add_column(heading, justify="right" if heading else "left")
        table.add_row("api", *_figures(images["api"], api_seconds, api_idle, memory(serving)))
        table.add_row("worker", *_figures(images["worker"], worker_seconds, None, memory(working)))
        Console(width=100).print(table)


def _figures(image: str, seconds: float, idle: int | None, after: int) -> tuple[str, ...]:
    return (
        f"{image_bytes(image) / 1e6:,.0f} MB",
        f"{seconds:.1f} s",
        "" if idle is None else f"{idle / 1e6:,.0f} MB",
        f"{after / 1e6:,.0f} MB",
    )


if __name__ == "__main__":
    main()
