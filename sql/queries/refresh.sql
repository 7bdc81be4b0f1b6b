-- Blocks of refresh_interests, rebuild_interests and publish: interest vectors as a pure function of the ledger.

-- try_lock --
-- One run drains a version and shard at a time; the lock goes with the session, however it ends.
select pg_try_advisory_lock(hashtext('nearline refresh'), %(model_version)s * 1024 + %(shard)s);

-- try_lock_next --
-- Held by a run that is ready and waits; the one that drains sees that, and ends.
select pg_try_advisory_lock(hashtext('nearline refresh next'), %(model_version)s * 1024 + %(shard)s);

-- unlock_next --
select pg_advisory_unlock(hashtext('nearline refresh next'), %(model_version)s * 1024 + %(shard)s);

-- live --
select l.model_version from nearline_data.live_version l;

-- beyond_this_server --
select nearline_data._beyond_this_server();

-- shard_count --
select c.shard_count from nearline_data.cursor c where c.model_version = %(model_version)s limit 1;

-- set_shards --
select nearline_data._set_shards(%(model_version)s, %(shard_count)s);

-- cursor --
-- Locked until the batch is written: nobody else writes vectors of these people meanwhile.
select c.position::text
from nearline_data.cursor c
where c.model_version = %(model_version)s and c.shard = %(shard)s and c.shard_count = %(shard_count)s
for update;

-- look_at_cursor --
select c.position::text
from nearline_data.cursor c
where c.model_version = %(model_version)s and c.shard = %(shard)s and c.shard_count = %(shard_count)s;

-- has_cursor --
select 1 from nearline_data.cursor c where c.model_version = %(model_version)s limit 1;

-- lock_other_cursors --
-- No vector of another version may overtake those that are about to go live.
select c.position::text
from nearline_data.cursor c
where c.model_version <> %(model_version)s
order by c.model_version, c.shard
for update;

-- adopt_ledger --
select nearline_data._adopt_ledger();

-- snapshot --
select pg_current_snapshot()::text
     , (
           select coalesce(sum(h.inhrelid::bigint), 0)::text
           from pg_inherits h
           where h.inhparent = 'nearline_data.event'::regclass
       );

-- is_told --
-- A transaction is visible a moment before other sessions are told of the partition that it attached, and until then their
-- statements are planned without it. Until it has told them it keeps its locks on both; one that is still open attached
-- what nobody sees yet.
select not exists (
    select
    from pg_locks p
    join pg_locks c on c.virtualtransaction = p.virtualtransaction and c.database = p.database
    join pg_inherits h on h.inhrelid = c.relation and h.inhparent = p.relation
    where p.relation = 'nearline_data.event'::regclass
      and p.database = (select d.oid from pg_database d where d.datname = current_database())
      and p.mode = 'ShareUpdateExclusiveLock'
      and p.granted
      and c.mode = 'AccessExclusiveLock'
      and c.granted
);

-- hear_of_partitions --
-- A transaction hears what others told when it takes a lock that it has not yet; nobody has to wait for this one.
lock table only nearline_data.event in row share mode;

-- changed --
-- What was committed between two positions, the oldest transactions first. First those that were open then, each looked
-- up by its number. ``now`` was taken by a statement before this one: a statement is planned before it takes its snapshot,
-- and would miss a partition that is attached in between.
with event as (
    (
        select e.user_id, e.transaction_id, e.recorded_at
        from nearline_data.event e
        where e.transaction_id = any (
                  array(
                      select x.id
                      from pg_snapshot_xip(%(position)s::pg_snapshot) as x (id)
                      where pg_visible_in_snapshot(x.id, %(now)s::pg_snapshot)
                  )
              )
          and nearline_data._shard_of(e.user_id, %(shard_count)s) = %(shard)s
        order by e.transaction_id
        fetch first %(max_events)s rows only
    )
    union all
    (
        select e.user_id, e.transaction_id, e.recorded_at
        from nearline_data.event e
        where e.transaction_id >= pg_snapshot_xmax(%(position)s::pg_snapshot)
          and e.transaction_id < pg_snapshot_xmax(%(now)s::pg_snapshot)
          and pg_visible_in_snapshot(e.transaction_id, %(now)s::pg_snapshot)
          and nearline_data._shard_of(e.user_id, %(shard_count)s) = %(shard)s
        order by e.transaction_id
        fetch first %(max_events)s rows only
    )
)
select e.user_id, e.transaction_id::text, extract(epoch from e.recorded_at)::double precision as recorded_at
from event e
union all
select u.user_id, u.transaction_id::text, null
from nearline_data.erased_user u
where u.transaction_id >= pg_snapshot_xmin(%(position)s::pg_snapshot)  -- by the index: older ones wait for kept versions
  and not pg_visible_in_snapshot(u.transaction_id, %(position)s::pg_snapshot)
  and pg_visible_in_snapshot(u.transaction_id, %(now)s::pg_snapshot)
  and nearline_data._shard_of(u.user_id, %(shard_count)s) = %(shard)s;

