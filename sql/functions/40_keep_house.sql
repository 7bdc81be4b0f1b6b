create or replace function nearline_data._keep_house()
returns table (what text, how_many bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped bigint := 0;
begin
    return query select 'popular items counted', nearline_data._refresh_popularity();
    return query select 'topics counted anew', nearline_data._refresh_topics();
    delete from nearline_data.refresh_batch b where b.finished_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'refresh batches forgotten', dropped;
    -- A refresh of a version that is live no more may have been at them: nobody reads erasures for that version.
    delete from nearline_data.user_interest i
    using nearline_data.erased_user u
    where i.user_id = u.user_id and not exists (select from nearline_data.event e where e.user_id = u.user_id);
    -- A version that is kept for a rollback reads them when it goes live.
    delete from nearline_data.erased_user u
    where u.erased_at < now() - interval '1 day'
      and not exists (select from nearline_data.cursor c where not pg_visible_in_snapshot(u.transaction_id, c.position));
    get diagnostics dropped = row_count;
    return query select 'erasures forgotten', dropped;
    delete from nearline_data.waiting_event w where not exists (select from nearline_data.event e where e.user_id = w.user_id);
    get diagnostics dropped = row_count;
    return query select 'waiting people forgotten', dropped;
    delete from nearline_data.interest_without i where i.measured_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'measurements forgotten', dropped;
    delete from nearline_data.explanation_wanted w where w.asked_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'explanations given up', dropped;
    delete from nearline_data.rejected_row r where r.rejected_at < now() - interval '30 days';
    get diagnostics dropped = row_count;
    return query select 'rejected rows forgotten', dropped;
    delete from nearline_data.exposure x where x.shown_at < now() - interval '180 days';
    get diagnostics dropped = row_count;
    return query select 'exposures forgotten', dropped;
    if exists (select from nearline_data.erased_user) then
        -- Of an event that was taken back, or encoded by a refresh that was at a person just when they were erased.
        delete from nearline_data.query_embedding q
        where not exists (select from nearline_data.event e where e.text is not null and left(e.text, 500) = q.query);
        get diagnostics dropped = row_count;
        return query select 'typed texts forgotten', dropped;
    end if;
    -- Last: until this is committed nobody else can add a partition, and an event of a month that has none waits.
    return query select 'event partitions made', nearline_data._ensure_event_partitions(now() - interval '2 months', now() + interval '3 months')::bigint;
end
$$;
comment on function nearline_data._keep_house is 'Retention: partitions ahead, popularity, old batches (1 day), what was measured for explanations (1 day), rejected rows (30 days), exposures (180 days). Safe at any time.';
