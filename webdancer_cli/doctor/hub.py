"""Whether a model that lies in no folder here can be fetched: from the hub, or from what was fetched before."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from webdancer_cli.options import config
from webdancer_cli.services.proxies import Proxies

HUB = "https://huggingface.co"
CONNECT_SECONDS = 4.0


def hub_fault(model: str) -> str:
    """Why a model cannot be had, "" if nothing tells against it. Names of folders are for others to look at."""
    if model == config.NANO or model.startswith((".", "/", "~")) or Path(model).exists() or _is_cached(model):
        return ""
    address = os.environ.get("HF_ENDPOINT") or HUB
    if Proxies.of_environment().of(address):  # it is for the proxy to know
        return ""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 443), CONNECT_SECONDS).close()
    except OSError as error:
        said = error.strerror or "no connection in time"
        return f"{model}: no folder here, and {address} cannot be reached ({said}): name a folder, or fetch it first"
    return ""


def _is_cached(model: str) -> bool:
    """Whether huggingface_hub keeps it, by the layout of its cache."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return (cache / f"models--{model.replace('/', '--')}").is_dir()
