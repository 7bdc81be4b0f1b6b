"""Whether the ports that the local stack's servers want can be had, and who holds them."""

from __future__ import annotations

import socket

import psutil

from nearline.adapters.processes import Server
from nearline.errors import StackError
from nearline.settings import Settings


def check_ports(settings: Settings, missing: list[Server]) -> None:
    """Raise where a server that is to start cannot have its port.

    Raises
    ------
    StackError
        With the port, who holds it, and the setting that names another.
    """
    wanted = {"mlflow": ("NEARLINE_MLFLOW_PORT", settings.mlflow_port)}
    wanted["api-server"] = ("NEARLINE_AIRFLOW_PORT", settings.airflow_port)
    for server in missing:
        if server.name not in wanted:
            continue
        variable, port = wanted[server.name]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as problem:
                raise StackError(
                    f"Port {port}, wanted for {server.name}, cannot be had: {problem.strerror}{_holder(port)}. "
                    f"Fix: stop that process, or choose another port with {variable}."
                ) from None


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                command = " ".join(psutil.Process(connection.pid).cmdline())[:80]
                return f" (held by process {connection.pid}: {command})"
    except psutil.Error:
        pass
    return ""
