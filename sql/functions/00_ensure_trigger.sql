create or replace function nearline_data._ensure_trigger(wanted text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
-- To make a trigger again waits for all who write into its table, and has all who come later wait until the deploy ends.
begin
    if not exists (
        select from pg_trigger t where not t.tgisinternal and pg_get_triggerdef(t.oid) = 'CREATE ' || wanted
    ) then
        -- A constraint trigger that is to change is first dropped by a migration: Postgres replaces none.
        execute case when wanted like 'CONSTRAINT %' then 'create ' else 'create or replace ' end || wanted;
    end if;
end
$$;
comment on function nearline_data._ensure_trigger is 'For a deploy: makes a trigger that is missing or different. wanted: as pg_get_triggerdef says it, without CREATE.';
