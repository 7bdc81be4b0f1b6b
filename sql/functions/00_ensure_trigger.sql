create or replace function nearline_data._ensure_trigger(
    wanted text
  , about text
)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    made constant text[] := regexp_match(wanted, $re$TRIGGER (\w+) .* ON (\S+)$re$);
begin
    -- To make a trigger again waits for all who write into its table, and has all who come later wait until the deploy ends.
    if not exists (
        select from pg_trigger t where not t.tgisinternal and pg_get_triggerdef(t.oid) = 'CREATE ' || wanted
    ) then
        -- A constraint trigger that is to change is first dropped by a migration: Postgres replaces none.
        execute case when wanted like 'CONSTRAINT %' then 'create ' else 'create or replace ' end || wanted;
    end if;
    if not exists (
        select from pg_trigger t
        where t.tgrelid = made[2]::regclass and t.tgname = made[1] and obj_description(t.oid, 'pg_trigger') = about
    ) then
        execute format('comment on trigger %I on %s is %L', made[1], made[2]::regclass, about);
    end if;
end
$$;
comment on function nearline_data._ensure_trigger is 'For a deploy: makes a trigger that is missing or different. wanted: as pg_get_triggerdef says it, without CREATE; about: its comment.';
