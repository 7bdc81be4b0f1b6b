create or replace function nearline_data._adopt_ledger()
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
-- A dump keeps the transaction ids of the server it was taken from; to another server they lie in the future, and no
-- snapshot would have them for a long time. A look at one end of an index where there is nothing to do.
declare
    adopted bigint;
begin
    if not exists (
        select from nearline_data.event e where e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot()) limit 1
    ) then
        return 0;
    end if;
    update nearline_data.event e
    set transaction_id = pg_current_xact_id()
    where e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot());
    get diagnostics adopted = row_count;
    delete from nearline_data.erased_user;
    -- What was read there says nothing here: the cursors and vectors know nothing until they are computed anew.
    update nearline_data.user_interest u set position = '3:3:';
    update nearline_data.cursor c set position = '3:3:';
    return adopted;
end
$$;
comment on function nearline_data._adopt_ledger is 'After a restore into another server: makes the events transactions of this one; returns how many. Does nothing otherwise.';
