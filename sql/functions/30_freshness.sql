create or replace view nearline.freshness as
with lag as (
    select percentile_cont(0.5) within group (order by l.ms) as p50
         , percentile_cont(0.95) within group (order by l.ms) as p95
         , max(l.ms) as most
         , count(*) as events
    from nearline_data.refresh_batch b
    cross join unnest(b.lag_ms) as l (ms)
    where b.finished_at > now() - interval '1 hour'
)
select v.model_version
     , round(lag.p50::numeric, 1) as lag_p50_ms
     , round(lag.p95::numeric, 1) as lag_p95_ms
     , round(lag.most::numeric, 1) as lag_max_ms
     , lag.events as events_last_hour
     , (select count(*) from nearline_data.event e where e.transaction_id >= c.position) as backlog_events
     , c.moved_at as cursor_moved_at
     , (select max(e.occurred_at) from nearline_data.event e) as newest_event_at
     , (select max(b.finished_at) from nearline_data.refresh_batch b) as newest_vector_at
     , (select count(*) from nearline_data.rejected_row r where r.rejected_at > now() - interval '1 hour') as rejected_last_hour
from lag
left join nearline_data.live_version v on true
left join nearline_data.cursor c on c.model_version = v.model_version and c.shard = 0;
comment on view nearline.freshness is 'How long an event takes into the vectors, over the last hour, and what waits. One row.';
comment on column nearline.freshness.model_version is 'The live version; null before the first is published.';
comment on column nearline.freshness.lag_p50_ms is 'Milliseconds from the record of an event to the write of the vector, median.';
comment on column nearline.freshness.lag_p95_ms is 'The same, 95th percentile.';
comment on column nearline.freshness.lag_max_ms is 'The same, longest.';
comment on column nearline.freshness.events_last_hour is 'Events that went into vectors in the last hour.';
comment on column nearline.freshness.backlog_events is 'Events that are not yet in a vector.';
comment on column nearline.freshness.cursor_moved_at is 'When refresh_interests last made a step.';
comment on column nearline.freshness.newest_event_at is 'When the newest event happened.';
comment on column nearline.freshness.newest_vector_at is 'When a vector was last written.';
comment on column nearline.freshness.rejected_last_hour is 'Rows that loads rejected in the last hour.';
