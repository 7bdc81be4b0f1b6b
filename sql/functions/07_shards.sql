create or replace function nearline_data._shard_of(of_user text, shard_count integer)
returns integer
language sql immutable parallel safe
return case when shard_count = 1 then 0 else (hashtextextended(of_user, 0) & 1073741823)::integer % shard_count end;
comment on function nearline_data._shard_of is 'Which shard of the people somebody belongs to: 0 to shard_count - 1.';

create or replace function nearline_data._set_shards(of_version integer, new_count integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
-- All new cursors start with what every old one has read. A reader of the old ones is waited for, and finds them gone.
declare
    common text;
begin
    perform from nearline_data.cursor c where c.model_version = of_version order by c.shard for update;
    if not exists (select from nearline_data.cursor c where c.model_version = of_version) then
        raise exception 'model version % has no cursor', of_version
            using errcode = '55000', hint = 'Run rebuild_interests for it first.';
    end if;
    if not exists (select from nearline_data.cursor c where c.model_version = of_version and c.shard_count <> new_count) then
        return;
    end if;
    with old as (
        select c.position, min(pg_snapshot_xmax(c.position)) over () as until
        from nearline_data.cursor c
        where c.model_version = of_version
    ), still_open as (
        select distinct o.until, x.id
        from old o
        cross join pg_snapshot_xip(o.position) as x (id)
        where x.id < o.until
    )
    select coalesce((select min(s.id) from still_open s), min(o.until)) || ':' || min(o.until) || ':'
           || coalesce((select string_agg(s.id::text, ',' order by s.id) from still_open s), '')
    into common
    from old o;
    delete from nearline_data.cursor c where c.model_version = of_version;
    insert into nearline_data.cursor (model_version, shard, shard_count, position)
    select of_version, n.shard, new_count, common::pg_snapshot from generate_series(0, new_count - 1) as n (shard);
end
$$;
comment on function nearline_data._set_shards is 'Divides the people of a version into another number of shards; nothing is lost, some may be refreshed twice.';
