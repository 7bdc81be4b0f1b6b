-- Two ids are one index key in several tables, and Postgres refuses a key of more than 2704 bytes. 500 characters may be 2000
-- bytes: such an event failed in the nearline job, and with it every batch that it was read in.
set local role nearline_owner;

-- Not asked of what is there: it would read it all while everybody waits.
alter table nearline_data.event
    add constraint event_ids_are_short check (
        octet_length(event_id) <= 1000 and octet_length(user_id) <= 1000 and octet_length(item_id) <= 1000
    ) not valid;
comment on constraint event_ids_are_short on nearline_data.event is
'By COPY too. nearline.record_event says it with the fix.';
alter table nearline_data.item add constraint item_id_is_short check (octet_length(item_id) <= 1000) not valid;
comment on constraint item_id_is_short on nearline_data.item is 'Loads of files say it as a rejected row.';

-- An item that was not offered when a version was loaded has no vector in it. It gets one when it is offered again, as one does
-- that came after the version.
alter table nearline_data.item add column active_since timestamptz not null default now();
comment on column nearline_data.item.active_since is 'When it came, or was last switched on again.';
update nearline_data.item set active_since = created_at;
create index item_active_since_idx on nearline_data.item (active_since);
comment on index nearline_data.item_active_since_idx is 'Items that have no vector yet.';

-- It asks for more now; sql/functions has the new one.
drop function if exists nearline_data._drop_archived_partition(text, bigint);
