create or replace view nearline.freshness as
with shard as (
    select c.model_version, c.shard, c.shard_count, c.position, c.moved_at
    from nearline_data.live_version l
    join nearline_data.cursor c on c.model_version = l.model_version
), recent_batch as (
    -- What a version reads before it goes live was in the vectors that were served then: nobody waited for it.
    select b.shard, b.event_count, b.user_count, b.lag_ms, b.lag_events, b.lag_max_ms
         , b.finished_at, b.finished_at > now() - interval '1 minute' as is_now
    from nearline_data.refresh_batch b
    where b.finished_at > now() - interval '1 hour'
      and not exists (
          select from nearline_data.live_version l
          where l.model_version = b.model_version and l.live_since > b.finished_at
      )
), step as (
    select b.shard
         , l.ms
         , sum(coalesce(l.events, 1)) as events
         , sum(coalesce(l.events, 1)) filter (where b.is_now) as events_now
    from recent_batch b
    cross join unnest(b.lag_ms, b.lag_events) as l (ms, events)
    group by b.shard, l.ms
), work as (
    select b.shard
         , sum(b.event_count) as events
         , sum(b.event_count) filter (where b.is_now) as events_now
         , sum(b.user_count) filter (where b.is_now) as users_now
         , max(coalesce(b.lag_max_ms, (select max(l.ms) from unnest(b.lag_ms) as l (ms)))) as longest
         , max(b.finished_at) as newest_at
    from recent_batch b
    group by b.shard
), summed as (
    select s.shard
         , least(s.ms, w.longest) as ms  -- a step may be beyond it
         , sum(s.events) over up_to_here / sum(s.events) over of_all as share
         , sum(s.events_now) over up_to_here / sum(s.events_now) over of_all as share_now
    from step s
    join work w on w.shard = s.shard
    window of_all as (partition by s.shard), up_to_here as (of_all order by s.ms)
), event_lag as (
    select s.shard
         , min(s.ms) filter (where s.share >= 0.5) as p50
         , min(s.ms) filter (where s.share >= 0.95) as p95
         , min(s.ms) filter (where s.share_now >= 0.95) as p95_now
    from summed s
    group by s.shard
), backlog as (
    -- In the order of the index, and no further than that: whatever else the planner may think of, it reads the ledger.
    select s.shard, u.events, u.oldest_at
    from shard s
    cross join lateral (
        select count(*) as events, min(e.recorded_at) as oldest_at
        from (
            select o.recorded_at, o.user_id
            from pg_snapshot_xip(s.position) as x (id)
            cross join lateral (
                select n.recorded_at, n.user_id
                from nearline_data.event n
                where n.transaction_id >= x.id and n.transaction_id <= x.id
                order by n.transaction_id
                limit 100000
            ) o
            union all
            (
                select n.recorded_at, n.user_id
                from nearline_data.event n
                where n.transaction_id >= pg_snapshot_xmax(s.position)
                order by n.transaction_id
                limit 100000
            )
            limit 100000
        ) e
        where nearline_data._shard_of(e.user_id, s.shard_count) = s.shard
    ) u
)
select s.model_version
     , s.shard
     , s.shard_count
     , round(g.p50::numeric, 1) as lag_p50_ms
     , round(g.p95::numeric, 1) as lag_p95_ms
     , round(w.longest::numeric, 1) as lag_max_ms
     , round(g.p95_now::numeric, 1) as lag_p95_now_ms
     , coalesce(w.events, 0) as events_last_hour
     , round(coalesce(w.events_now, 0) / 60.0, 2) as events_per_second
     , round(coalesce(w.users_now, 0) / 60.0, 2) as users_per_second
     , coalesce(b.events, 0) as backlog_events
     , now() - b.oldest_at as backlog_age
     , s.moved_at as cursor_moved_at
     , w.newest_at as newest_vector_at
     , (select max(e.occurred_at) from nearline_data.event e) as newest_event_at
     , (select count(*) from nearline_data.rejected_row r where r.rejected_at > now() - interval '1 hour') as rejected_last_hour
     , (select count(*) from nearline_data.waiting_event) as waiting_events
from (select true) as always
left join shard s on true
left join event_lag g on g.shard = s.shard
left join work w on w.shard = s.shard
left join backlog b on b.shard = s.shard;
comment on view nearline.freshness is 'How long an event takes into the vectors, and what waits: one row for each shard of the people (NEARLINE_SHARDS), one in all by default.';
comment on column nearline.freshness.model_version is 'The live version; null before the first is published.';
comment on column nearline.freshness.shard is 'Which shard of the people, from 0.';
comment on column nearline.freshness.shard_count is 'Of how many.';
comment on column nearline.freshness.lag_p50_ms is 'Milliseconds from the record of an event to the write of the vector, median of the last hour; up to 2 percent off.';
comment on column nearline.freshness.lag_p95_ms is 'The same, 95th percentile; up to 2 percent off.';
comment on column nearline.freshness.lag_max_ms is 'The same, longest; exact.';
comment on column nearline.freshness.lag_p95_now_ms is 'The 95th percentile of the last minute; up to 2 percent off.';
comment on column nearline.freshness.events_last_hour is 'Events that went into vectors in the last hour.';
comment on column nearline.freshness.events_per_second is 'The same a second, over the last minute.';
comment on column nearline.freshness.users_per_second is 'Vectors written a second, over the last minute.';
comment on column nearline.freshness.backlog_events is 'Committed events that are not yet in a vector. The count stops after 100,000 events of all shards behind the cursor: it then means so many or more.';
comment on column nearline.freshness.backlog_age is 'How long the oldest of those counted has waited; null where none does.';
comment on column nearline.freshness.cursor_moved_at is 'When refresh_interests last made a step.';
comment on column nearline.freshness.newest_vector_at is 'When a vector was last written, within the last hour.';
comment on column nearline.freshness.newest_event_at is 'When the newest event of all happened.';
comment on column nearline.freshness.rejected_last_hour is 'Rows that loads and refreshes set aside in the last hour, of all shards.';
comment on column nearline.freshness.waiting_events is 'People and items that wait for the item to get a vector, of all shards.';
