#!/bin/sh
# Deploys Nearline's schema and Airflow's, and gives Airflow's user admin its password.
set -eu
python /srv/nearline/jobs/migrate.py
airflow db migrate
umask 077
printf '{"admin": "%s"}\n' "$ADMIN_PASSWORD" > "$AIRFLOW_HOME/passwords.json"
