-- Blocks of take_snapshot.

-- kinds --
select k.kind, k.weight from nearline_data.event_kind k;

-- items --
select i.item_id, i.kind, i.title, i.description, i.language, i.attributes::text as attributes
from nearline_data.item i
where i.is_active;

-- slices --
-- Equal in time, so that each reads its own partitions; bounds half open, the last one past the newest event. In whole seconds:
-- a day of an interval has 23 or 25 hours in some nights of some time zones.
select to_timestamp(b.low + s.number * ceil((b.high - b.low) / %(slices)s::int)) as from_time
     , to_timestamp(b.low + (s.number + 1) * ceil((b.high - b.low) / %(slices)s::int)) as until_time
from (
    select floor(extract(epoch from min(e.occurred_at))) as low
         , floor(extract(epoch from max(e.occurred_at))) + 1 as high
    from nearline_data.event e
) b
cross join generate_series(0, %(slices)s::int - 1) as s (number)
where b.low is not null;

-- events --
select e.event_id, e.user_id, e.item_id, e.kind, e.text, e.value, e.occurred_at
from nearline_data.event e
where e.occurred_at >= %(from_time)s and e.occurred_at < %(until_time)s;
