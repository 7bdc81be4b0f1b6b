create or replace function nearline_data._announce_events()
returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
-- A refresh that waits holds this lock, and is told. One that works is not: it looks again before it waits, and can
-- only begin to wait when no writer is under way. So a busy ledger sends next to nothing; every notification would
-- make the commits of all writers take turns (PostgreSQL, src/backend/commands/async.c).
begin
    if not pg_try_advisory_xact_lock_shared(hashtext('nearline waits'), 0) then
        perform pg_notify('nearline_event', '');
    end if;
    return null;
end
$$;
comment on function nearline_data._announce_events is 'Wakes refresh_interests when it waits for events.';

create or replace trigger event_announces_itself
after insert on nearline_data.event
for each statement execute function nearline_data._announce_events();
