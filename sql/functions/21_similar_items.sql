create or replace function nearline.similar_items(to_item text, max_items integer default 10, item_kinds text[] default null)
returns table (list_position integer, item_id text, kind text, title text, similarity real, model_version integer)
language sql stable security definer
begin atomic
    with origin as materialized (
        -- What it means; how it is doing (the last 8 numbers) is left out.
        select e.model_version, subvector(e.vector, 1, 120) as meaning
        from nearline_data.item_embedding e
        where e.model_version = (select l.model_version from nearline_data.live_version l)
          and e.item_id = to_item
    ), block as materialized (
        -- What is blocked for everybody: what a rule says of an audience or a strategy says nothing here.
        -- _left_out adds nothing: it refuses too many kinds.
        select array_agg(i.item_id) filter (where i.item_id is not null) || nearline_data._left_out(null, similar_items.item_kinds, null) as items
             , nearline_data._any_of(array_agg(distinct r.path::text)) as path
        from nearline_data._rules(null, null) r
        left join lateral unnest(r.item_ids) as i (item_id) on true
        where r.action = 'block'
    ), near as materialized (
        -- The search is by inner product; more than asked for are taken and put into the order of the angle.
        select nearline_data._near(
                   o.meaning || array_fill(0, array[8])::vector(8), o.model_version, item_kinds, null, null, b.items || to_item, b.path
                 , 2 * greatest(least(coalesce(max_items, 10), 1000), 0) + 200
                 , 'thorough'
               ) as found
        from origin o
        cross join block b
    ), nearest as materialized (
        select f.item_id, e.meaning
        from near n
        cross join lateral unnest((n.found).item_ids) as f (item_id)
        cross join lateral (
            select subvector(v.vector, 1, 120) as meaning
            from nearline_data.item_embedding v
            where v.model_version = (select o.model_version from origin o) and v.item_id = f.item_id
            offset 0
        ) e
    )
    select row_number() over (order by n.meaning <=> o.meaning, i.item_id)::integer
         , i.item_id
         , i.kind
         , i.title
         , (1 - (n.meaning <=> o.meaning))::real
         , o.model_version
    from nearest n
    cross join origin o
    join nearline_data.item i on i.item_id = n.item_id and i.is_active
    order by n.meaning <=> o.meaning, i.item_id
    limit greatest(least(coalesce(max_items, 10), 1000), 0);
end;
comment on function nearline.similar_items is
'Items that mean nearly the same to people as a given one, nearest first. similarity: cosine, from -1 to 1. No rows for an item the live model does not know. What a rule blocks for everybody is not among them.
  select * from nearline.similar_items(to_item => ''item-6'', item_kinds => array[''product'']);';
