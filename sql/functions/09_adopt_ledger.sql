create or replace function nearline_data._beyond_this_server()
returns text
language sql stable
-- A dump keeps the transaction ids of the server it was taken from; to another server they lie in the future, and what is
-- recorded there would be below all cursors for a long time. The cursors are few, and of the others one end of an index is read.
return (
    select b.what || ' at transaction ' || b.id || ', while this server is at ' || pg_snapshot_xmax(pg_current_snapshot())
    from (
        (
            select 'a cursor' as what, pg_snapshot_xmax(c.position) as id
            from nearline_data.cursor c
            where pg_snapshot_xmax(c.position) > pg_snapshot_xmax(pg_current_snapshot())
            limit 1
        )
        union all
        (
            select 'an event', e.transaction_id
            from nearline_data.event e
            where e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
            limit 1
        )
        union all
        (
            select 'an erasure', u.transaction_id
            from nearline_data.erased_user u
            where u.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
            limit 1
        )
    ) b
    limit 1
);
comment on function nearline_data._beyond_this_server is 'What says that the ledger came from another server, as by a restore; null where nothing does.';

create or replace function nearline_data._adopt_ledger()
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    adopted bigint;
begin
    if nearline_data._beyond_this_server() is null then
        return 0;
    end if;
    -- Cursors before vectors, as whoever writes vectors takes them.
    perform from nearline_data.cursor c order by c.model_version, c.shard for update;
    update nearline_data.event e
    set transaction_id = pg_current_xact_id()
      -- What is beyond these limits is from before there were any.
      , value = case when abs(e.value) <= 1e15 then e.value end
      , item_id = nullif(e.item_id, '')
      , text = case when e.item_id = '' then coalesce(e.text, '') else e.text end
    where e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot());
    get diagnostics adopted = row_count;
    -- What was read there says nothing here: the cursors and vectors know nothing until they are computed anew.
    update nearline_data.user_interest u set position = '3:3:';
    update nearline_data.cursor c set position = '3:3:';
    delete from nearline_data.erased_user;
    return adopted;
end
$$;
comment on function nearline_data._adopt_ledger is 'After a restore into another server: makes the events transactions of this one, and has all that was read be read again; returns how many events. Does nothing otherwise.';
