create or replace function nearline_data._archivable_partitions(hot_days integer)
returns table (partition_name text, from_time timestamptz, until_time timestamptz, row_count bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    newest timestamptz := (select max(e.occurred_at) from nearline_data.event e);
    bounds text[];
begin
    for partition_name, bounds in
        select c.relname, regexp_match(pg_get_expr(c.relpartbound, c.oid), $re$FROM \('(.+)'\) TO \('(.+)'\)$re$)
        from pg_inherits h
        join pg_class c on c.oid = h.inhrelid
        where h.inhparent = 'nearline_data.event'::regclass
        order by c.relname
    loop
        from_time := bounds[1];
        until_time := bounds[2];
        continue when until_time > newest - make_interval(days => hot_days);
        execute format('select count(*) from nearline_data.%I', partition_name) into row_count;
        continue when row_count = 0;
        return next;
    end loop;
end
$$;
comment on function nearline_data._archivable_partitions is 'Partitions of event that are wholly older than so many days before the newest event, and not empty.';

create or replace function nearline_data._drop_archived_partition(
    partition_name text
  , archived_rows bigint
  , archived_ids numeric
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found bigint;
    found_ids numeric;
begin
    if not exists (select from pg_inherits h join pg_class c on c.oid = h.inhrelid
                   where h.inhparent = 'nearline_data.event'::regclass and c.relname = partition_name) then
        raise exception '% is not a partition of nearline_data.event', quote_literal(partition_name) using errcode = '42P01';
    end if;
    -- Keeps out who would write to it, and no reader.
    perform nearline_data._wait_briefly(partition_name, 'lock table nearline_data.%I in share mode', '5s');
    execute format('select count(*), coalesce(sum(hashtextextended(event_id, 0)), 0) from nearline_data.%I', partition_name)
    into found, found_ids;
    if found <> archived_rows then
        raise exception '% has % rows, but % were archived', partition_name, found, archived_rows
            using errcode = '40001', hint = 'An event arrived late. Run the archive again; nothing was dropped.';
    end if;
    if found_ids <> archived_ids then
        raise exception '% has other rows than were archived', partition_name
            using errcode = '40001', hint = 'One was taken back while another arrived late. Run the archive again; nothing was dropped.';
    end if;
    -- They hold the parent already: each would wait for the other.
    if exists (select from pg_locks k where k.relation = ('nearline_data.' || quote_ident(partition_name))::regclass and not k.granted) then
        raise exception 'somebody waits to change %', partition_name
            using errcode = '40001', hint = 'Run the archive again; nothing was dropped.';
    end if;
    perform nearline_data._drop_partition(partition_name);
    insert into nearline_data.archived_partition as old (partition_name, row_count) values (partition_name, archived_rows)
    on conflict on constraint archived_partition_pkey do update set row_count = excluded.row_count, archived_at = now();
end
$$;
comment on function nearline_data._drop_archived_partition is 'Drops a partition of event if all of its rows are in the archive, by their number and the sum of their ids'' hashes; otherwise, and while others use it, an error and nothing dropped.';
