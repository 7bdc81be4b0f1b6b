-- Blocks of refresh_interests and rebuild_interests: interest vectors as a pure function of the ledger.

-- try_lock --
-- One refresh at a time for a version and shard; the lock goes with the session, however it ends.
select pg_try_advisory_lock(hashtext('nearline refresh'), %(model_version)s * 1024 + %(shard)s);

-- live --
select l.model_version from nearline_data.live_version l;

-- cursor --
select c.position
from nearline_data.cursor c
where c.model_version = %(model_version)s and c.shard = %(shard)s;

-- watermark --
-- Everything below is committed or rolled back for good: no transaction can still bring an event below it.
select pg_snapshot_xmin(pg_current_snapshot()) as position;

-- changed --
-- The oldest transactions first. A transaction is never split, so a batch may be larger than asked for.
select e.user_id, e.transaction_id, extract(epoch from e.recorded_at)::double precision as recorded_at
from nearline_data.event e
where e.transaction_id >= %(from_position)s
  and e.transaction_id < %(until_position)s
order by e.transaction_id
fetch first %(max_events)s rows with ties;

-- histories --
-- The newest events of each person up to a position, with the vectors of their items and queries; oldest first.
select u.user_id, h.kind, extract(epoch from h.occurred_at)::double precision as occurred_at, h.vector, h.query
from unnest(%(users)s::text[]) as u (user_id)
cross join lateral (
    select e.event_id, e.kind, e.occurred_at
         , case when e.item_id is null then left(e.text, 500) end as query
         , case when e.item_id is not null then (
               select v.vector from nearline_data.item_embedding v
               where v.model_version = %(model_version)s and v.item_id = e.item_id
           ) else (
               select q.vector from nearline_data.query_embedding q
               where q.model_version = %(model_version)s and q.query = left(e.text, 500)
           ) end as vector
    from nearline_data.event e
    where e.user_id = u.user_id
      and e.transaction_id < %(until_position)s
    order by e.occurred_at desc, e.event_id desc
    limit %(history_length)s
) h
order by u.user_id, h.occurred_at, h.event_id;

-- save_query --
insert into nearline_data.query_embedding (model_version, query, vector)
values (%(model_version)s, %(query)s, %(vector)s)
on conflict (model_version, query) do nothing;

-- save_interest --
-- Never replaces a vector that is true for a later position.
insert into nearline_data.user_interest as old (model_version, user_id, vector, position, event_count, newest_event_at)
values (%(model_version)s, %(user_id)s, %(vector)s, %(position)s, %(event_count)s, to_timestamp(%(newest_event_at)s))
on conflict (model_version, user_id) do update
set vector = excluded.vector
  , position = excluded.position
  , event_count = excluded.event_count
  , newest_event_at = excluded.newest_event_at
  , updated_at = clock_timestamp()
where old.position <= excluded.position;

-- move_cursor --
update nearline_data.cursor
set position = %(position)s, moved_at = clock_timestamp()
where model_version = %(model_version)s and shard = %(shard)s and position <= %(position)s;

-- log_batch --
insert into nearline_data.refresh_batch (model_version, event_count, user_count, lag_ms)
values (
    %(model_version)s
  , %(event_count)s
  , %(user_count)s
  , array(
        select ((extract(epoch from clock_timestamp()) - r.at) * 1000)::real
        from unnest(%(recorded_at)s::double precision[]) as r (at)
    )
);

-- item_vectors --
-- A sample is enough for 128 x 128 moments, and a catalogue of millions does not fit into a job.
select v.vector
from nearline_data.item_embedding v
where v.model_version = %(model_version)s
limit 100000;

-- save_moments --
update nearline_data.model_version
set score_covariance = %(covariance)s, fallback_scale = %(fallback_scale)s
where model_version = %(model_version)s;

-- save_newcomer --
update nearline_data.model_version
set newcomer_interest = %(vector)s
where model_version = %(model_version)s;

-- moments --
select m.score_covariance
from nearline_data.model_version m
where m.model_version = %(model_version)s;

-- users --
select distinct e.user_id from nearline_data.event e where e.transaction_id < %(until_position)s order by 1;

-- start_cursor --
insert into nearline_data.cursor (model_version, shard, position)
values (%(model_version)s, 0, %(position)s)
on conflict (model_version, shard) do update set position = excluded.position, moved_at = now();
