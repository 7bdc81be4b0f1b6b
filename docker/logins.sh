#!/bin/bash
# Run by the Postgres image when its volume is empty: the databases and logins of README.md's "Your own servers".
set -euo pipefail

admin() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" --username postgres "$@"; }

admin <<'SQL'
create role nearline_deploy login createrole password :'password';
create database shop owner nearline_deploy;
create role airflow login password :'password';
create database airflow owner airflow;
create role mlflow login password :'password';
create database mlflow owner mlflow;
\connect shop
create extension vector;
set role nearline_deploy;
\i /srv/roles.sql
reset role;
create role shop_jobs login password :'password' in role nearline_engine;
create role shop_page login password :'password' in role nearline_reader;
create role shop_web login password :'password' in role nearline_reader, nearline_writer;
SQL