-- people_of_transaction --
-- Of a transaction that is read person by person: those whose vector does not know it yet.
select distinct e.user_id
from nearline_data.event e
where e.transaction_id = %(transaction)s::text::xid8
  and nearline_data._shard_of(e.user_id, %(shard_count)s) = %(shard)s
  and not exists (
      select from nearline_data.user_interest u
      where u.model_version = %(model_version)s
        and u.user_id = e.user_id
        and pg_visible_in_snapshot(e.transaction_id, u.position)
  )
order by e.user_id;

-- events_of_transaction --
select count(*), extract(epoch from min(e.recorded_at))::double precision
from nearline_data.event e
where e.transaction_id = %(transaction)s::text::xid8
  and nearline_data._shard_of(e.user_id, %(shard_count)s) = %(shard)s;

-- stored_positions --
select u.user_id, u.position::text
from unnest(%(users)s::text[]) as n (user_id)
cross join lateral (
    select v.user_id, v.position
    from nearline_data.user_interest v
    where v.model_version = %(model_version)s and v.user_id = n.user_id
    offset 0  -- a fence: a look into the index for each person; processes to share them take longer to start
) u;

-- plan_histories --
-- For this transaction: a person's newest events are read backwards along the index, partition by partition, until there
-- are enough. Guessing from an average person, the planner would rather read and sort all that anybody ever did.
select set_config('enable_sort', 'off', true);

-- histories --
-- The newest events of each person in a position, oldest first: when the newest was, codes of kinds as bytes of int2, and
-- names of items and texts, which have no place where nobody typed anything.
select u.user_id, a.newest_at, a.kinds, a.items, case when a.has_texts then a.texts end as texts
from unnest(%(users)s::text[], %(positions)s::pg_snapshot[]) as u (user_id, position)
cross join lateral (
    -- Aggregates take the rows of a sorted subquery in its order (PostgreSQL, functions-aggregate.html).
    select date_part('epoch', max(h.occurred_at)) as newest_at
         , string_agg(int2send(array_position(%(kinds)s::text[], h.kind)::smallint), ''::bytea) as kinds
         , array_agg(h.item_id) as items
         , array_agg(h.text) as texts
         , bool_or(h.text is not null) as has_texts
    from (
        select e.occurred_at, e.kind, e.item_id, e.text
        from (
            select w.event_id, w.occurred_at, w.item_id, w.kind, case when w.text ~ '\S' then left(w.text, 500) end as text
            from nearline_data.event w
            where w.user_id = u.user_id
              and pg_visible_in_snapshot(w.transaction_id, u.position)
            order by w.occurred_at desc, w.event_id desc
            limit %(history_length)s
        ) e
        order by e.occurred_at, e.event_id
    ) h
) a
where a.newest_at is not null;

-- items_by_name --
select i.item_id, i.vector
from nearline_data.item_embedding i
where i.model_version = %(model_version)s and i.item_id = any (%(names)s);

-- texts_by_name --
select q.query, q.vector
from nearline_data.query_embedding q
where q.model_version = %(model_version)s and q.query = any (%(names)s);

-- kinds --
select k.kind, k.weight from nearline_data.event_kind k order by k.kind;

-- save_text --
insert into nearline_data.query_embedding (model_version, query, vector)
values (%(model_version)s, %(text)s, %(vector)s)
on conflict (model_version, query) do nothing;

-- set_aside --
insert into nearline_data.rejected_row (subject, source, reason, content)
values ('event', 'refresh_interests', %(reason)s, %(content)s);

-- save_interests --
insert into nearline_data.user_interest as old (model_version, user_id, vector, position, event_count, newest_event_at)
select %(model_version)s, n.user_id, n.vector, n.position::pg_snapshot, n.event_count, to_timestamp(n.newest_event_at)
from unnest(
    %(users)s::text[], %(vectors)b::vector[], %(positions)s::text[], %(event_counts)s::integer[]
  , %(newest_event_at)s::double precision[]
) as n (user_id, vector, position, event_count, newest_event_at)
on conflict (model_version, user_id) do update
set vector = excluded.vector
  , position = excluded.position
  , event_count = excluded.event_count
  , newest_event_at = excluded.newest_event_at
  , updated_at = clock_timestamp();

-- forget_interests --
-- Nothing is left of these people that the model could read: they were erased, or wait for all of their items.
delete from nearline_data.user_interest u
where u.model_version = %(model_version)s and u.user_id = any (%(users)s);

-- forget_waiting --
-- They were erased; a refresh that was at them may have written these after that.
delete from nearline_data.waiting_event w
where w.model_version = %(model_version)s and w.user_id = any (%(users)s);

-- save_waiting --
insert into nearline_data.waiting_event (model_version, item_id, user_id)
select %(model_version)s, w.item_id, w.user_id
from unnest(%(items)s::text[], %(users)s::text[]) as w (item_id, user_id)
on conflict do nothing;

-- take_arrived --
-- People whose unknown items have a vector by now: of all items, or of those that came a moment ago.
delete from nearline_data.waiting_event w
using nearline_data.item c, nearline_data.item_embedding i
where c.active_since > case when %(look_at_all)s then '-infinity' else now() - interval '10 minutes' end
  and w.model_version = %(model_version)s
  and w.item_id = c.item_id
  and i.model_version = %(model_version)s
  and i.item_id = c.item_id
  and nearline_data._shard_of(w.user_id, %(shard_count)s) = %(shard)s
