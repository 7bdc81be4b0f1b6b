-- The lags of a batch in steps: what a look at the last hour reads does not grow with the events of a batch.
set local role nearline_owner;

alter table nearline_data.refresh_batch
    add column lag_events integer[]
  , add column lag_max_ms real;
comment on column nearline_data.refresh_batch.lag_ms is 'Milliseconds from recorded_at to the write of the vector, in steps of 4 percent, each step once: up to 2 percent off, and 1 at least. Rows without lag_events have that of each event.';
comment on column nearline_data.refresh_batch.lag_events is 'How many events each of lag_ms stands for, event_count in all; null in rows from before this column: one.';
comment on column nearline_data.refresh_batch.lag_max_ms is 'The longest lag, exact; null in rows from before this column: the largest of lag_ms.';

-- Nobody reads older ones; the refresh that runs at this moment may still add a few as they were.
update nearline_data.refresh_batch b
set lag_ms = n.lag_ms, lag_events = n.lag_events, lag_max_ms = n.lag_max_ms
from nearline_data.refresh_batch o
cross join lateral (
    select array_agg(s.ms order by s.ms) as lag_ms
         , array_agg(s.events order by s.ms) as lag_events
         , max(s.longest) as lag_max_ms
    from (
        select exp(round(ln(greatest(l.ms, 1)) / 0.04) * 0.04)::real as ms, count(*)::integer as events, max(l.ms) as longest
        from unnest(o.lag_ms) as l (ms)
        group by 1
    ) s
) n
where o.finished_at > now() - interval '1 hour'
  and b.batch_id = o.batch_id;
