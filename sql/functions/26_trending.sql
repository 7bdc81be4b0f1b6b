create or replace function nearline.trending(
    item_kinds text[] default null
  , within interval default '1 day'
  , max_items integer default 10
)
returns table (
    list_position integer
  , item_id text
  , kind text
  , title text
  , people bigint
  , people_before bigint
  , score double precision
)
language sql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
begin atomic
    with newest as materialized (
        -- Of a catalogue whose events ended last year, last year's end is now.
        select least(max(e.occurred_at), now()) as at, nearline_data._span('within', within) as span from nearline_data.event e
    ), met as (
        select e.item_id, e.user_id
             , bool_or(e.occurred_at > (select n.at - n.span from newest n)) as is_now
             , bool_or(e.occurred_at <= (select n.at - n.span from newest n)) as is_before
        from nearline_data.event e
        join nearline_data.event_kind k on k.kind = e.kind and k.weight > 0
        where e.occurred_at > (select n.at - 2 * n.span from newest n)
          and e.item_id is not null
        group by e.item_id, e.user_id
    ), counted as (
        select m.item_id, count(*) filter (where m.is_now) as people, count(*) filter (where m.is_before) as people_before
        from met m
        group by m.item_id
    ), block as materialized (
        -- What is blocked for everybody: what a rule says of an audience or a strategy says nothing here.
        -- _left_out adds nothing: it refuses too many kinds.
        select array_agg(n.item_id) filter (where n.item_id is not null) || nearline_data._left_out(null, trending.item_kinds, null) as items
             , nearline_data._any_of(array_agg(distinct r.path::text)) as path
        from nearline_data._rules(null, null) r
        left join lateral unnest(r.item_ids) as n (item_id) on true
        where r.action = 'block'
    ), ranked as (
        -- Two Poisson counts of equal time differ by this many standard deviations (Przyborowski and Wilenski 1940).
        select c.item_id, i.kind, i.title, c.people, c.people_before
             , (c.people - c.people_before) / sqrt((c.people + c.people_before)::double precision) as score
        from counted c
        join nearline_data.item i on i.item_id = c.item_id and i.is_active
        where c.people > 0
          and (item_kinds is null or i.kind = any (item_kinds))
          and i.item_id not in (select n.item_id from block b cross join lateral unnest(b.items) as n (item_id))
          and not nearline_data._is_met(i.attributes, i.kind, i.language, (select b.path from block b))
    )
    select row_number() over (order by r.score desc, r.people desc, r.item_id)::integer
         , r.item_id, r.kind, r.title, r.people, r.people_before, r.score
    from ranked r
    order by 1
    limit greatest(least(coalesce(max_items, 10), 1000), 0);
end;
comment on function nearline.trending is
'Items that more people take now than before, the clearest rise first: people within the time before the newest event, against the same time before that; a person counts once an item. score: by how many standard deviations the two counts differ; below 0 it falls. What a rule blocks for everybody is not among them. item_kinds: null for all. within: such as ''1 hour'' or ''7 days''. max_items: at most 1000.
  select * from nearline.trending(item_kinds => array[''product''], within => ''1 day'');';
