#!/bin/bash
# Run by the Postgres image when its volume is empty: the databases and logins of README.md's "Your own servers".
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres \
  --set deploy="$DEPLOY_PASSWORD" --set airflow="$AIRFLOW_PASSWORD" --set mlflow="$MLFLOW_PASSWORD" \
  --set jobs="$JOBS_PASSWORD" --set page="$PAGE_PASSWORD" --set web="$WEB_PASSWORD" <<'SQL'
create role nearline_deploy login createrole password :'deploy';
create database shop owner nearline_deploy;
create role airflow login password :'airflow';
create database airflow owner airflow;
create role mlflow login password :'mlflow';
create database mlflow owner mlflow;
\connect shop
create extension vector;
set role nearline_deploy;
\i /srv/roles.sql
reset role;
create role shop_jobs login password :'jobs' in role nearline_engine;
create role shop_page login password :'page' in role nearline_reader;
create role shop_web login password :'web' in role nearline_reader, nearline_writer;
SQL
