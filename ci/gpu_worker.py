#!/usr/bin/env python3
"""A worker on a GPU under load: what `ci/gpu.sh run` measures of whole streams, with the command `cutrickle` alone.

    ci/gpu_worker.py COMMAND FOLDER

Prints tables in Markdown, and leaves in FOLDER the recordings that `ci/gpu.sh judge` looks at with ffprobe and ffmpeg.
"""

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

COMMAND, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
CLIP = pathlib.Path(__file__).parent.parent / "crates/cli/assets/clip/big-buck-bunny.ts"
DEVICE = "cuda:0"
# Seconds of each measurement; the first two warm up.
SECONDS = 8


@contextlib.contextmanager
def running(*arguments):
    """A command of ours, and the first address that it prints."""
    log = tempfile.NamedTemporaryFile("w+")
    process = subprocess.Popen([COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        address = None
        while not address:
            said = pathlib.Path(log.name).read_text()
            address = re.search(r"http://127\.0\.0\.1:\d+", said)
            if process.poll() is not None:
                raise RuntimeError(f"{arguments} ended: {said}")
            time.sleep(0.01)
        yield address.group(), process
    finally:
        process.terminate()
        process.wait()


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def worker(*arguments):
    """A trickle server and a worker that is ready."""
    server = ("trickle-server", "--listen", "127.0.0.1:0")
    serve = ("serve", "--host", "127.0.0.1", "--port", "0", "--log", "info", "--device", DEVICE)
    with running(*server) as (trickle, _), running(*serve, *arguments) as (url, process):
        while "IDLE" not in call(url + "/health"):
            time.sleep(0.01)
        yield trickle + "/", url, process.pid


def series(url):
    """The worker's metrics, by name and labels."""
    lines = [line.rsplit(" ", 1) for line in call(url + "/metrics").splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def copied(metrics, direction):
    prefix = f'cutrickle_gpu_copied_bytes_total{{device="{DEVICE}",direction="{direction}"'
    return sum(value for name, value in metrics.items() if name.startswith(prefix))


def stage_us(metrics, stage):
    def of(figure):
        return metrics.get(f'cutrickle_gpu_stage_{figure}_total{{device="{DEVICE}",stage="{stage}"}}', 0)

    return f"{1e6 * of('seconds') / of('samples'):.0f}" if of("samples") else "-"


def latency(processors, sizes):
    print(f"One stream, 30 pictures a second, {SECONDS} s; times on the device in us a picture\n")
    print(
        "| processor | size | added latency p50 / p99 ms | lost | CPU-ms a picture | decode | convert | process | encode"
        " | download | bytes up a picture | bytes down a pixel |"
    )
    print("|" + " --- |" * 12)
    for processor in processors:
        for width, height in sizes:
            with worker("--processor", processor) as (trickle, url, pid):
                of = ["--width", str(width), "--height", str(height), "--seconds", str(SECONDS), "--pid", str(pid)]
                probe = subprocess.run(
                    [COMMAND, "probe", "--worker", url, "--trickle", trickle, "--json", *of],
                    capture_output=True, text=True, check=True,
                )
                figures, metrics = json.loads(probe.stdout), series(url)
            pictures = 30 * SECONDS
            out = (width * height) * (4 if processor == "super-resolution" else 1)
            added = figures["added_latency_ms"]
            stages = " | ".join(stage_us(metrics, stage) for stage in ("decode", "convert", "process", "encode", "download"))
            print(
                f"| {processor} | {width}x{height} | {added['p50']:.1f} / {added['p99']:.1f} | {figures['lost']}"
                f" | {figures['cpu_ms_per_picture']:.1f} | {stages} | {copied(metrics, 'to_device') / pictures:.0f}"
                f" | {copied(metrics, 'to_host') / pictures / out:.2f} |",
                flush=True,
            )


def record(processors):
    for processor in processors:
        with worker("--processor", processor) as (trickle, url, _):
            start = {"subscribe_url": trickle + "in", "publish_url": trickle + "out", "params": {}}
            call(url + "/api/stream/start", start)
            file = str(FOLDER / f"{processor}.ts")
            recording = subprocess.Popen([COMMAND, "record", "--url", trickle + "out", "--output", file])
            publishing = subprocess.Popen([COMMAND, "publish", str(CLIP), "--url", trickle + "in"])
            backends = None
            while publishing.poll() is None:
                backends = json.loads(call(url + "/api/stream/status")).get("backends") or backends
                time.sleep(0.1)
            if recording.wait() != 0:
                raise RuntimeError(f"recording {file}")
            print(f"recorded {processor}.ts: {json.dumps(backends)}", flush=True)


def nvml(metrics, name, label=""):
    """The first GPU's figure, or none where there is no NVML."""
    return next((value for series, value in metrics.items() if series.startswith(name) and label in series), None)


@contextlib.contextmanager
def streams(trickle, url, count):
    """So many streams of the clip, looped."""
    sources = []
    for n in range(count):
        start = {"subscribe_url": f"{trickle}in{n}", "publish_url": f"{trickle}out{n}", "gateway_request_id": f"s{n}"}
        call(url + "/api/stream/start", start)
        publish = [COMMAND, "publish", str(CLIP), "--loop", "--url", f"{trickle}in{n}"]
        sources.append(subprocess.Popen(publish, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        for source in sources:
            source.kill()
            source.wait()


def many(processor, counts):
    print(f"\nStreams of one worker, the clip (720p) in each, `{processor}`, {SECONDS} s; load by NVML\n")
    print("| streams | pictures a second, least and most | dropped | errors | GPU memory MB | decoder load % | compute load % |")
    print("|" + " --- |" * 7)
    for count in counts:
        with worker("--processor", processor, "--capacity", str(count)) as (trickle, url, _):
            with streams(trickle, url, count):
                time.sleep(SECONDS)
                status = [json.loads(call(f"{url}/api/stream/status?stream=s{n}")) for n in range(count)]
                metrics = series(url)
        fps = [one["fps"] for one in status]
        dropped, errors = (sum(one[what] for one in status) for what in ("frames_dropped", "error_count"))
        memory = max(one["gpu_memory_mb"] for one in status)
        print(
            f"| {count} | {min(fps):.1f} / {max(fps):.1f} | {dropped} | {errors} | {memory:.0f}"
            f" | {' | '.join(str(nvml(metrics, 'cutrickle_gpu_utilization_percent', of)) for of in ('decoder', 'compute'))} |",
            flush=True,
        )


def again(rounds, count):
    """What is left on the device after streams came and went."""
    used = []
    with worker("--processor", "invert", "--capacity", str(count)) as (trickle, url, _):
        for _ in range(rounds):
            with streams(trickle, url, count):
                time.sleep(1.5)
                for n in range(count):
                    call(url + "/api/stream/stop", {"gateway_request_id": f"s{n}"})
            while "IDLE" not in call(url + "/health"):
                time.sleep(0.01)
            used.append(nvml(series(url), "cutrickle_gpu_memory_used_bytes"))
    print(f"\nBytes of GPU memory in use (NVML) after each of {rounds} rounds of {count} streams: {used}")


record(["passthrough", "style"])
latency(["passthrough"], [(1280, 720), (1920, 1080)])
latency(["invert"], [(1920, 1080)])
latency(["denoise", "style", "super-resolution"], [(640, 360)])
many("denoise", [4, 12])
again(3, 8)
