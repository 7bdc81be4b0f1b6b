"""Nearline: recommendations in SQL from the Airflow, Spark, Postgres and MLflow a team already has."""

from __future__ import annotations

__version__ = "0.1.0"
