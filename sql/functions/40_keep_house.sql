create or replace function nearline_data._keep_house()
returns table (what text, how_many bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped bigint := 0;
    staging regclass;
begin
    return query select 'popular items counted', nearline_data._refresh_popularity();
    return query select 'topics counted anew', nearline_data._refresh_topics();
    delete from nearline_data.refresh_batch b where b.finished_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'refresh batches forgotten', dropped;
    -- In the order of erase_user: the other way round the two could wait for each other.
    delete from nearline_data.waiting_event w where not exists (select from nearline_data.event e where e.user_id = w.user_id);
    get diagnostics dropped = row_count;
    return query select 'waiting people forgotten', dropped;
    -- A refresh of a version that is live no more may have been at them: nobody reads erasures for that version.
    delete from nearline_data.user_interest i
    using nearline_data.erased_user u, nearline_data.model_version m
    where i.model_version = m.model_version
      and i.user_id = u.user_id
      and not exists (select from nearline_data.event e where e.user_id = u.user_id);
    delete from nearline_data.interest_without i where i.measured_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'measurements forgotten', dropped;
    delete from nearline_data.explanation_wanted w where w.asked_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'explanations given up', dropped;
    delete from nearline_data.exposure x where x.shown_at < now() - interval '180 days';
    get diagnostics dropped = row_count;
    return query select 'exposures forgotten', dropped;
    delete from nearline_data.rejected_row r where r.rejected_at < now() - interval '30 days';
    get diagnostics dropped = row_count;
    return query select 'rejected rows forgotten', dropped;
    if exists (select from nearline_data.erased_user) then
        -- Of an event that was taken back, or encoded by a refresh that was at a person just when they were erased.
        delete from nearline_data.query_embedding q
        where not exists (select from nearline_data.event e where e.text is not null and left(e.text, 500) = q.query);
        get diagnostics dropped = row_count;
        return query select 'typed texts forgotten', dropped;
    end if;
    -- A version that is kept for a rollback reads them when it goes live.
    delete from nearline_data.erased_user u
    where u.erased_at < now() - interval '1 day'
      and not exists (select from nearline_data.cursor c where not pg_visible_in_snapshot(u.transaction_id, c.position));
    get diagnostics dropped = row_count;
    return query select 'erasures forgotten', dropped;
    dropped := 0;
    for staging in
        select c.oid::regclass
        from pg_class c
        where c.relnamespace = 'nearline_load'::regnamespace and c.relkind = 'r'
          -- The lock of the load that made it: nobody has it if that was killed.
          and pg_try_advisory_xact_lock(hashtextextended(c.relname, 0))
    loop
        execute format('drop table %s', staging);
        dropped := dropped + 1;
    end loop;
    return query select 'tables of killed loads dropped', dropped;
    -- Last: until this is committed nobody else can add a partition, and an event of a month that has none waits.
    return query select 'event partitions made', nearline_data._ensure_event_partitions(now() - interval '2 months', now() + interval '3 months')::bigint;
end
$$;
comment on function nearline_data._keep_house is 'Retention: partitions ahead, popularity, old batches (1 day), what was measured for explanations (1 day), rejected rows (30 days), exposures (180 days), and what killed loads left. Safe at any time.';
