"""The two language models, in torch; they know nothing of databases, Spark or MLflow."""

from __future__ import annotations

import os

# Read when torch is first imported. Jobs share their cores with Postgres, Airflow and one another, and threads that
# spin while they wait take the core from the one they wait for: two trainings at once, without this, took 27 s an epoch
# where one alone took 3.4 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
