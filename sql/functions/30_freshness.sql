create or replace view nearline.freshness as
with share as (
    select c.model_version, c.shard, c.shard_count, c.position, c.moved_at
    from nearline_data.live_version l
    join nearline_data.cursor c on c.model_version = l.model_version
), recent_batch as (
    -- What a version reads before it goes live was in the vectors that were served then: nobody waited for it.
    select b.shard, b.user_count, b.lag_ms, b.finished_at
    from nearline_data.refresh_batch b
    where b.finished_at > now() - interval '1 hour'
      and not exists (
          select from nearline_data.live_version l
          where l.model_version = b.model_version and l.live_since > b.finished_at
      )
), event_lag as (
    select b.shard
         , percentile_cont(0.5) within group (order by l.ms) as p50
         , percentile_cont(0.95) within group (order by l.ms) as p95
         , max(l.ms) as most
         , percentile_cont(0.95) within group (order by l.ms) filter (where b.finished_at > now() - interval '1 minute') as p95_now
         , count(*) as events
         , count(*) filter (where b.finished_at > now() - interval '1 minute') as events_now
    from recent_batch b
    cross join unnest(b.lag_ms) as l (ms)
    group by b.shard
), people as (
    select b.shard
         , sum(b.user_count) filter (where b.finished_at > now() - interval '1 minute') as users_now
         , max(b.finished_at) as newest_at
    from recent_batch b
    group by b.shard
), backlog as (
    select s.shard, u.events, u.oldest_at
    from share s
    cross join lateral (
        select count(*) as events, min(e.recorded_at) as oldest_at
        from (
            select n.recorded_at, n.user_id from nearline_data.event n where n.transaction_id >= pg_snapshot_xmax(s.position)
            union all
            select o.recorded_at, o.user_id from nearline_data.event o
            where o.transaction_id = any (array(select pg_snapshot_xip(s.position)))
        ) e
        where nearline_data._shard_of(e.user_id, s.shard_count) = s.shard
    ) u
)
select s.model_version
     , s.shard
     , s.shard_count
     , round(g.p50::numeric, 1) as lag_p50_ms
     , round(g.p95::numeric, 1) as lag_p95_ms
     , round(g.most::numeric, 1) as lag_max_ms
     , round(g.p95_now::numeric, 1) as lag_p95_now_ms
     , coalesce(g.events, 0) as events_last_hour
     , round(coalesce(g.events_now, 0) / 60.0, 2) as events_per_second
     , round(coalesce(p.users_now, 0) / 60.0, 2) as users_per_second
     , coalesce(b.events, 0) as backlog_events
     , now() - b.oldest_at as backlog_age
     , s.moved_at as cursor_moved_at
     , p.newest_at as newest_vector_at
     , (select max(e.occurred_at) from nearline_data.event e) as newest_event_at
     , (select count(*) from nearline_data.rejected_row r where r.rejected_at > now() - interval '1 hour') as rejected_last_hour
     , (select count(*) from nearline_data.waiting_event) as waiting_events
from (select true) as always
left join share s on true
left join event_lag g on g.shard = s.shard
left join people p on p.shard = s.shard
left join backlog b on b.shard = s.shard;
comment on view nearline.freshness is 'How long an event takes into the vectors, and what waits: one row for each share of the people (NEARLINE_SHARDS), one in all by default.';
comment on column nearline.freshness.model_version is 'The live version; null before the first is published.';
comment on column nearline.freshness.shard is 'Which share of the people, from 0.';
comment on column nearline.freshness.shard_count is 'Of how many.';
comment on column nearline.freshness.lag_p50_ms is 'Milliseconds from the record of an event to the write of the vector, median of the last hour.';
comment on column nearline.freshness.lag_p95_ms is 'The same, 95th percentile.';
comment on column nearline.freshness.lag_max_ms is 'The same, longest.';
comment on column nearline.freshness.lag_p95_now_ms is 'The 95th percentile of the last minute.';
comment on column nearline.freshness.events_last_hour is 'Events that went into vectors in the last hour.';
comment on column nearline.freshness.events_per_second is 'The same a second, over the last minute.';
comment on column nearline.freshness.users_per_second is 'Vectors written a second, over the last minute.';
comment on column nearline.freshness.backlog_events is 'Committed events that are not yet in a vector.';
comment on column nearline.freshness.backlog_age is 'How long the oldest of them has waited; null where none does.';
comment on column nearline.freshness.cursor_moved_at is 'When refresh_interests last made a step.';
comment on column nearline.freshness.newest_vector_at is 'When a vector was last written, within the last hour.';
comment on column nearline.freshness.newest_event_at is 'When the newest event of all happened.';
comment on column nearline.freshness.rejected_last_hour is 'Rows that loads and refreshes set aside in the last hour, of all shares.';
comment on column nearline.freshness.waiting_events is 'People and items that wait for the item to get a vector, of all shares.';
