-- Blocks of archive_events.

-- partitions --
select p.partition_name, p.from_time::text, p.until_time::text, p.row_count
from nearline_data._archivable_partitions(%(hot_days)s) p;

-- is_there --
-- Whether there must be an archive.
select exists (select from nearline_data.archived_partition);

-- content --
select max(e.transaction_id)::text, coalesce(sum(hashtextextended(e.event_id, 0)), 0)
from nearline_data.event e
where e.occurred_at >= %(from_time)s::timestamptz and e.occurred_at < %(until_time)s::timestamptz;

-- events --
select e.event_id, e.user_id, e.item_id, e.kind, e.text, e.value, e.attributes::text, e.occurred_at, e.recorded_at
from nearline_data.event e
where e.occurred_at >= %(from_time)s::timestamptz and e.occurred_at < %(until_time)s::timestamptz;

-- drop_partition --
select nearline_data._drop_archived_partition(%(partition_name)s, %(archived_rows)s, %(archived_ids)s);
