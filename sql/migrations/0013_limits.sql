-- What an event may weigh, however it comes: nearline.record_event says it with the fix, this holds for COPY too.
set local role nearline_owner;

-- Not asked of the events that are there: it would read them all while everybody waits.
alter table nearline_data.event
    add constraint event_is_no_document check (
        length(event_id) <= 500 and length(user_id) <= 500 and length(item_id) <= 500 and length(text) <= 1000000
    ) not valid;
comment on constraint event_is_no_document on nearline_data.event is
'Ids are index keys, and a search or comment is read in its first few hundred characters. Events from before it was made may be longer.';
