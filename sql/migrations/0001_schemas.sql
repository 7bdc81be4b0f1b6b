-- The two schemas. Roles are made before the first migration (sql/roles.sql), as they belong to the whole server.
create extension if not exists vector;

create schema nearline authorization nearline_owner;
comment on schema nearline is 'The contract: functions and views that applications call.';

create schema nearline_data authorization nearline_owner;
comment on schema nearline_data is 'The tables behind the contract; jobs read and write them, applications do not.';

set local role nearline_owner;

create table nearline_data.migration (
    name text primary key
  , checksum text not null
  , applied_at timestamptz not null default now()
);
comment on table nearline_data.migration is 'Ledger of sql/migrations: what ran, with which body, when.';
comment on column nearline_data.migration.name is 'File name.';
comment on column nearline_data.migration.checksum is 'SHA-256 of the file; a deploy stops when a recorded one differs.';
comment on column nearline_data.migration.applied_at is 'When it was committed.';
