create or replace function nearline_data._announce_events()
returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
-- A refresh that waits says so by a lock, and is told. One that works is not: it looks again before it waits, and can
-- only begin to wait when no writer is under way. So a busy ledger sends next to nothing; every notification would
-- make the commits of all writers take turns (PostgreSQL, src/backend/commands/async.c).
-- A writer first says that it writes, then looks whether anybody waits; who wants to wait says so first, then looks
-- whether anybody writes. So whichever comes first, one of the two sees the other, however many there are of each.
begin
    perform pg_advisory_xact_lock_shared(hashtext('nearline writes'), 0);
    -- To look is to take the lock that a waiting one holds, and to give it back before anything can interrupt this. Two
    -- writers who look at once would take each other for one that waits: hence twice.
    if not (
        case
            when pg_try_advisory_lock(hashtext('nearline waits'), 0) then pg_advisory_unlock(hashtext('nearline waits'), 0)
            when pg_try_advisory_lock(hashtext('nearline waits'), 0) then pg_advisory_unlock(hashtext('nearline waits'), 0)
            else false
        end
    ) then
        perform pg_notify('nearline_event', '');
    end if;
    return null;
end
$$;
comment on function nearline_data._announce_events is 'Wakes refresh_interests when it waits for events.';

select nearline_data._ensure_trigger(
    'TRIGGER event_announces_itself AFTER INSERT ON nearline_data.event FOR EACH STATEMENT EXECUTE FUNCTION nearline_data._announce_events()'
  , 'Wakes the nearline job.'
);
