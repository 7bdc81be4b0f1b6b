-- Blocks of take_snapshot.

-- kinds --
select k.kind, k.weight from nearline_data.event_kind k;

-- items --
select i.item_id, i.kind, i.title, i.description, i.language, i.attributes::text as attributes
from nearline_data.item i
where i.is_active;

-- slices --
-- Equal in time, so that each reads its own partitions; bounds half open, the last one a second past the newest event.
select b.low + s.number * b.width as from_time
     , b.low + (s.number + 1) * b.width as until_time
from (
    select min(e.occurred_at) as low
         , (max(e.occurred_at) - min(e.occurred_at) + interval '1 second') / %(slices)s::int as width
    from nearline_data.event e
) b
cross join generate_series(0, %(slices)s::int - 1) as s (number)
where b.low is not null;

-- events --
select e.event_id, e.user_id, e.item_id, e.kind, e.text, e.value, e.occurred_at
from nearline_data.event e
where e.occurred_at >= %(from_time)s and e.occurred_at < %(until_time)s;
