create or replace function nearline_data._promote(to_version integer, by_whom text, because text)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
-- One transaction: a reader sees the version before or the version after, never a mixture.
declare
    previous integer;
begin
    perform pg_advisory_xact_lock(hashtext('nearline promotion'));
    select l.model_version into previous from nearline_data.live_version l;
    if previous is not distinct from to_version then
        return previous;  -- a retry
    end if;
    if not exists (select from nearline_data.cursor c where c.model_version = to_version) then
        raise exception 'model version % has no interest vectors yet', to_version
            using errcode = '55000', hint = 'Run rebuild_interests for it first.';
    end if;
    insert into nearline_data.live_version (model_version) values (to_version)
    on conflict (singleton) do update set model_version = excluded.model_version, live_since = now();
    update nearline_data.model_version m set published_at = coalesce(m.published_at, now()) where m.model_version = to_version;
    insert into nearline_data.promotion (model_version, previous_version, promoted_by, reason, metrics)
    select m.model_version, previous, by_whom, because, m.metrics
    from nearline_data.model_version m
    where m.model_version = to_version;
    return previous;
end
$$;
comment on function nearline_data._promote is 'Makes a version live and writes the ledger; returns the version before. Doing it twice changes nothing.';
