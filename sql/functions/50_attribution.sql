create or replace function nearline_data._attributed(since timestamptz, until timestamptz)
returns table (
    user_id text
  , item_id text
  , shown_at timestamptz
  , model_version integer
  , strategy text
  , clicked boolean
  , converted boolean
  , revenue double precision
)
language sql stable parallel safe
begin atomic
    with click as (
        select w.lasts from nearline_data.attribution_window w where w.counts_as = 'click'
    ), conversion as (
        select w.lasts from nearline_data.attribution_window w where w.counts_as = 'conversion'
    ), last_moment as (
        select until + max(w.lasts) as at from nearline_data.attribution_window w
    ), shown as materialized (
        -- Later exposures than asked for too: what follows them is theirs.
        select x.user_id, x.item_id, x.shown_at, x.request_id, x.model_version, x.strategy
        from nearline_data.exposure x
        where x.shown_at >= since and x.shown_at < (select m.at from last_moment m)
    ), moment as (
        select x.user_id, x.item_id, x.shown_at as at, true as is_exposure, x.request_id, x.model_version, x.strategy
             , null::text as counts_as, null::double precision as value, null::text as conversion_id
        from shown x
        union all
        select e.user_id, e.item_id, e.occurred_at, false, null, null, null, k.counts_as
             , case when k.counts_as = 'conversion' and abs(e.value) <= 1e15 then e.value end  -- one that is beyond would be all of the sum
             , case when k.counts_as = 'conversion' then e.event_id end
        from nearline_data.event e
        join nearline_data.event_kind k on k.kind = e.kind and k.counts_as in ('click', 'conversion')
        where e.item_id is not null
          and e.occurred_at >= since and e.occurred_at < (select m.at from last_moment m)
          -- Much of what people do is no answer to a list: it would count for none, and be sorted with the others all the same.
          and exists (
              select from shown x
              where x.user_id = e.user_id and x.item_id = e.item_id and x.shown_at <= e.occurred_at
          )
    ), turn as (
        -- Each exposure begins a turn that lasts until the next one of that item to that person.
        select m.*
             , count(*) filter (where m.is_exposure) over this_far as turn
             , max(m.at) filter (where m.is_exposure) over this_far as shown_at
        from moment m
        window this_far as (
            partition by m.user_id, m.item_id order by m.at, m.is_exposure desc, m.request_id rows unbounded preceding
        )
    ), counted as (
        select t.*
        from turn t
        where t.conversion_id is null
           or (
               t.at < t.shown_at + (select c.lasts from conversion c)
               -- A purchase that was sent again without its time is another event to the ledger, and no more money, whenever
               -- the first one was: else two spans of time would both count it.
               and not exists (
                   select from nearline_data.event e
                   where e.event_id = t.conversion_id and e.occurred_at < t.at
                     -- Not by an index: by that of people all that this one did might be read.
                     and e.user_id is not distinct from t.user_id and e.item_id is not distinct from t.item_id
                     and e.kind = any (array(select k.kind from nearline_data.event_kind k where k.counts_as = 'conversion'))
                   offset 0  -- a fence: a look into the key for each, never a join with the whole ledger
               )
           )
    )
    select t.user_id, t.item_id, t.shown_at, max(t.model_version), max(t.strategy)
         , coalesce(bool_or(t.counts_as = 'click' and t.at < t.shown_at + (select c.lasts from click c)), false)
         , coalesce(bool_or(t.counts_as = 'conversion'), false)
         , coalesce(sum(t.value), 0)
    from counted t
    where t.shown_at < until
    group by t.user_id, t.item_id, t.turn, t.shown_at;
end;
comment on function nearline_data._attributed is 'Exposures of a span of time with what became of each. An event counts for the last exposure of its item to its person before it, or for none: so nothing is counted twice, whatever comes late.';