returning w.user_id;

-- new_items --
-- Active items that came, or were switched on, after the model, or a moment ago, and have no vector yet. A load may have
-- begun long before it was committed.
select i.item_id, i.kind, i.title, i.description, i.attributes
from nearline_data.item i
where i.active_since > (
          select m.created_at - interval '1 day' from nearline_data.model_version m where m.model_version = %(model_version)s
      )
  and i.active_since > case when %(look_at_all)s then '-infinity' else now() - interval '10 minutes' end
  and i.is_active
  and not exists (
      select from nearline_data.item_embedding v where v.model_version = %(model_version)s and v.item_id = i.item_id
  )
order by i.active_since, i.item_id
limit %(max_items)s;

-- save_item --
insert into nearline_data.item_embedding (model_version, item_id, kind, vector)
values (%(model_version)s, %(item_id)s, %(kind)s, %(vector)s)
on conflict do nothing;

-- move_cursor --
update nearline_data.cursor
set position = %(position)s::pg_snapshot, moved_at = clock_timestamp()
where model_version = %(model_version)s and shard = %(shard)s and shard_count = %(shard_count)s;

-- log_batch --
-- In steps of 4 percent, so that a batch of thousands keeps tens of numbers. Where fewer times than events are given,
-- they stand for all.
with written as materialized (
    select clock_timestamp() as at
), lag as (
    select ((extract(epoch from w.at) - r.at) * 1000)::double precision as ms
    from written w
    cross join unnest(%(recorded_at)s::double precision[]) as r (at)
), step as (
    select exp(round(ln(greatest(l.ms, 1)) / 0.04) * 0.04)::real as ms
         , count(*) * %(event_count)s::bigint / cardinality(%(recorded_at)s::double precision[]) as events
    from lag l
    group by 1
)
insert into nearline_data.refresh_batch (
    model_version, shard, event_count, user_count, seconds, lag_ms, lag_events, lag_max_ms
)
select %(model_version)s
     , %(shard)s
     , %(event_count)s
     , %(user_count)s
     , %(seconds)s
     , array_agg(s.ms order by s.ms)
     , array_agg(s.events::integer order by s.ms)
     , (select max(l.ms) from lag l)
from step s;

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
select distinct e.user_id
from nearline_data.event e
where pg_visible_in_snapshot(e.transaction_id, %(position)s::pg_snapshot)
  and nearline_data._shard_of(e.user_id, %(shard_count)s) = %(shard)s
order by 1;

-- users_since --
select distinct e.user_id
from nearline_data.event e
where e.occurred_at >= %(since)s
  and pg_visible_in_snapshot(e.transaction_id, %(position)s::pg_snapshot)
  and nearline_data._shard_of(e.user_id, %(shard_count)s) = %(shard)s
order by 1;

-- users_of_shard --
select distinct u.user_id
from unnest(%(users)s::text[]) as u (user_id)
where nearline_data._shard_of(u.user_id, %(shard_count)s) = %(shard)s
order by 1;

-- start_cursor --
with gone as (
    delete from nearline_data.cursor c where c.model_version = %(model_version)s and c.shard > 0
)
insert into nearline_data.cursor (model_version, shard, shard_count, position)
values (%(model_version)s, 0, 1, %(position)s::pg_snapshot)
on conflict (model_version, shard) do update
set position = excluded.position, shard_count = 1, moved_at = now();

-- listen --
listen nearline_event;

-- try_wait --
-- The refreshes of all shards may wait at once, and while one does, a writer says that it committed. One that has not
-- committed yet, or is just now looking whether anybody waits, keeps us from it: see nearline_data._announce_events.
select case
           when not pg_try_advisory_lock_shared(hashtext('nearline waits'), 0) then false
           when pg_try_advisory_lock(hashtext('nearline writes'), 0) then pg_advisory_unlock(hashtext('nearline writes'), 0)
           else not pg_advisory_unlock_shared(hashtext('nearline waits'), 0)
       end;

-- stop_waiting --
select pg_advisory_unlock_shared(hashtext('nearline waits'), 0);

-- run_summary --
-- Of one run: lag of its events, and what is unread in its shard now.
with step as (
    select l.ms, sum(coalesce(l.events, 1)) as events, max(coalesce(b.lag_max_ms, l.ms)) as most
    from nearline_data.refresh_batch b
    cross join unnest(b.lag_ms, b.lag_events) as l (ms, events)
    where b.finished_at >= %(since)s
      and b.shard = %(shard)s
    group by l.ms
), summed as (
    select s.ms, s.most, sum(s.events) over (order by s.ms) / sum(s.events) over () as share
    from step s
)
select least(min(s.ms) filter (where s.share >= 0.5), max(s.most))
     , least(min(s.ms) filter (where s.share >= 0.95), max(s.most))
     , max(s.most)
     , coalesce((select f.backlog_events from nearline.freshness f where f.shard = %(shard)s), 0)
from summed s;
