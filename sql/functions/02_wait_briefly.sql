create or replace function nearline_data._held_by(of_table oid)
returns text[]
language sql volatile
set search_path = pg_catalog, pg_temp
return array(
    select distinct coalesce(nullif(a.application_name, ''), a.backend_type, case when k.pid is null then 'a prepared transaction' else 'a session' end)
           || coalesce(' of ' || a.usename, '') || coalesce(', process ' || k.pid, '')
    from pg_locks k
    left join pg_stat_activity a on a.pid = k.pid
    where k.locktype = 'relation'
      and k.granted
      and k.database = (select d.oid from pg_database d where d.datname = current_database())
      and k.relation = any (array_append(array(select h.inhparent from pg_inherits h where h.inhrelid = of_table), of_table))
      and k.pid is distinct from pg_backend_pid()
);
comment on function nearline_data._held_by is 'Who has a lock of a partition or of its parent: application, role and process.';

create or replace function nearline_data._wait_briefly(partition_name text, statement text, patience text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = 0
as $$
-- Whoever comes while a drop waits for its lock waits behind it, so a long reader such as a dump would hold up everybody.
declare
    before constant text[] := nearline_data._held_by(to_regclass('nearline_data.' || quote_ident(partition_name)));
    since text;
begin
    perform set_config('lock_timeout', patience, true);
    execute format(statement, partition_name);
exception when lock_not_available or deadlock_detected then
    select string_agg(h.who, '; ') into since
    from unnest(nearline_data._held_by(to_regclass('nearline_data.' || quote_ident(partition_name)))) as h (who)
    where h.who = any (before);
    raise exception '% is in use by %', partition_name, coalesce(since, 'somebody')
        using errcode = '55P03', hint = 'Nothing was changed. Try again when that has ended.';
end
$$;
comment on function nearline_data._wait_briefly is 'Runs a statement on a partition if its lock is to be had within a time; otherwise an error that says who has it.';

create or replace function nearline_data._drop_partition(partition_name text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Nobody who reads or writes minds this lock, and an autovacuum gives way to it.
    perform nearline_data._wait_briefly(partition_name, 'lock table nearline_data.%I in share update exclusive mode', '5s');
    -- For the parent and for the partition, each, and all who come meanwhile wait too: a list takes a few milliseconds.
    perform nearline_data._wait_briefly(partition_name, 'drop table nearline_data.%I', '200ms');
end
$$;
comment on function nearline_data._drop_partition is 'Drops a partition if that keeps others waiting for less than half a second; otherwise an error, and nothing dropped.';
