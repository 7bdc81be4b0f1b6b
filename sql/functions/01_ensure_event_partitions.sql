create or replace function nearline_data._ensure_event_partitions(from_time timestamptz, until_time timestamptz)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
-- Months since the beginning of last year, whole years before: many years of history must not mean hundreds of
-- partitions to look into when a person's newest events are read.
declare
    months_from constant timestamptz := date_trunc('year', now()) - interval '1 year';
    lower_bound timestamptz := date_trunc('month', from_time);
    upper_bound timestamptz;
    partition_name text;
    made integer := 0;
begin
    if until_time - from_time > interval '200 years' then
        raise exception 'events from % until % span more than 200 years', from_time, until_time
            using errcode = '22008', hint = 'Check the unit of the times: seconds and milliseconds are easily mixed up.';
    end if;
    while lower_bound <= until_time loop
        partition_name := 'event_' || to_char(lower_bound, 'YYYY');
        if lower_bound < months_from and to_regclass('nearline_data.' || partition_name || '_01') is null
           and not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                           where n.nspname = 'nearline_data' and c.relkind = 'r' and starts_with(c.relname::text, partition_name || '_')) then
            lower_bound := date_trunc('year', lower_bound);
            upper_bound := lower_bound + interval '1 year';
        elsif to_regclass('nearline_data.' || partition_name) is not null then
            lower_bound := date_trunc('year', lower_bound);  -- the whole year is there
            upper_bound := lower_bound + interval '1 year';
        else
            partition_name := partition_name || to_char(lower_bound, '_MM');
            upper_bound := lower_bound + interval '1 month';
        end if;
        if to_regclass('nearline_data.' || partition_name) is null then
            perform pg_advisory_xact_lock(hashtext('nearline event partitions'));
            begin
                -- Attaching takes a lighter lock than "create table ... partition of": writers go on.
                execute format('create table nearline_data.%I (like nearline_data.event including defaults including constraints)', partition_name);
                execute format('comment on table nearline_data.%I is %L', partition_name, 'Events from ' || lower_bound::date || ' until before ' || upper_bound::date || '.');
                execute format('alter table nearline_data.event attach partition nearline_data.%I for values from (%L) to (%L)', partition_name, lower_bound, upper_bound);
                made := made + 1;
            exception when duplicate_table then
                null;  -- made while this waited for the lock; asking for the name again may still be answered from before
            end;
        end if;
        lower_bound := upper_bound;
    end loop;
    return made;
end
$$;
comment on function nearline_data._ensure_event_partitions is 'Makes the partitions of event for a span of time that are not there yet; returns how many.';
