"""The two language models, in torch; they know nothing of databases, Spark or MLflow."""

from __future__ import annotations

import os

# Read when torch is first imported. Jobs share their cores with Postgres, Airflow and one another: threads that spin
# while they wait for a core that somebody else has made an epoch ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
