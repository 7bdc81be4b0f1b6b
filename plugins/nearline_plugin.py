"""The one file of plugins/ that Airflow scans: it adds the Nearline page to the menu."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class NearlinePlugin(AirflowPlugin):
    """A page below /nearline, shown inside Airflow's UI."""

    name = "nearline"
    external_views = [  # noqa: RUF012
        {
            "name": "Nearline",
            "href": "/nearline/",
            "destination": "nav",
            "url_route": "nearline",
        }
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Built when the API server asks; the scheduler and every task load this file too and need no web server."""
        from nearline_airflow.page import create_app

        return [{"app": create_app(), "url_prefix": "/nearline", "name": "Nearline"}]
