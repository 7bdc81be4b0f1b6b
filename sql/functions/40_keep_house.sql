create or replace function nearline_data._keep_house(keep_versions integer default 3)
returns table (what text, how_many bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    old_version integer;
    dropped bigint := 0;
begin
    return query select 'event partitions made', nearline_data._ensure_event_partitions(now() - interval '2 months', now() + interval '3 months')::bigint;
    return query select 'popular items counted', nearline_data._refresh_popularity();
    for old_version in
        -- The newest published ones stay for a rollback; one that is being built is newer than all of them.
        select m.model_version
        from nearline_data.model_version m
        where m.published_at is not null
          and to_regclass('nearline_data.item_embedding_v' || m.model_version) is not null
          and m.model_version not in (select l.model_version from nearline_data.live_version l)
        order by m.published_at desc
        offset greatest(keep_versions - 1, 0)
    loop
        perform nearline_data._drop_version_partitions(old_version);
        dropped := dropped + 1;
    end loop;
    return query select 'model versions dropped', dropped;
    delete from nearline_data.refresh_batch b where b.finished_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'refresh batches forgotten', dropped;
    delete from nearline_data.erased_user u where u.erased_at < now() - interval '1 day';
    get diagnostics dropped = row_count;
    return query select 'erasures forgotten', dropped;
    delete from nearline_data.waiting_event w where not exists (select from nearline_data.event e where e.user_id = w.user_id);
    get diagnostics dropped = row_count;
    return query select 'waiting people forgotten', dropped;
    delete from nearline_data.rejected_row r where r.rejected_at < now() - interval '30 days';
    get diagnostics dropped = row_count;
    return query select 'rejected rows forgotten', dropped;
    delete from nearline_data.exposure x where x.shown_at < now() - interval '180 days';
    get diagnostics dropped = row_count;
    return query select 'exposures forgotten', dropped;
end
$$;
comment on function nearline_data._keep_house is 'Retention: partitions ahead, popularity, old model versions (keep_versions stay), old batches (1 day), rejected rows (30 days), exposures (180 days). Safe at any time.';
